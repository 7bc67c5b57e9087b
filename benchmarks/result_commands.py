"""Commands on results: ``hepbench report``, ``compare`` and ``reproduce``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.errors import UsageError
from benchmarks.options import FILE, FOLDER, SWITCHES, UserPath, taking
from benchmarks.output import RunOptions
from benchmarks.streams import say

if TYPE_CHECKING:
    from benchmarks.result import RunResult


@click.command()
@click.argument("results", type=UserPath(exists=True, path_type=Path), nargs=-1, required=True)
@click.option("--plot", "picture", type=FILE, help="Draw loss and throughput per epoch into this file.")
@click.option("--output", "page", type=FILE, help="Write a page with everything into this .html file.")
@click.option(
    "--price",
    type=click.FloatRange(0, min_open=True),
    help="Print what a million events cost; price of an hour of what a run used, in any currency.",
)
def report(results: tuple[Path, ...], picture: Path | None, page: Path | None, price: float | None) -> None:
    """Print results; each a result.json, its folder, or a folder of repeats or of a scaling."""
    from benchmarks import report as reports
    from benchmarks.reporting.sources import read_sources

    sources = read_sources(results)
    click.echo("\n\n".join(sources.texts()))
    if price is not None:
        from benchmarks.costs import cost_table

        click.echo(f"\n{cost_table(sources.results, price)}")
    if picture is not None:
        reports.plot(sources.results, picture)
        click.echo(picture)
    if page is not None:
        from benchmarks.reporting.page import write_report

        write_report(sources, page)
        click.echo(page)


@click.command()
@click.argument("first", type=UserPath(exists=True, path_type=Path))
@click.argument("others", type=UserPath(exists=True, path_type=Path), nargs=-1, required=True)
@click.option(
    "--fail-below",
    type=click.FloatRange(0, min_open=True),
    metavar="RATIO",
    help="End with exit code 1 where a score is below this ratio, by more than noise, or cannot be compared.",
)
@click.option("--plot", "picture", type=FILE, help="Draw the ratios into this file.")
def compare(first: Path, others: tuple[Path, ...], fail_below: float | None, picture: Path | None) -> None:
    """Say whether runs are faster than the first; each a result.json, its folder, or a folder of repeats."""
    from benchmarks import comparison
    from benchmarks.side_by_side import Side

    sides = []
    for path in (first, *others):
        repeats = sorted(path.glob("repeat-*")) if path.is_dir() else []
        named_results = read_results(tuple(repeats) or (path,))
        name = str(path) if repeats else named_results[0][0]
        sides.append(Side(name, tuple(result for _, result in named_results)))

    click.echo(comparison.comparison(sides))
    if picture is not None:
        comparison.plot(sides, picture)
        click.echo(picture)
    if fail_below is not None:
        failures = comparison.failures(sides, fail_below)
        for line in failures:
            say(f"hepbench: {line}", err=True)
        sys.exit(1 if failures else 0)


@click.command()
@click.argument("result", type=UserPath(path_type=Path))
@click.option("--data", type=FOLDER, help="Folder of the data set [default: the cache].")
@click.option("--output", type=FOLDER, help="Folder for the new result [default: as run].")
@taking(*SWITCHES)
def reproduce(
    result: Path, data: Path | None, output: Path | None, force: bool, quiet: bool, debug: bool
) -> None:
    """Run a result's configuration again; say how well weights, losses and quality agree.

    RESULT is a result.json, its folder, or the name of a reference run that is shipped, WORKLOAD-PRESET.
    """
    from benchmarks.launchers import reproduction
    from hepscore_adapter.references import read_reference, reference_names

    if result.exists():
        ((_, original),) = read_results((result,))
    elif str(result) in reference_names():
        original = read_reference(str(result))
    else:
        names = ", ".join(reference_names())
        raise UsageError(f"expected a result.json, its folder, or one of {names}, got {result}")
    options = RunOptions(output, force=force, quiet=quiet, debug=debug)
    sys.exit(reproduction.reproduce(original, options, data))


def read_results(paths: tuple[Path, ...]) -> list[tuple[str, RunResult]]:
    """Reads results, each a ``result.json`` or its folder, with names to show them under.

    Raises:
        UsageError: One of them cannot be read.
    """
    from benchmarks.reporting.sources import read_named_result

    return [read_named_result(path) for path in paths]
