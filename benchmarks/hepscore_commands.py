"""``hepbench hepscore``: what hep-score is told."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.options import FILE, UserPath


@click.group()
def hepscore() -> None:
    """Write configurations of hep-score."""


@hepscore.command("config")
@click.option("--workload", "workloads", multiple=True, help="One of them; may be repeated [default: all].")
@click.option("--preset", default="hepscore", show_default=True, help="Named configuration to measure with.")
@click.option(
    "--reference",
    "paths",
    type=UserPath(exists=True, path_type=Path),
    multiple=True,
    help="result.json, or its folder, of a reference run; one a workload [default: those that are shipped].",
)
@click.option(
    "--registry",
    "registries",
    multiple=True,
    default=["docker://localhost/hepbench"],
    show_default=True,
    help="Where the images are; for Apptainer dir:///FOLDER; may be repeated with --generation 2.",
)
@click.option("--gpus", type=click.IntRange(0), default=1, show_default=True, help="GPUs; 0: CPU only.")
@click.option("--repetitions", type=click.IntRange(1), default=3, show_default=True, help="Of each workload.")
@click.option(
    "--generation",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="hep-score that reads the file; 1: 1.5; 2: 2.x.",
)
@click.option("--single-score", is_flag=True, help="One score a workload, as hep-score's GPU workloads have.")
@click.option("--output", type=FILE, help="File to write [default: the terminal].")
def hepscore_config(
    workloads: tuple[str, ...],
    preset: str,
    paths: tuple[Path, ...],
    registries: tuple[str, ...],
    gpus: int,
    repetitions: int,
    generation: int,
    single_score: bool,
    output: Path | None,
) -> None:
    """Write a configuration of hep-score for the images, with the scores of reference runs."""
    from benchmarks.files import write_text
    from hepscore_adapter.configuration import Target, configuration, references

    runs = references(paths, workloads, preset)
    text = configuration(runs, preset, Target(registries, gpus, repetitions, generation, single_score))
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
        click.echo(output)
