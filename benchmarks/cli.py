"""The ``hepbench`` command: parse, check, delegate. Imports what a command needs when it is called."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.data_commands import data
from benchmarks.errors import RunFailedError, Terminated, UsageError
from benchmarks.options import FILE, FLAGS, FOLDER, PRESET, resolved, taking
from datasets.errors import DataError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hepbench")
def cli() -> None:
    """Machine-learning workloads of high-energy physics as a hardware benchmark."""


cli.add_command(data)


@cli.command("list")
def list_workloads() -> None:
    """List the workloads and their presets."""
    from benchmarks import workload

    for name in workload.REGISTRY:
        click.echo(f"{name}: {workload.describe(name)}")
        click.echo(f"    presets: {', '.join(workload.presets(name))}")


@cli.command()
@taking(*PRESET, *FLAGS)
def show(workload: str, preset: str, file: Path | None, assignments: tuple[str, ...], **flags: Any) -> None:
    """Print the effective configuration and where each value came from."""
    config = resolved(workload, preset, file, assignments, flags)
    click.echo(config.describe())


@cli.command()
@taking(*PRESET, *FLAGS)
@click.option(
    "--sweep",
    multiple=True,
    metavar="KEY=A,B,...",
    help="One run for each value, in folders KEY-VALUE below --output, and a comparison.",
)
@click.option("--ranks", type=click.IntRange(1), help="Processes that train together, on this machine.")
@click.option("--gpus", type=click.IntRange(1), help="The same, with a GPU each; never fewer.")
@click.option("--output", type=FOLDER, help="Folder of the result [default: results/WORKLOAD-PRESET-TIME].")
@click.option("--force", is_flag=True, help="Replace the result that is already there.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
@click.option("--debug", is_flag=True, help="Tracebacks and the framework's own messages.")
@click.option("--dry-run", is_flag=True, help="Print the configuration, or the engine's command, and stop.")
@click.option("--engine", type=click.Choice(["docker", "apptainer"]), help="Run in a container.")
@click.option("--image", help="Its image or SIF file [default: of this version, as made by make image, sif].")
def run(
    workload: str,
    preset: str,
    file: Path | None,
    assignments: tuple[str, ...],
    sweep: tuple[str, ...],
    ranks: int | None,
    gpus: int | None,
    output: Path | None,
    force: bool,
    quiet: bool,
    debug: bool,
    dry_run: bool,
    engine: str | None,
    image: str | None,
    **flags: Any,
) -> None:
    """Train and measure a workload; write result.json and WORKLOAD_summary.json."""

    def resolve(*swept: str) -> Any:
        return resolved(workload, preset, file, assignments, flags, swept)

    if engine is not None:
        from benchmarks.launchers.container import container, run_container

        given = {"config": file, "set": assignments, "sweep": sweep, "ranks": ranks, "gpus": gpus, **flags}
        wanted = container(engine, image, resolve(), given, output, debug=debug)
        if dry_run:
            click.echo(wanted.command_line())
            return
        sys.exit(run_container(wanted, force=force, quiet=quiet))
    if image is not None:
        raise UsageError("--image: expected with --engine docker or --engine apptainer only; add one of them")
    if sweep:
        from benchmarks.launchers.sweep import configurations

        runs = configurations(sweep, assignments, flags, resolve)
    else:
        runs = {"": resolve()}
    if dry_run:
        click.echo("\n\n".join(each.describe() for each in runs.values()))
        return
    from benchmarks.ranks.place import asked_for

    count, place = asked_for(ranks, gpus, os.environ)
    if sweep:
        from benchmarks.launchers.sweep import run_sweep

        if place.size > 1:
            raise UsageError(f"--sweep: started by {place.launcher}; leave it to hepbench run --ranks N")
        told = [f"--{name}={number}" for name, number in (("ranks", ranks), ("gpus", gpus)) if number]
        sys.exit(run_sweep(runs, output, force=force, quiet=quiet, debug=debug, ranks=told))
    if debug:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
    if count > place.size:
        from benchmarks.launchers.local_ranks import run_ranks

        sys.exit(run_ranks(runs[""], output, count, gpus=gpus or 0, force=force, debug=debug))
    from benchmarks.job import run_job

    sys.exit(run_job(runs[""], output, force=force, quiet=quiet, debug=debug, place=place, gpus=gpus or 0))


@cli.command()
@taking(*PRESET[:2])
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Whole nodes.")
@click.option("--gpus-per-node", type=click.IntRange(1), help="Ranks on each node, one GPU each.")
@click.option("--ranks-per-node", type=click.IntRange(1), help="Ranks on each node, without GPUs.")
@click.option("--image", type=FILE, required=True, help="SIF file, where the nodes see it.")
@click.option("--output", type=FOLDER, required=True, help="Folder of the result, likewise.")
@click.option("--time", help="Limit of the job, such as 02:00:00 [default: the cluster's].")
@click.option("--partition", help="Slurm's partition [default: the cluster's].")
@click.option("--account", help="Slurm's account [default: the user's].")
@click.option("--dry-run", is_flag=True, help="Print the batch script and stop.")
def submit(workload: str, preset: str, image: Path, output: Path, *, dry_run: bool, **options: Any) -> None:
    """Submit a training in containers to Slurm: nodes times GPUs, or nodes times ranks."""
    from benchmarks.launchers import slurm as submitter
    from hepscore_adapter.validate import summary_path

    wanted = submitter.job(resolved(workload, preset, None, (), {}), image, output, **options)
    if dry_run:
        click.echo(submitter.script(wanted), nl=False)
        return
    number, script = submitter.submit(wanted)
    click.echo(f"job:     {number} ({script})\nsummary: {summary_path(workload, wanted.output)}")


@cli.command()
@taking(*PRESET, *FLAGS)
@click.option("--ranks", required=True, metavar="A,B,...", help="Numbers of processes, on this machine.")
@click.option(
    "--mode",
    type=click.Choice(["weak", "strong"]),
    default="weak",
    show_default=True,
    help="What stays the same: the batch of each rank, or that of all ranks together.",
)
@click.option("--output", type=FOLDER, help="Folder of the series [default: results/WORKLOAD-PRESET-TIME].")
@click.option("--plot", "picture", type=FILE, help="Draw throughput and efficiency into this file.")
@click.option("--force", is_flag=True, help="Replace the results that are already there.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
@click.option("--debug", is_flag=True, help="Tracebacks and the framework's own messages.")
def scale(
    workload: str,
    preset: str,
    file: Path | None,
    assignments: tuple[str, ...],
    ranks: str,
    mode: str,
    output: Path | None,
    picture: Path | None,
    force: bool,
    quiet: bool,
    debug: bool,
    **flags: Any,
) -> None:
    """Run on several numbers of ranks; write scaling.json, with a projection to 1,024."""
    from benchmarks.scaling.series import numbers, run_scale

    config = resolved(workload, preset, file, assignments, flags)
    options = {"force": force, "quiet": quiet, "debug": debug}
    sys.exit(run_scale(config, numbers(ranks), mode, output, picture=picture, **options))


@cli.command()
@click.argument("results", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True)
@click.option("--plot", "picture", type=FILE, help="Draw loss and throughput per epoch into this file.")
def report(results: tuple[Path, ...], picture: Path | None) -> None:
    """Print a result, or compare several; each a result.json or its folder."""
    from benchmarks import report as reports
    from benchmarks.result import read_result

    files = [path / "result.json" if path.is_dir() else path for path in results]
    try:
        read = [
            (str(path.parent if path.name == "result.json" else path), read_result(path)) for path in files
        ]
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    click.echo(reports.table(read))
    if picture is not None:
        reports.plot(read, picture)
        click.echo(picture)


@cli.group()
def hepscore() -> None:
    """Configurations of hep-score."""


@hepscore.command("config")
@click.option("--workload", "workloads", multiple=True, help="One of them; may be repeated [default: all].")
@click.option("--preset", default="hepscore", show_default=True, help="Named configuration to measure with.")
@click.option(
    "--reference",
    "paths",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="result.json, or its folder, of a reference run; one a workload [default: those that come along].",
)
@click.option(
    "--registry",
    default="docker://localhost/hepbench",
    show_default=True,
    help="Where the images lie; for Apptainer dir:///FOLDER.",
)
@click.option("--gpus", type=click.IntRange(0), default=1, show_default=True, help="GPUs; 0: CPU only.")
@click.option("--repetitions", type=click.IntRange(1), default=3, show_default=True, help="Of each workload.")
@click.option("--output", type=FILE, help="File to write [default: the terminal].")
def hepscore_config(
    workloads: tuple[str, ...],
    preset: str,
    paths: tuple[Path, ...],
    registry: str,
    gpus: int,
    repetitions: int,
    output: Path | None,
) -> None:
    """Write a configuration of hep-score for the images, with the scores of reference runs."""
    from benchmarks.result import write_text
    from hepscore_adapter.configuration import configuration, references

    runs = references(paths, workloads, preset)
    text = configuration(runs, registry=registry, gpus=gpus, repetitions=repetitions)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
        click.echo(output)


@cli.command()
def doctor() -> None:
    """Say what this machine offers and what is missing for what."""
    from benchmarks import doctor as examiner

    checks = examiner.examine()
    click.echo(examiner.format_checks(checks))
    sys.exit(0 if examiner.can_run(checks) else 1)


def main() -> None:
    """Runs the command; one line and an exit code for whatever goes wrong."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"hepbench: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        click.echo("hepbench: interrupted", err=True)
        # click makes an Abort of whatever stopped it.
        sys.exit(143 if isinstance(stop.__cause__ or stop, Terminated) else 130)
    except UsageError as error:
        click.echo(f"hepbench: {error}", err=True)
        sys.exit(2)
    except (DataError, RunFailedError) as error:
        click.echo(f"hepbench: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a folder without permission, a full disk: nothing to trace
        click.echo(f"hepbench: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
