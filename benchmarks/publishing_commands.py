"""``hepbench export`` and ``leaderboard``: results for others."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.errors import UsageError
from benchmarks.options import FOLDER, UserPath
from benchmarks.result_commands import read_results


@click.command()
@click.argument("results", type=UserPath(exists=True, path_type=Path), nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "prometheus", "json"]),
    required=True,
    help="json: a folder with a file for each machine, as leaderboard reads it.",
)
@click.option(
    "--output",
    type=UserPath(path_type=Path),
    help="File, or the folder of --format json [default: the terminal].",
)
def export(results: tuple[Path, ...], form: str, output: Path | None) -> None:
    """Write results for other programs; each a result.json or its folder."""
    from benchmarks.files import write_text
    from benchmarks.publishing.collection import add_to_collection
    from benchmarks.publishing.export import csv_table, prometheus_text

    named_results = read_results(results)
    if form == "json":
        if output is None:
            raise UsageError(
                "--format json: expected a folder for the files, got none; name it with --output"
            )
        for file in add_to_collection(named_results, output):
            click.echo(file)
        return
    text = csv_table(named_results) if form == "csv" else prometheus_text(named_results)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
        click.echo(output)


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--output", type=FOLDER, required=True, help="Folder of the page.")
def leaderboard(folder: Path, output: Path) -> None:
    """Make a page of the results in a folder of export --format json; check their hashes."""
    from benchmarks.publishing.collection import NO_PROOF, read_collection
    from benchmarks.publishing.leaderboard import write_leaderboard
    from benchmarks.streams import say

    results = read_collection(folder)
    click.echo(write_leaderboard(results, output))
    say(f"{len(results)} results are as they were exported. {NO_PROOF}", err=True)
