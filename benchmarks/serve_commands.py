"""The commands of ``hepbench serve``, which hand a model to an inference server.

Docstrings of commands are the help that click prints, and so begin with an imperative.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from benchmarks.options import FOLDER, PRESET, resolved, taking
from benchmarks.streams import say


@click.group()
def serve() -> None:
    """Hand a model to an inference server."""


@serve.command()
@taking(*PRESET)
@click.argument("folder", type=FOLDER)
def export(workload: str, preset: str, file: Path | None, assignments: tuple[str, ...], folder: Path) -> None:
    """Train a service's model and write a model repository for a stock Triton into FOLDER."""
    from benchmarks.serving.run import export_model

    config = resolved(workload, preset, file, assignments, {}).config
    click.echo(export_model(config, folder, partial(say, err=True)))
