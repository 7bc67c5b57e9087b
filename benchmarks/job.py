"""A run as a person starts it: output folder, log, signals, files, table, exit code."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from benchmarks import report
from benchmarks.config import Resolved
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.progress import Progress
from benchmarks.result import RunResult, write_json
from benchmarks.runner import Terminated, run
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import summary_path, validate_summary, write_summary

FREE_BYTES = 4 << 20  # room that the files of a run need, with some to spare
EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 130, 143

log = logging.getLogger("hepbench")


def run_job(resolved: Resolved, output: Path | None, *, force: bool, quiet: bool) -> int:
    """Runs, writes the result and, for a run that has a score, the summary.

    Returns:
        Exit code: 0, 1 for a failed run, 130 or 143 for an interrupted one.

    Raises:
        UsageError: The output folder cannot be used, or holds a result and ``force`` is not given.
        DataError: The events are damaged, too few, or cannot be made; nothing is written then.
        RunFailedError: The result could not be written.
    """
    folder = output or _default_folder(resolved)
    _check_folder(folder, force)
    progress = Progress(visible=not quiet, terminal=sys.stderr.isatty())
    with _logging_to(folder / "run.log"), _sigterm_raises():
        log.info("configuration: %s", resolved.to_dict())
        result = _scored(run(resolved, progress))
        log.info("status: %s %s", result.status, result.reason)
    if not quiet:
        click.echo(report.table([(str(folder), result)]))
    _write(result, folder)
    if result.status == "ok":
        if not quiet:
            click.echo(f"\nresult:  {folder / 'result.json'}\nsummary: {summary_path(result.workload, folder)}")
        return 0
    click.echo(f"hepbench: {result.status}: {result.reason} (see {folder / 'result.json'})", err=True)
    if result.status == "failed":
        return EXIT_FAILED
    return EXIT_TERMINATED if result.reason == "SIGTERM" else EXIT_INTERRUPTED


def _scored(result: RunResult) -> RunResult:
    """The result itself, or a failed one if no valid summary can be made of it."""
    if result.status != "ok":
        return result
    try:
        validate_summary(summary(result), result)
    except ValueError as error:
        return replace(result, status="failed", reason=f"no valid summary: {error}")
    return result


def _default_folder(resolved: Resolved) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return Path("results") / f"{resolved.config.workload}-{resolved.preset}-{stamp}"


def _check_folder(folder: Path, force: bool) -> None:
    """Makes the folder; finds out now, not after an hour, whether the result can be written."""
    existing = [path for path in (folder / "result.json", *folder.glob("*_summary.json")) if path.exists()]
    if existing and not force:
        raise UsageError(f"{existing[0]} exists; choose another --output or give --force to replace it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--output {folder}: expected a folder to write to, got: {error.strerror}") from None
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise UsageError(f"--output {folder}: expected {FREE_BYTES >> 20} MiB of free disk, got {free >> 10} KiB")


def _write(result: RunResult, folder: Path) -> None:
    """The result, then the summary last of all; an older summary goes first, it is not this run's."""
    try:
        for old in folder.glob("*_summary.json"):
            old.unlink()
        write_json(folder / "result.json", result.to_dict())
        if result.status == "ok":
            write_summary(result, folder)
    except OSError as error:
        raise RunFailedError(f"cannot write the result to {folder}: {error.strerror}") from None


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    except BaseException:
        log.exception("stopped before there was a result")
        raise
    finally:
        log.removeHandler(handler)
        handler.close()


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
