"""The commands of ``hepbench data``, which make, fetch, import, check and draw data sets.

Docstrings of commands are the help that click prints, and so begin with an imperative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from benchmarks.options import FILE, FOLDER, PRESET, UserPath, resolved, taking
from benchmarks.streams import error_terminal, say
from datasets.progress import bar_or_lines, bars_on


@click.group()
@click.pass_context
def data(context: click.Context) -> None:
    """Make, fetch, import, check and draw data sets."""
    context.with_resource(bars_on(error_terminal()))


@data.command()
@taking(*PRESET)
@click.option("--output", type=FOLDER, help="Folder of the data set [default: the cache].")
@click.option(
    "--intermediate",
    type=FOLDER,
    help="Folder that has or keeps what the data set is made of, such as hits [default: not kept].",
)
def generate(
    workload: str,
    preset: str,
    file: Path | None,
    assignments: tuple[str, ...],
    output: Path | None,
    intermediate: Path | None,
) -> None:
    """Make the data set that a configuration trains on."""
    from benchmarks.machine.cgroup import usable_cores
    from benchmarks.workload import make_events

    config = resolved(workload, preset, file, assignments, {}).config
    config = replace(config, threads=config.threads or usable_cores())
    click.echo(make_events(workload, config, output, partial(say, err=True), intermediate))


@data.group("import")
def import_data() -> None:
    """Turn files of others into a data set."""


@import_data.command("delphes")
@click.argument("folder", type=UserPath(exists=True, file_okay=False, path_type=Path))
@click.option("--output", type=FOLDER, required=True, help="Folder of the data set.")
@click.option(
    "--train-events", type=click.IntRange(1), help="Maximum number of training events [default: all]."
)
@click.option(
    "--validation-events", type=click.IntRange(1), help="Maximum number of validation events [default: all]."
)
def import_delphes(
    folder: Path, output: Path, train_events: int | None, validation_events: int | None
) -> None:
    """Import a folder of the files of the public Delphes data set."""
    from datasets.delphes.public import import_folder

    count_files = _count_progress("read", "files")
    click.echo(import_folder(folder, output, train_events, validation_events, progress=count_files))


@import_data.command("trackml")
@click.argument("path", type=UserPath(exists=True, path_type=Path))
@click.option("--output", type=FOLDER, required=True, help="Folder of the data set.")
@click.option(
    "--train-events", type=click.IntRange(1), help="Number to take from the start [default: all others]."
)
@click.option(
    "--validation-events",
    type=click.IntRange(1),
    help="Number to take from the end [default: a tenth, at least one, but none of a single event].",
)
def import_trackml(path: Path, output: Path, train_events: int | None, validation_events: int | None) -> None:
    """Import a folder or zip file of TrackML CSV events: hits, truth and particles of each."""
    from datasets.trackml.public import import_events

    count_events = _count_progress("read", "events")
    tell = partial(say, err=True)
    click.echo(import_events(path, output, train_events, validation_events, count_events, tell))


@data.command("export")
@click.argument("target", type=click.Choice(["trackml"]), expose_value=False)
@click.argument("folder", type=FOLDER)
@click.option("--output", type=FOLDER, required=True, help="Folder of the files.")
def export_data(folder: Path, output: Path) -> None:
    """Write a data set of tracking events as TrackML CSV files."""
    from datasets.trackml.public import export_events

    click.echo(export_events(folder, output, progress=_count_progress("wrote", "events")))


@data.command()
@click.argument("source", type=click.Choice(["delphes"]), expose_value=False)
@click.option("--output", type=FOLDER, required=True, help="Folder for the public files.")
@click.option(
    "--train-files",
    type=click.IntRange(1),
    help="Maximum number of files, of 100 events each [default: all].",
)
@click.option("--validation-files", type=click.IntRange(1), help="Maximum number of files [default: all].")
def fetch(output: Path, train_files: int | None, validation_files: int | None) -> None:
    """Download the public data set, and keep files that are there already."""
    from datasets.delphes.fetch import fetch as fetch_delphes

    count_progress = _count_progress("fetched", "files")
    click.echo(
        fetch_delphes(
            output, train_files=train_files, validation_files=validation_files, progress=count_progress
        )
    )


def _count_progress(what: str, things: str) -> Callable[[int, int], None]:
    """Returns a progress that draws a bar, or writes a line each time it is called."""
    return bar_or_lines(what, lambda done, total: say(f"{what} {done} of {total} {things}", err=True))


@data.command()
@click.argument("folder", type=FOLDER)
def verify(folder: Path) -> None:
    """Check every file of a data set against its manifest."""
    from datasets.store import open_store

    store = open_store(folder)
    for name, split in store.splits.items():
        click.echo(f"{name}: {len(split)} events")
    click.echo(f"sha256 {store.sha256}")


@data.command()
@click.argument("folder", type=FOLDER)
@click.option("--output", type=FILE, required=True, help="A .pdf or .png file.")
def plot(folder: Path, output: Path) -> None:
    """Draw a page of distributions, or an event of a tracking data set."""
    from datasets.plots import page

    click.echo(page.plot(folder, output))
