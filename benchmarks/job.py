"""A run as a person starts it: output folder, log, signals, files, table, exit code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.files import file_stamp, write_json
from benchmarks.output import (
    EXIT_FAILED,
    RunOptions,
    locked_folder,
    output_folder,
    remove_summaries,
)
from benchmarks.progress import Progress
from benchmarks.ranks.ending import Ending, announce_error, store_failure, write_in_place_of_rank_0
from benchmarks.ranks.horovod import store_of
from benchmarks.ranks.place import ALONE, LOCAL_LAUNCHER, Place
from benchmarks.resolution import Resolved
from benchmarks.result import RunResult
from benchmarks.runner import run, unexpected
from benchmarks.stopping import (
    exit_code,
    ignore_further_signals,
    ignore_signals_until_exit,
    on_stopping,
    raise_once,
    signal_raised,
)
from benchmarks.streams import error_terminal, say
from datasets.errors import DataError
from datasets.progress import bars_on
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import summary_path, validate_summary, write_summary

log = logging.getLogger("hepbench")


def run_job(resolved: Resolved, options: RunOptions, *, place: Place = ALONE, gpus: int = 0) -> int:
    """Runs, writes the result and, for a run that has a score, the summary.

    With ``options.force``, the old summary is removed when the measurement begins. A wrong call costs nothing
    then, and a run that is killed leaves no score but its own.

    Args:
        resolved: What to run.
        options: Where the result goes, and what is printed.
        place: Which rank of the run this process is. Only rank 0 writes.
        gpus: How many GPUs the call asks for, or 0 for whatever there is.

    Returns:
        Exit code: 0, 1 for a failed run, 128 plus the number of the signal for an interrupted one.

    Raises:
        UsageError: The output folder cannot be used, is in use, or holds a result and ``force`` is not given.
        RunFailedError: The result could not be written.
    """
    if place.rank:
        return _run_other_rank(resolved, options, place, gpus)

    # The figures are shown even if they cannot be written, as on a full disk.
    with output_folder(options, resolved) as folder, locked_folder(folder), on_stopping(raise_once):
        result = _run_rank_0(resolved, folder, options, place, gpus)
        try:
            _write_files(result, folder)
        finally:
            if not options.quiet:
                say(report.table([(str(folder), result)]))
        if result.status == "interrupted":
            ignore_signals_until_exit()

    # The last lines say where the files are, or why there is no score.
    file = folder / "result.json"
    if result.status != "ok":
        say(f"hepbench: {result.status}: {result.reason} (see {file})", err=True)
    elif not options.quiet:
        say(f"\nresult:  {file}\nsummary: {summary_path(result.workload, folder)}")
    return _exit_code(result)


def _exit_code(result: RunResult) -> int:
    if result.status == "ok":
        return 0
    if result.status == "failed":
        return EXIT_FAILED
    return exit_code(result.reason)


def _run_rank_0(resolved: Resolved, folder: Path, options: RunOptions, place: Place, gpus: int) -> RunResult:
    """Runs rank 0 with its log, which is removed if the call is wrong or is stopped early."""
    has_begun = False

    def on_start() -> None:
        nonlocal has_begun
        has_begun = True
        _set_old_results_aside(folder, resolved, place)

    terminal = None if options.quiet else error_terminal()
    progress = Progress(visible=not options.quiet, terminal=terminal is not None)
    try:
        with _logging_to(folder / "run.log", options.debug), bars_on(terminal):
            log.info("configuration: %s", resolved.to_dict())
            result = run(resolved, progress, on_start, ignore_further_signals, place=place, gpus=gpus)
            result = _with_valid_summary(result)
            log.info("status: %s %s", result.status, result.reason)
    except (UsageError, KeyboardInterrupt):
        (folder / "run.log").unlink(missing_ok=True)
        raise

    # Whatever else breaks before the training has a result with the reason, and the traceback is in the log.
    except Exception as error:
        if stop := signal_raised():
            raise stop from error
        is_ours = isinstance(error, (DataError, RunFailedError))
        # A run that did not begin costs nobody the older result that --force was to replace.
        if is_ours and not has_begun and (folder / "result.json").exists():
            raise
        ignore_further_signals()
        on_start()
        reason = str(error) if is_ours else unexpected(error)
        result = RunResult.without_figures(resolved.to_dict(), place.size, "failed", reason)
    return result


def _set_old_results_aside(folder: Path, resolved: Resolved, place: Place) -> None:
    """Lets no older figures pass for those of the run that starts now, should it be killed.

    The summary is removed. The result becomes a file of another name, until this run has written its own. Of
    several ranks, the launcher or another rank writes the result of a run whose rank 0 was killed.
    """
    remove_summaries(folder)
    file = folder / "result.json"
    if place.size == 1 and file.exists() and not _older(file).exists():
        reason = "killed before it ended: no signal that it could answer, or the machine went down"
        record = RunResult.without_figures(resolved.to_dict(), 1, "failed", reason)
        file.replace(_older(file))
        try:
            write_json(file, record.to_dict())
        except OSError:
            _older(file).replace(file)
            raise RunFailedError(f"cannot write to {folder}: no room for a result") from None


def _older(file: Path) -> Path:
    return file.with_name(".result.older.json")


def _with_valid_summary(result: RunResult) -> RunResult:
    """Returns the result itself, or a failed one if no valid summary can be made of it."""
    if result.status != "ok":
        return result
    try:
        validate_summary(summary(result), result)
    except ValueError as error:
        return replace(result, status="failed", reason=f"no valid summary: {error}")
    return result


def _write_files(result: RunResult, folder: Path) -> None:
    """Writes the result and then, last of all, the summary; an older result stays if there is no room."""
    file = folder / "result.json"
    try:
        try:
            write_json(file, result.to_dict())
        except OSError:
            if _older(file).exists():
                _older(file).replace(file)
            raise
        _older(file).unlink(missing_ok=True)
        if result.status == "ok":
            write_summary([result], folder)
    except OSError as error:
        raise RunFailedError(f"cannot write the result to {folder}: {error.strerror}") from None


def _run_other_rank(resolved: Resolved, options: RunOptions, place: Place, gpus: int) -> int:
    """Runs a rank other than 0, which is silent unless it fails, and writes only if it outlives rank 0."""
    log.handlers = [logging.StreamHandler() if options.debug else logging.NullHandler()]
    log.propagate = False
    file = None if options.output is None else options.output / "result.json"
    stamp = None if file is None else file_stamp(file)

    # Whatever ends this rank, the others learn of it.
    store = store_of(place)
    with on_stopping(raise_once), announce_error(store, place.rank):
        silent = Progress(visible=False, terminal=False)
        result = run(resolved, silent, on_end=ignore_further_signals, place=place, gpus=gpus)
        if result.status == "interrupted":
            ignore_signals_until_exit()
    if result.status == "ok":
        return 0
    say(f"hepbench: {result.status}: {result.reason}", err=True)

    # Our own launcher writes the result of a run whose rank 0 is gone. Other launchers do not. A result from
    # before this run, which --force was to replace, must not pass for that of this run. Any other result
    # comes from rank 0 or from a rank that was faster, and stays.
    if file is not None and place.launcher != LOCAL_LAUNCHER and store_failure(store):
        ending = Ending(result.status, result.reason)
        with suppress(OSError):  # the folder may be on the node of rank 0, or the file may exist by now
            is_old = stamp is not None and file_stamp(file) == stamp
            write_in_place_of_rank_0(file, result.config, result.world_size, ending, replace=is_old)
    return _exit_code(result)


class _LogFile(logging.FileHandler):
    """A log that loses lines on a full disk, where the standard one prints a traceback for each line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Ignores the error."""


@contextmanager
def _logging_to(path: Path, debug: bool) -> Iterator[None]:
    """Writes the log to a file in the ``with`` block, and errors to the terminal, too, with ``debug``."""
    file, terminal = _LogFile(path, "w", "utf-8", errors="backslashreplace"), logging.StreamHandler()
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    terminal.setLevel(logging.ERROR)
    log.handlers = [file, terminal] if debug else [file]
    log.setLevel(logging.INFO)
    log.propagate = False

    # The log keeps the traceback of an error that the terminal shows in one line.
    try:
        yield
    except BaseException:
        log.exception("stopped before there was a result")
        raise
    finally:
        log.handlers = []
        with suppress(OSError):  # the disk may be full here, too
            file.close()
