"""A run as a person starts it: output folder, log, signals, files, table, exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from benchmarks import report
from benchmarks.config import Resolved
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    check_folder,
    default_folder,
    remove_summaries,
)
from benchmarks.progress import Progress
from benchmarks.ranks.horovod import gone_from, telling
from benchmarks.ranks.place import ALONE, BY_US, Place
from benchmarks.result import RunResult, file_stamp, write_json
from benchmarks.runner import run
from benchmarks.stopping import ignore_further_signals, on_stopping, raise_once
from datasets.errors import DataError
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import summary_path, validate_summary, write_summary

log = logging.getLogger("hepbench")


def run_job(
    resolved: Resolved,
    output: Path | None,
    *,
    force: bool,
    quiet: bool,
    debug: bool = False,
    place: Place = ALONE,
    gpus: int = 0,
) -> int:
    """Runs, writes the result and, for a run that has a score, the summary.

    Args:
        resolved: What to run.
        output: Folder of the result; None for one with the time in its name.
        force: Replace a result that is there. Its summary goes when the training begins, so that a
            wrong call costs nothing and a run that is killed leaves no score but its own.
        quiet: Nothing on the terminal but the one line of a run that did not end well.
        debug: Tracebacks on the terminal, too, not in run.log only.
        place: Which rank of the run this is; only rank 0 writes.
        gpus: How many GPUs were asked for; 0 for whatever there is.

    Returns:
        Exit code: 0, 1 for a failed run, 130 or 143 for an interrupted one.

    Raises:
        UsageError: The output folder cannot be used, or holds a result and ``force`` is not given.
        DataError: The events are damaged, too few, or cannot be made; no file is written then.
        RunFailedError: The result could not be written.
    """
    if place.rank:
        return _take_part(resolved, output, place, gpus, debug)
    folder = output or default_folder(resolved)
    made = check_folder(folder, force)
    with on_stopping(raise_once):
        result = _run(resolved, folder, made, quiet, debug, place, gpus)
        try:
            _write(result, folder)
        finally:  # the figures, at least, where the disk is full
            if not quiet:
                click.echo(report.table([(str(folder), result)]))
    if result.status == "ok":
        if not quiet:
            click.echo(
                f"\nresult:  {folder / 'result.json'}\nsummary: {summary_path(result.workload, folder)}"
            )
        return 0
    click.echo(f"hepbench: {result.status}: {result.reason} (see {folder / 'result.json'})", err=True)
    return _exit_code(result)


def _exit_code(result: RunResult) -> int:
    if result.status == "ok":
        return 0
    if result.status == "failed":
        return EXIT_FAILED
    return EXIT_TERMINATED if result.reason.startswith("SIGTERM") else EXIT_INTERRUPTED


def _take_part(resolved: Resolved, output: Path | None, place: Place, gpus: int, debug: bool) -> int:
    """Runs a rank other than 0: no word unless it fails, and no file unless it outlives rank 0."""
    log.handlers = [logging.StreamHandler() if debug else logging.NullHandler()]
    log.propagate = False
    before = None if output is None else file_stamp(output / "result.json")
    with on_stopping(raise_once), telling(place):
        silent = Progress(visible=False, terminal=False)
        result = run(resolved, silent, ends=ignore_further_signals, place=place, gpus=gpus)
    if result.status == "ok":
        return 0
    click.echo(f"hepbench: {result.status}: {result.reason}", err=True)
    if output is not None and place.launcher != BY_US and gone_from(place):
        _write_for_rank_0(result, output, before)
    return _exit_code(result)


def _write_for_rank_0(result: RunResult, folder: Path, before: tuple[int, int] | None) -> None:
    """Says how a run ended, unless rank 0 could; it replaces this, should it only have been cut off.

    A result from before this run, which ``--force`` was to replace, must not stand for it.
    """
    file = folder / "result.json"
    record = RunResult.without_figures(result.config, result.world_size, result.status, result.reason)
    with suppress(OSError):  # a folder of rank 0's node, or a result, of rank 0 or of another rank
        write_json(file, record.to_dict(), replace=before is not None and file_stamp(file) == before)


def _run(
    resolved: Resolved, folder: Path, made: bool, quiet: bool, debug: bool, place: Place, gpus: int
) -> RunResult:
    progress = Progress(visible=not quiet, terminal=sys.stderr.isatty())
    try:
        with _logging_to(folder / "run.log", debug):
            log.info("configuration: %s", resolved.to_dict())
            begins = partial(remove_summaries, folder)
            result = _scored(run(resolved, progress, begins, ignore_further_signals, place=place, gpus=gpus))
            log.info("status: %s %s", result.status, result.reason)
    except (UsageError, DataError, RunFailedError, KeyboardInterrupt):
        _leave_nothing(folder, made)  # there was no run
        raise
    return result


def _scored(result: RunResult) -> RunResult:
    """The result itself, or a failed one if no valid summary can be made of it."""
    if result.status != "ok":
        return result
    try:
        validate_summary(summary(result), result)
    except ValueError as error:
        return replace(result, status="failed", reason=f"no valid summary: {error}")
    return result


def _leave_nothing(folder: Path, made: bool) -> None:
    (folder / "run.log").unlink(missing_ok=True)
    if made:
        with suppress(OSError):
            folder.rmdir()


def _write(result: RunResult, folder: Path) -> None:
    """The result, then, last of all, the summary."""
    try:
        write_json(folder / "result.json", result.to_dict())
        if result.status == "ok":
            write_summary([result], folder)
    except OSError as error:
        raise RunFailedError(f"cannot write the result to {folder}: {error.strerror}") from None


class _LogFile(logging.FileHandler):
    """A log that loses lines on a full disk, where logging's own prints a traceback for each."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        pass


@contextmanager
def _logging_to(path: Path, debug: bool) -> Iterator[None]:
    file, terminal = _LogFile(path, mode="w", encoding="utf-8"), logging.StreamHandler()
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    terminal.setLevel(logging.ERROR)
    log.handlers = [file, terminal] if debug else [file]
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    except BaseException:
        log.exception("stopped before there was a result")
        raise
    finally:
        log.handlers = []
        with suppress(OSError):  # a full disk again
            file.close()
