"""Starts copies of ``hepbench run`` side by side, watches them, and stops them together.

This is the first process of a container, so it also collects the exit codes of orphaned processes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from benchmarks.errors import RunFailedError
from benchmarks.ranks.meeting import MeetingPoint
from benchmarks.stopping import STOP_SIGNALS, handled_signals, ignore_further_signals
from hepscore_adapter.image.plan import Plan

HEPBENCH = (sys.executable, "-m", "hepscore_adapter.programs")
EXIT_TIME_LIMIT = 124  # as of the command timeout
POLL_SECONDS = 0.1
HANG_SECONDS = 30.0  # with the time to end the copies, a copy that hangs costs less than a minute
IDLE_SHARE = 0.005  # of a core: telemetry alone takes less
GRACE_SECONDS = 8  # docker stop leaves a container 10
_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
# Libraries keep here what they compile or fetch. A repetition must not find what the one before it compiled.
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


class RunStoppedError(Exception):
    """A signal or the time limit ended the run.

    Attributes:
        exit_code: Exit code of this program.
    """

    def __init__(self, number: int) -> None:
        time_limit = number == signal.SIGALRM
        super().__init__(
            "stopped at its time limit" if time_limit else f"stopped by {signal.Signals(number).name}"
        )
        self.exit_code = EXIT_TIME_LIMIT if time_limit else 128 + number


class CopyFailedError(Exception):
    """A copy failed, and the run with it.

    Attributes:
        exit_code: Exit code of the copy, which becomes that of this program.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def stop_on_signal_or_after(seconds: int) -> Iterator[None]:
    """Raises ``RunStoppedError`` in its body, once, at the first of the stop signals and the time limit.

    After the body no signal stops this process any more, so that its last words and the summary get written.

    Args:
        seconds: Time limit of the body, in seconds.
    """

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        ignore_further_signals()
        signal.alarm(0)
        raise RunStoppedError(number)

    for number in (*handled_signals(), signal.SIGALRM):
        signal.signal(number, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        # Unlike a handler that does nothing, this holds while Python itself shuts down.
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def run_copies(plan: Plan, folders: Sequence[Path]) -> None:
    """Runs a copy into each folder, all at once. The first that fails ends the others.

    Args:
        plan: What runs.
        folders: Existing folders, one for each copy. Copy i, counted from 1, writes its output to
            ``out_<i>.log``.

    Raises:
        CopyFailedError: A copy failed, and the others were stopped.
        RunFailedError: The output of a copy could not be written.
        OSError: There is no folder for temporary files, or no process can be started.
    """
    _adopt_orphans()
    copies: list[_Copy] = []
    point = MeetingPoint(plan.copies)
    point.start()
    with tempfile.TemporaryDirectory(prefix="hepbench-", ignore_cleanup_errors=True) as scratch:
        try:
            for index, folder in enumerate(folders):
                copies.append(_Copy(index, plan, folder, Path(scratch) / str(index), point))
            _wait_for(copies, point)
        finally:
            point.close()
            _stop(copies)
    for copy in copies:
        if copy.output.error is not None:
            raise RunFailedError(f"cannot write {copy.output.log}: {copy.output.error.strerror}")


def _adopt_orphans() -> None:
    """Makes this process the parent of all orphans of its copies, as process 1 is without asking."""
    ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)


class _Copy:
    """One ``hepbench run`` with cores, GPUs and a home of its own."""

    def __init__(self, index: int, plan: Plan, folder: Path, home: Path, point: MeetingPoint) -> None:
        self.name = f"copy {index + 1} of {plan.copies}"
        home.mkdir()
        private = dict.fromkeys((*_CACHES, "HOME", "TMPDIR"), str(home))

        # Without PYTHONSAFEPATH a folder called datasets in the working folder would hide our package.
        environment = {**os.environ, **private, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
        if plan.copies > 1:
            environment |= point.variables(index)
        devices = plan.visible_devices(index)
        if devices is not None:
            environment["CUDA_VISIBLE_DEVICES"] = devices

        # The new process inherits the cores of this one, which gets its own back afterwards.
        all_cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, plan.cores_of(index))
        try:
            self.process = subprocess.Popen(
                [*HEPBENCH, "run", *plan.arguments, f"--output={folder}", "--force"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                encoding="utf-8",
                errors="backslashreplace",
            )
        finally:
            os.sched_setaffinity(0, all_cores)

        prefix = f"[{index + 1}] " if plan.copies > 1 else ""
        self.output = _Output(self.process, folder / f"out_{index + 1}.log", prefix)


class _Output(threading.Thread):
    """Copies the lines of a process to its log and to standard output, and never lets the process wait."""

    def __init__(self, process: subprocess.Popen[str], log: Path, prefix: str) -> None:
        super().__init__(daemon=True)
        self.log = log
        self.error: OSError | None = None
        self._process, self._prefix = process, prefix
        self.start()

    def run(self) -> None:
        """Copies lines until the last process that holds the pipe has ended."""
        assert self._process.stdout is not None
        try:
            with self.log.open("w", encoding="utf-8") as file:
                for line in self._process.stdout:
                    _print_line(self._prefix + line)
                    file.write(line)
                    file.flush()
        except OSError as error:
            self.error = error
            for line in self._process.stdout:
                _print_line(self._prefix + line)


def _print_line(text: str) -> None:
    """Prints a line, or from now on nothing where standard output is closed, which alone is no failure."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wait_for(copies: Sequence[_Copy], point: MeetingPoint) -> None:
    """Waits until all copies have ended well.

    Raises:
        CopyFailedError: A copy failed or hangs, and others may still run.
    """
    running = {copy.process.pid: copy for copy in copies}
    watch = _HangWatch(copies, point)
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            watch.check()
            time.sleep(POLL_SECONDS)
            continue
        copy = running.pop(pid, None)  # None for an orphan
        code = os.waitstatus_to_exitcode(status)
        if copy is not None and code != 0:
            how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
            message = f"{copy.name} failed with {how}; no score (its output: {copy.output.log})"
            raise CopyFailedError(message, code if code > 0 else 128 - code)


class _HangWatch:
    """Finds a copy that others wait for and that computes nothing."""

    def __init__(self, copies: Sequence[_Copy], point: MeetingPoint) -> None:
        self._copies, self._point = copies, point
        self._seen: dict[int, tuple[float, float]] = {}  # of a copy: its CPU time and when it was read

    def check(self) -> None:
        """Looks at the copies that are missing at a meeting.

        Raises:
            CopyFailedError: One of them has used no CPU time worth the name for ``HANG_SECONDS``.
        """
        absentees, _ = self._point.absentees()
        now = time.monotonic()
        self._seen = {index: seen for index, seen in self._seen.items() if index in absentees}
        for index in absentees:
            used = _cpu_seconds(self._copies[index].process.pid)
            before, since = self._seen.setdefault(index, (used, now))
            if used - before > IDLE_SHARE * HANG_SECONDS:
                self._seen[index] = (used, now)
            elif now - since > HANG_SECONDS:
                raise CopyFailedError(
                    f"{self._copies[index].name} hangs: the others wait for it, and it has computed nothing "
                    f"for {now - since:.0f} s; no score (its output: {self._copies[index].output.log})",
                    exit_code=1,
                )


def _cpu_seconds(pid: int) -> float:
    """Returns the CPU time that a process and its descendants have used; 0 for one that is gone."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
    return total


def _stop(copies: Sequence[_Copy]) -> None:
    """Ends the copies and everything that they started, and waits until all of it is gone."""
    parent = psutil.Process()
    for copy in copies:
        copy.process.terminate()
    psutil.wait_procs(parent.children(recursive=True), timeout=GRACE_SECONDS)
    survivors = parent.children(recursive=True)
    for process in survivors:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(survivors, timeout=GRACE_SECONDS)
    for copy in copies:
        copy.process.wait()
        copy.output.join(GRACE_SECONDS)
