"""The ``hepbench`` command. Each of its commands imports what it needs when it is called, to answer soon."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.data_commands import data
from benchmarks.errors import RunFailedError, Terminated, UsageError
from benchmarks.fit_command import fit
from benchmarks.hepscore_commands import hepscore
from benchmarks.options import FILE, FLAGS, FOLDER, PRESET, SWITCHES, ImageName, resolved, taking
from benchmarks.output import RunOptions
from benchmarks.publishing_commands import export, leaderboard
from benchmarks.result_commands import compare, report, reproduce
from benchmarks.serve_commands import serve
from benchmarks.sonic.command import sonic
from benchmarks.streams import prepare_streams, say, settle_streams
from datasets.errors import DataError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hepbench")
def cli() -> None:
    """Run machine-learning workloads of high-energy physics as a hardware benchmark."""


cli.add_command(data)
cli.add_command(fit)
cli.add_command(hepscore)
cli.add_command(report)
cli.add_command(compare)
cli.add_command(reproduce)
cli.add_command(export)
cli.add_command(leaderboard)
cli.add_command(serve)
cli.add_command(sonic)


@cli.command("list")
def list_workloads() -> None:
    """List the workloads and their presets, and the backends."""
    from benchmarks import backends, workload

    for name in workload.REGISTRY:
        click.echo(f"{name}: {workload.describe(name)}")
        click.echo(f"    presets: {', '.join(workload.presets(name))}")
    click.echo("backends:")
    for name, requirement in backends.REGISTRY.items():
        click.echo(f"    {name}: {requirement.describe()}")


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
@click.option(
    "--repeat",
    type=click.IntRange(2),
    help="Runs in fresh processes, in folders repeat-1, ... below --output, and what their scores come to.",
)
@click.option("--ranks", type=click.IntRange(1), help="Processes that train together, on this machine.")
@click.option("--gpus", type=click.IntRange(1), help="The same, with a GPU each; never fewer.")
@click.option("--output", type=FOLDER, help="Folder of the result [default: results/WORKLOAD-PRESET-TIME].")
@taking(*SWITCHES)
@click.option("--dry-run", is_flag=True, help="Print the configuration, or the engine's command, and stop.")
@click.option("--engine", type=click.Choice(["docker", "apptainer"]), help="Run in a container.")
@click.option(
    "--image",
    type=ImageName(),
    help="Its image or SIF file [default: of this version, as made by make image, sif].",
)
def run(
    workload: str,
    preset: str,
    file: Path | None,
    assignments: tuple[str, ...],
    sweep: tuple[str, ...],
    repeat: int | None,
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
    options = RunOptions(output, force=force, quiet=quiet, debug=debug)
    if sweep and repeat:
        raise UsageError("--sweep and --repeat contradict each other; leave one of them out")

    def resolve(*swept_values: str) -> Any:
        return resolved(workload, preset, file, assignments, flags, swept_values)

    # In a container, the image's own program does everything that follows.
    if engine is not None:
        from benchmarks.launchers.container import plan_container, run_container

        series = {"sweep": sweep, "repeat": repeat, "ranks": ranks, "gpus": gpus}
        settings = {"config": file, "set": assignments, **series, **flags}
        container = plan_container(engine, image, resolve(), settings, options)
        if dry_run:
            click.echo(container.command_line())
            return
        sys.exit(run_container(container, options))
    if image is not None:
        raise UsageError("--image: expected with --engine docker or --engine apptainer only; add one of them")

    # A sweep has several configurations, and every other run has one.
    if sweep:
        from benchmarks.launchers.sweep import configurations

        runs = configurations(sweep, assignments, flags, resolve)
    else:
        runs = {"": resolve()}
    if dry_run:
        click.echo("\n\n".join(configuration.describe() for configuration in runs.values()))
        return

    # Every run of a sweep is a process of its own, which starts its ranks.
    from benchmarks.ranks.place import resolve_rank_count

    count, place = resolve_rank_count(ranks, gpus, os.environ)
    if sweep or repeat:
        from benchmarks.launchers.repeats import run_repeats
        from benchmarks.launchers.sweep import run_sweep

        if place.size > 1:
            option = "--sweep" if sweep else "--repeat"
            raise UsageError(f"{option}: started by {place.launcher}; leave it to hepbench run --ranks N")
        rank_options = [f"--{name}={number}" for name, number in (("ranks", ranks), ("gpus", gpus)) if number]
        if repeat:
            sys.exit(run_repeats(runs[""], repeat, options, rank_options))
        sys.exit(run_sweep(runs, options, rank_options))

    # This process starts the ranks, unless a launcher has started them or it is the only one.
    if debug:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
    if count > place.size:
        from benchmarks.launchers.local_ranks import run_ranks

        sys.exit(run_ranks(runs[""], options, count, gpus=gpus or 0))
    from benchmarks.job import run_job

    sys.exit(run_job(runs[""], options, place=place, gpus=gpus or 0))


@cli.command()
@taking(*PRESET[:2])
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Whole nodes.")
@click.option("--gpus-per-node", type=click.IntRange(1), help="Ranks on each node, one GPU each.")
@click.option("--ranks-per-node", type=click.IntRange(1), help="Ranks on each node, without GPUs.")
@click.option("--image", type=FILE, required=True, help="SIF file, where the nodes see it.")
@click.option("--output", type=FOLDER, required=True, help="Folder of the result, where the nodes see it.")
@click.option("--time", help="Limit of the job, such as 02:00:00 [default: the cluster's].")
@click.option("--partition", help="Slurm's partition [default: the cluster's].")
@click.option("--account", help="Slurm's account [default: the user's].")
@click.option("--dry-run", is_flag=True, help="Print the batch script and stop.")
def submit(workload: str, preset: str, image: Path, output: Path, *, dry_run: bool, **limits: Any) -> None:
    """Submit a training in containers to Slurm: nodes times GPUs, or nodes times ranks."""
    from benchmarks.launchers.slurm import batch_script, plan_job, submit_job
    from hepscore_adapter.validate import summary_path

    job = plan_job(resolved(workload, preset, None, (), {}), image, output, **limits)
    if dry_run:
        click.echo(batch_script(job), nl=False)
        return
    number, script = submit_job(job)
    click.echo(f"job:     {number} ({script})\nsummary: {summary_path(workload, job.output)}")


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
@taking(*SWITCHES)
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
    from benchmarks.scaling.series import parse_rank_counts, run_scale

    config = resolved(workload, preset, file, assignments, flags)
    options = RunOptions(output, force=force, quiet=quiet, debug=debug)
    sys.exit(run_scale(config, parse_rank_counts(ranks), mode, options, picture))


@cli.command()
def doctor() -> None:
    """Say what this machine offers and what is missing for what."""
    from benchmarks import doctor as examiner

    checks = examiner.examine()
    click.echo(examiner.format_checks(checks))
    sys.exit(0 if examiner.can_run(checks) else 1)


def main() -> None:
    """Runs the command, and turns whatever goes wrong into one line and an exit code."""
    prepare_streams()
    try:
        _run_command()
    finally:
        settle_streams()


def _run_command() -> None:
    """Runs the command as ``main`` does, on streams that can be written to."""
    # click ends with an exception for help, for a wrong call and for an interruption.
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        say(f"hepbench: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        say("hepbench: interrupted", err=True)
        # click raises its Abort from whatever stopped it.
        cause = stop.__cause__ or stop
        sys.exit(128 + (cause.signal if isinstance(cause, Terminated) else signal.SIGINT))

    # These are our own errors, whose texts are written for a person.
    except (UsageError, DataError, RunFailedError) as error:
        say(f"hepbench: {error}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)

    # Nobody reads the output any more, which is no reason for a traceback of Python's at its end.
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # a folder without permission or a full disk, which needs no traceback
        say(f"hepbench: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
