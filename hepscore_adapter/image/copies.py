"""Copies of ``hepbench run`` side by side: started, watched, and stopped together.

This is the first process of a container, so it also collects the exit codes of what others left behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from benchmarks.errors import RunFailedError
from benchmarks.stopping import STOPPING, handled_signals, ignore_further_signals
from hepscore_adapter.image.plan import Load

HEPBENCH = (sys.executable, "-m", "benchmarks.cli")
EXIT_TIME_LIMIT = 124  # as of the command timeout
GRACE_SECONDS = 8  # docker stop leaves a container 10
_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
# Where libraries keep what they compile or fetch: a repetition must not find what the one before left.
_CACHES = (
    "CUDA_CACHE_PATH",
    "HEPBENCH_DATA",
    "KERAS_HOME",
    "MPLCONFIGDIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
)


class Stopped(Exception):  # noqa: N818 (not an error of ours)
    """A signal or the time limit ended the run."""

    def __init__(self, number: int) -> None:
        in_time = number != signal.SIGALRM
        super().__init__(
            f"stopped by {signal.Signals(number).name}" if in_time else "stopped at its time limit"
        )
        self.exit_code = 128 + number if in_time else EXIT_TIME_LIMIT


class CopyFailedError(Exception):
    """A copy ended badly, and with it the run."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def interruptible(seconds: int) -> Iterator[None]:
    """Raises ``Stopped`` inside at Ctrl-C, at SIGTERM and after ``seconds``; once, whatever comes first.

    Afterwards nothing stops this process any more: neither what it has to say of the end, nor the summary.
    """

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        ignore_further_signals()
        signal.alarm(0)
        raise Stopped(number)

    for each in (*handled_signals(), signal.SIGALRM):
        signal.signal(each, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        for each in STOPPING:  # also while Python itself comes to its end, unlike a handler that does nothing
            signal.signal(each, signal.SIG_IGN)


def run_copies(load: Load, folders: Sequence[Path]) -> None:
    """Runs a copy into each folder, all at once; the first that fails ends the others.

    Args:
        load: What runs.
        folders: Existing folders; copy i leaves its output in ``out_<i>.log``, counted from 1.

    Raises:
        CopyFailedError: A copy failed; the others were stopped.
        RunFailedError: The output of a copy could not be written.
        OSError: There is no folder for temporary files, or no process can be started.
    """
    _adopt_orphans()
    copies: list[_Copy] = []
    with tempfile.TemporaryDirectory(prefix="hepbench-", ignore_cleanup_errors=True) as scratch:
        try:
            for index, folder in enumerate(folders):
                copies.append(_Copy(index, load, folder, Path(scratch) / str(index)))
            _wait_for(copies)
        finally:
            _stop(copies)
    for copy in copies:
        if copy.output.error is not None:
            raise RunFailedError(f"cannot write {copy.output.log}: {copy.output.error.strerror}")


def _adopt_orphans() -> None:
    """Makes this process the parent of whatever its copies leave behind, as it is anyway as process 1."""
    ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)


class _Copy:
    """One ``hepbench run`` with cores, GPUs and a home of its own."""

    def __init__(self, index: int, load: Load, folder: Path, home: Path) -> None:
        self.name = f"copy {index + 1} of {load.copies}"
        home.mkdir()
        private = dict.fromkeys((*_CACHES, "HOME", "TMPDIR"), str(home))
        # A folder called datasets where somebody happens to stand must not take the place of ours.
        environment = {**os.environ, **private, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
        if load.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(load.gpus_of(index))
        everything = os.sched_getaffinity(0)
        os.sched_setaffinity(0, load.cores_of(index))  # which the new process inherits
        try:
            self.process = subprocess.Popen(
                [*HEPBENCH, "run", *load.arguments, f"--output={folder}", "--force"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                encoding="utf-8",
                errors="backslashreplace",
            )
        finally:
            os.sched_setaffinity(0, everything)
        prefix = f"[{index + 1}] " if load.copies > 1 else ""
        self.output = _Output(self.process, folder / f"out_{index + 1}.log", prefix)


class _Output(threading.Thread):
    """Copies the lines of a process to its log and to standard output; never lets the process wait."""

    def __init__(self, process: subprocess.Popen[str], log: Path, prefix: str) -> None:
        super().__init__(daemon=True)
        self.log = log
        self.error: OSError | None = None
        self._process, self._prefix = process, prefix
        self.start()

    def run(self) -> None:
        """Until the last process that holds the pipe has gone."""
        assert self._process.stdout is not None
        try:
            with self.log.open("w", encoding="utf-8") as file:
                for line in self._process.stdout:
                    _say(self._prefix + line)
                    file.write(line)
                    file.flush()
        except OSError as error:
            self.error = error
            for line in self._process.stdout:
                _say(self._prefix + line)


def _say(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:  # nobody listens any more: that alone makes no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wait_for(copies: Sequence[_Copy]) -> None:
    running = {copy.process.pid: copy for copy in copies}
    while running:
        pid, status = os.wait()
        copy = running.pop(pid, None)
        code = os.waitstatus_to_exitcode(status)
        if copy is not None and code != 0:
            how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
            message = f"{copy.name} failed with {how}; no score (its output: {copy.output.log})"
            raise CopyFailedError(message, code if code > 0 else 128 - code)


def _stop(copies: Sequence[_Copy]) -> None:
    """Ends the copies and everything that they started; waits until all of it has gone."""
    this = psutil.Process()
    for copy in copies:
        copy.process.terminate()
    psutil.wait_procs(this.children(recursive=True), timeout=GRACE_SECONDS)
    left = this.children(recursive=True)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=GRACE_SECONDS)
    for copy in copies:
        copy.process.wait()
        copy.output.join(GRACE_SECONDS)
