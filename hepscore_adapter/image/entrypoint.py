"""The program of the images: the command line with which hep-score starts a workload of HEPscore.

It trains the workload and the data of its image, once or in several copies side by side, and leaves in the
results folder what hep-workloads leave:

=============================== ======================================================================
``NAME_summary.json``           the scores; written last of all, by a run that ended well only
``result.json``                 everything that was measured, also by a run that failed; of one copy only
``inputs.log``                  NCOPIES, NTHREADS, NEVENTS_THREAD, EXTRA_ARGS as asked for
``version.json``                the summary's block ``app``
``parser_output.json``          the summary's blocks ``wl-scores`` and ``wl-stats``
``proc_I/``                     of copy I: ``result.json``, ``run.log``, and its output ``out_I.log``
``archive_processes_logs.tgz``  these folders; ``--mop all`` then removes them
=============================== ======================================================================

What an earlier run left there is replaced. Nothing is written elsewhere but to a private folder below TMPDIR
(``/tmp``), which is removed. The exit code is 0 with a summary; 2 for a wrong call, 124 for the time limit,
130 and 143 for Ctrl-C and SIGTERM, and else that of the copy that failed: then there is no summary.

The image says what is in it: HEPBENCH_WORKLOAD, HEPBENCH_PRESETS (the first is the default) and
HEPBENCH_IMAGE_DATA, which has a data set for each preset.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.errors import RunFailedError, UsageError
from hepscore_adapter.image.copies import CopyFailedError, Stopped, interruptible, run_copies
from hepscore_adapter.image.plan import Image, Load, plan
from hepscore_adapter.image.worktree import Worktree, remove_summary

A_DAY = 24 * 60 * 60
COUNT = click.IntRange(1, 100_000_000)
SHARE = click.IntRange(1, 4096)

# The options of the training, which may also stand in --extra-args.
TRAINING = [
    click.Option(["--preset"], help="Size of the training [default: the first of those at the end]."),
    click.Option(["--epochs"], help="Passes over the training events, warm-up included."),
    click.Option(["--batch-size"], help="Events per step."),
    click.Option(["--gpus"], type=SHARE, help="GPUs of each copy, one rank on each; never fewer."),
    click.Option(["--precision"], help="float32, float64, mixed_bfloat16 or mixed_float16."),
    click.Option(["--seed"], help="Seed of the initial weights and of everything drawn later."),
]
LOAD = [
    click.Option(
        ["straight", "-W"], is_flag=True, help="Write into the results folder itself [default: below it]."
    ),
    click.Option(
        ["resultsdir", "-w", "--resultsdir"],
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("/results"),
        show_default=True,
        help="Folder of the results; made if it is missing.",
    ),
    click.Option(
        ["-c", "--copies"],
        type=SHARE,
        default=1,
        show_default=True,
        help="Independent copies side by side; their scores are added up.",
    ),
    click.Option(
        ["-t", "--threads"],
        type=SHARE,
        help="CPU threads of a copy, of each rank with --gpus [default: the cores shared out].",
    ),
    click.Option(
        ["-e", "--events"], type=COUNT, help="Training events per thread and epoch [default: the preset's]."
    ),
    click.Option(
        ["-n", "--ncores"], type=SHARE, help="Cores for all copies together [default: all usable ones]."
    ),
    click.Option(
        ["-m", "--mop"],
        type=click.Choice(["none", "all"]),
        default="none",
        show_default=True,
        help="Working files to remove in the end: the folders proc_*, which are in the archive, too.",
    ),
    click.Option(["-d", "--debug"], is_flag=True, help="Tracebacks and the framework's own messages."),
    click.Option(
        ["-x", "--extra-args"],
        default="",
        help="More of these options, from --preset on, in one argument. Words without a dash are only "
        "written into the summary.",
    ),
    click.Option(
        ["--timeout"],
        type=COUNT,
        default=A_DAY,
        show_default=True,
        help="Seconds after which the run is stopped and has failed.",
    ),
]


def parse(arguments: list[str]) -> dict[str, Any]:
    """The options of a command line, those in ``--extra-args`` among them.

    Raises:
        click.ClickException: An unknown option, a malformed value, or one option in both places.
        click.exceptions.Exit: The help was asked for.
    """
    # hep-score can emit empty arguments; the one behind --extra-args is its value.
    told = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        if argument.strip() or before in ("-x", "--extra-args")
    ]
    command = click.Command(
        "hepbench-entrypoint",
        params=[*LOAD, *TRAINING],
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Trains the workload of this image and writes its scores, as hep-workloads do.",
        epilog=_epilog(),
    )
    options = command.make_context(command.name, told).params
    if str(options["resultsdir"]).startswith("-"):
        raise click.UsageError(f"--resultsdir: expected a folder, got {options['resultsdir']}")
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
    """Options of the training in ``text``, None where one is not there; words on their own say nothing."""
    if not text.isprintable():
        raise click.UsageError(f"--extra-args: expected printable text, got {text!r}")
    words = click.Argument(["words"], nargs=-1)
    inner = click.Command("extra-args", params=[*TRAINING, words], add_help_option=False)
    try:
        found = dict(inner.make_context(inner.name, text.split()).params)
    except click.ClickException as error:
        raise click.UsageError(f"--extra-args: {error.format_message()}") from None
    if ignored := found.pop("words"):
        click.echo(f"hepbench: --extra-args: no option, only written down: {' '.join(ignored)}", err=True)
    return found


def _epilog() -> str:
    presets = os.environ.get("HEPBENCH_PRESETS", "").split()
    return f"Presets of this image: {', '.join(presets)}." if presets else ""


def run(options: dict[str, Any]) -> None:
    """Runs all copies and writes the summary, last of all.

    Raises:
        UsageError: The call asks for what the image or the machine cannot do.
        RunFailedError, CopyFailedError, Stopped, OSError, ValueError: The run failed; there is no summary.
    """
    image = Image.from_environment(os.environ)
    resultsdir = options["resultsdir"].absolute()
    if options["straight"]:
        remove_summary(resultsdir, image.workload)
    with interruptible(options["timeout"]):
        load = plan(image, options)
        tree = Worktree.begin(resultsdir, image.workload, load, straight=options["straight"])
        _copies_to_their_end(tree, load, clean=options["mop"] == "all")
        click.echo(f"hepbench: the scores go to {tree.summary}")
    tree.write_summary(load)  # the last that can fail: whoever has a summary has not failed


def _copies_to_their_end(tree: Worktree, load: Load, clean: bool) -> None:
    try:
        run_copies(load, tree.processes)
        tree.read_results()
    except BaseException:
        tree.rescue(clean)
        raise
    tree.write_reports(load, clean)


def main() -> None:
    """Runs the command; one line and an exit code for whatever goes wrong."""
    for stream in (sys.stdout, sys.stderr):  # hep-score dies of a byte that is not UTF-8
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        run(parse(sys.argv[1:]))
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.ClickException, UsageError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"hepbench: {message}", err=True)
        sys.exit(2)
    except (CopyFailedError, Stopped) as error:
        click.echo(f"hepbench: {error}", err=True)
        sys.exit(error.exit_code)
    except (RunFailedError, ValueError, OSError) as error:
        click.echo(f"hepbench: no score: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
