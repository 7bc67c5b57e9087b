"""The program of the images: the command line with which hep-score starts a workload of HEPscore.

It runs the workload on the data of its image, in one copy or in several side by side, and leaves in the
results folder what hep-workloads leave:

=============================== ======================================================================
``NAME_summary.json``           the scores, written last of all and only by a run that ended well
``result.json``                 everything that was measured, also by a run that failed, of one copy only
``inputs.log``                  NCOPIES, NTHREADS, NEVENTS_THREAD and EXTRA_ARGS of the call
``version.json``                the summary's block ``app``
``parser_output.json``          the summary's blocks ``wl-scores`` and ``wl-stats``
``proc_I/``                     of copy I: ``result.json``, ``run.log``, and its output ``out_I.log``
``archive_processes_logs.tgz``  these folders, which ``--mop all`` then removes
=============================== ======================================================================

Files of an earlier run with these names are replaced. Nothing else is written but a private folder below
TMPDIR (``/tmp``), which is removed. The exit code is 0 with a summary. Without one it is 2 for a wrong call,
1 for missing GPUs or files, 124 for the time limit, 128 plus the number of a signal, as 143 for SIGTERM, and
otherwise that of the copy that failed.

The image sets HEPBENCH_WORKLOAD, HEPBENCH_PRESETS (the first is the default) and HEPBENCH_IMAGE_DATA, a
folder with a data set for each preset.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.options import FOLDER
from benchmarks.streams import prepare_streams, say, settle_streams
from hepscore_adapter.image.copies import (
    CopyFailedError,
    RunStoppedError,
    run_copies,
    stop_on_signal_or_after,
)
from hepscore_adapter.image.plan import DEVICES, Image, Plan, make_plan
from hepscore_adapter.image.worktree import Worktree, remove_summary

A_DAY = 24 * 60 * 60
COUNT = click.IntRange(1, 100_000_000)
SHARE = click.IntRange(1, 4096)

# Options of the workload, which --extra-args may contain as well.
WORKLOAD_OPTIONS = [
    click.Option(["--preset"], help="Size of the run [default: the first of the list below]."),
    click.Option(["--epochs"], help="Passes over the training events, warm-up included; of trainings only."),
    click.Option(["--batch-size"], help="Events per step, of trainings only."),
    click.Option(
        ["-M", "--mode"],
        type=click.Choice(["gpu", "cpu"]),
        help="gpu: one GPU for each copy, or as many as --gpus says, and never the CPU in their place. "
        "cpu: all GPUs are hidden [default: a GPU if there is one].",
    ),
    click.Option(["--gpus"], type=SHARE, help="GPUs of each copy, one rank on each and never fewer."),
    click.Option(["--n-gpus"], type=SHARE, help="The same as --gpus."),
    click.Option(["--device"], type=click.Choice([*DEVICES]), help="The same as --mode gpu or --mode cpu."),
    click.Option(
        ["--precision"], help="float32, float64, mixed_bfloat16 or mixed_float16; a kernel: float64."
    ),
    click.Option(["--seed"], help="Seed of the initial weights and of all random numbers."),
]
IMAGE_OPTIONS = [
    click.Option(
        ["straight", "-W"], is_flag=True, help="Write into the results folder itself [default: below it]."
    ),
    click.Option(
        ["resultsdir", "-w", "--resultsdir"],
        type=FOLDER,
        default=Path("/results"),
        show_default=True,
        help="Folder of the results, which is made if it is missing.",
    ),
    click.Option(
        ["-c", "--copies"],
        type=SHARE,
        default=1,
        show_default=True,
        help="Independent copies side by side, whose scores are added up.",
    ),
    click.Option(
        ["-t", "--threads"],
        type=SHARE,
        help="CPU threads of a copy, or of each of its ranks on GPUs [default: the cores shared out].",
    ),
    click.Option(
        ["-e", "--events"],
        type=COUNT,
        help="Events per thread and epoch, of trainings only [default: the preset's].",
    ),
    click.Option(
        ["-n", "--ncores"], type=SHARE, help="Cores for all copies together [default: all usable ones]."
    ),
    click.Option(
        ["-m", "--mop"],
        type=click.Choice(["none", "all"]),
        default="none",
        show_default=True,
        help="Working files to remove in the end, which are the folders proc_*. The archive has them, too.",
    ),
    click.Option(["-d", "--debug"], is_flag=True, help="Tracebacks and the framework's own messages."),
    click.Option(
        ["-x", "--extra-args"],
        default="",
        help="More options from --preset on, in one argument. Words without a dash only go into the summary.",
    ),
    click.Option(
        ["--timeout"],
        type=COUNT,
        default=A_DAY,
        show_default=True,
        help="Seconds after which the run is stopped and fails.",
    ),
]


def parse(arguments: list[str]) -> dict[str, Any]:
    """Returns the options of a command line by name, including those in ``--extra-args``.

    Args:
        arguments: The command line without the program.

    Raises:
        click.ClickException: An unknown option, a malformed value, or one option in both places.
        click.exceptions.Exit: The help was printed.
    """
    # hep-score can pass empty arguments. One that follows --extra-args is its value, the others mean nothing.
    words = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if argument.strip() or before in ("-x", "--extra-args")
    ]

    # A command is built for each call, because the help names the presets of the image.
    command = click.Command(
        "hepbench-entrypoint",
        params=[*IMAGE_OPTIONS, *WORKLOAD_OPTIONS],
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Trains the workload of this image and writes its scores, as hep-workloads do.",
        epilog=_epilog(),
    )
    options = command.make_context(command.name, words).params
    if str(options["resultsdir"]).startswith("-"):
        raise click.UsageError(f"--resultsdir: expected a folder, got {options['resultsdir']}")

    # An option in both places is refused, even with the same value: which one counts would be a guess.
    options["extra_args"] = options["extra_args"].strip()
    for name, value in _parse_extra(options["extra_args"]).items():
        if value is None:
            continue
        if options[name] is not None:
            flag = name.replace("_", "-")
            raise click.UsageError(f"--{flag}: expected once, got it on the command line and in --extra-args")
        options[name] = value
    return options


def _parse_extra(text: str) -> dict[str, Any]:
    """Returns the options of the workload by name, None for one that ``text`` lacks.

    Words that are no options are named in a line on standard error and ignored.

    Raises:
        click.UsageError: An unknown option, a malformed value, or bytes that are no text.
    """
    if not text.isprintable():
        raise click.UsageError(f"--extra-args: expected printable text, got {text!r}")
    words = click.Argument(["words"], nargs=-1)
    inner = click.Command("extra-args", params=[*WORKLOAD_OPTIONS, words], add_help_option=False)
    try:
        options = dict(inner.make_context(inner.name, text.split()).params)
    except click.ClickException as error:
        raise click.UsageError(f"--extra-args: {error.format_message()}") from None
    if ignored := options.pop("words"):
        say(f"hepbench: --extra-args: no option, only written down: {' '.join(ignored)}", err=True)
    return options


def _epilog() -> str:
    presets = os.environ.get("HEPBENCH_PRESETS", "").split()
    return f"Presets of this image: {', '.join(presets)}." if presets else ""


def run(options: dict[str, Any]) -> None:
    """Runs all copies and writes the summary, last of all.

    Args:
        options: Values of the options by name, as ``parse`` returns them.

    Raises:
        UsageError: The call asks for what the image or the machine cannot do.
        RunFailedError, CopyFailedError, RunStoppedError, OSError, ValueError: The run failed and has no
            summary.
    """
    image = Image.from_environment(os.environ)
    resultsdir = options["resultsdir"].absolute()
    if options["straight"]:
        remove_summary(resultsdir, image.workload)
    with stop_on_signal_or_after(options["timeout"]):
        plan = make_plan(image, options)
        tree = Worktree.begin(resultsdir, image.workload, plan, straight=options["straight"])
        _run_and_report(tree, plan, clean=options["mop"] == "all")
        say(f"hepbench: the scores go to {tree.summary}")
    tree.write_summary(plan)  # the last step that can fail, so that a run with a summary has not failed


def _run_and_report(tree: Worktree, plan: Plan, clean: bool) -> None:
    """Runs all copies and writes the reports, which a failed run leaves, too."""
    try:
        run_copies(plan, tree.processes)
        tree.read_results()
    except BaseException:
        tree.rescue(clean)
        raise
    tree.write_reports(plan, clean)


def main() -> None:
    """Runs the command, and ends with one line and an exit code whatever goes wrong."""
    prepare_streams()
    # One byte that is not UTF-8 would end hep-score itself.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        _run_command()
    finally:
        settle_streams()


def _run_command() -> None:
    """Runs the command as ``main`` does, on streams that can be written to."""
    # A wrong call has exit code 2. A run that failed passes on the exit code that says how.
    try:
        run(parse(sys.argv[1:]))
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.ClickException, UsageError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        say(f"hepbench: {message}", err=True)
        sys.exit(2)
    except (CopyFailedError, RunStoppedError) as error:
        say(f"hepbench: {error}", err=True)
        sys.exit(error.exit_code)
    except (RunFailedError, ValueError, OSError) as error:
        say(f"hepbench: no score: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
