"""``hepbench run --ranks N``: starts the ranks on this machine, watches them, and leaves none behind."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO

from benchmarks import backends
from benchmarks.errors import UsageError
from benchmarks.files import file_stamp
from benchmarks.machine import nvml
from benchmarks.output import EXIT_FAILED, RunOptions, output_folder, remove_summaries, this_program
from benchmarks.ranks import horovod
from benchmarks.ranks.ending import (
    LOST_OTHERS,
    Ending,
    read_ending,
    write_ending,
    write_in_place_of_rank_0,
)
from benchmarks.ranks.place import LAUNCHER_VARIABLE, LOCAL_LAUNCHER, LOOPBACK, Place
from benchmarks.ranks.store import KeyValueStore
from benchmarks.resolution import Resolved
from benchmarks.stopping import on_stopping
from benchmarks.streams import say

POLL_SECONDS = 0.2
STOPPED_SECONDS = 10.0  # a rank that somebody has stopped (SIGSTOP) for longer than this is lost
GRACE_SECONDS = 25.0  # once a rank is lost, in which the others end on their own and rank 0 writes the result
LAST_SECONDS = 5.0  # once rank 0 has ended


def run_ranks(resolved: Resolved, options: RunOptions, ranks: int, *, gpus: int) -> int:
    """Runs the command of this process as several ranks.

    Args:
        resolved: What to run.
        options: Where the result goes. With ``debug``, ranks other than 0 print to the terminal, too.
        ranks: Number of processes.
        gpus: The same number where each rank needs a GPU, and otherwise 0.

    Returns:
        Exit code: that of rank 0. Where it could not say how the run ended, 1 or 128 plus the signal.

    Raises:
        UsageError: The call cannot be carried out on this machine.
    """
    _check_call(resolved, ranks, gpus)
    with output_folder(options, resolved) as folder:
        return _run_in_folder(resolved, folder, ranks, options.debug)


def _run_in_folder(resolved: Resolved, folder: Path, ranks: int, debug: bool) -> int:
    """Runs the ranks, whose results go to a folder that is there, and returns the exit code."""
    stamp = file_stamp(folder / "result.json")

    # The ranks meet at a store that this process serves, and that outlives each of them.
    server = horovod.serve_store(LOOPBACK)
    host, port = server.server_address
    watch = _Watch(horovod.HorovodStore(host, port))
    with on_stopping(watch.relay):
        try:
            for rank in range(ranks):
                watch.start(Place(rank, ranks, rank, ranks, port=port), folder, debug)
        except BaseException:  # those that started would wait for the others for minutes
            for started in watch.ranks:
                started.kill()
            raise
        watch.wait()
    server.shutdown()

    # A rank without words of its own for its end has left a traceback or the like, which the terminal lacks.
    if watch.lost_rank is not None and not watch.is_explained:
        for line in watch.lost_rank.lines_on_stderr():
            say(f"[rank {watch.lost_rank.rank}] {line}", err=True)

    # Rank 0 may have been killed, or may have failed because of another rank before it had a result to write.
    rank_0 = watch.ranks[0]
    code = rank_0.process.returncode
    gave_up = code == EXIT_FAILED and watch.lost_rank is not rank_0
    if (code < 0 or gave_up) and file_stamp(folder / "result.json") == stamp:
        return _end_without_rank_0(resolved, folder, watch)
    return code if code >= 0 else EXIT_FAILED


def _check_call(resolved: Resolved, ranks: int, gpus: int) -> None:
    if find_spec("horovod") is None:
        raise UsageError(horovod.NEEDS_HOROVOD)
    backends.restrict(resolved.config, ranks).for_ranks(ranks)
    if gpus:
        visible = len(nvml.visible_handles())
        if visible < gpus:
            raise UsageError(f"--gpus {gpus}: expected {gpus} GPUs, got {visible}; see hepbench doctor")


class _Rank:
    """One process, and what it prints on standard error unless that is the terminal."""

    def __init__(self, place: Place, folder: Path, debug: bool) -> None:
        self.rank = place.rank
        self._stopped_since: float | None = None
        self._stderr: IO[bytes] | None = None
        if place.rank and not debug:
            # A file in memory, because a node may have no folder for temporary files. It lives with the rank.
            self._stderr = os.fdopen(os.memfd_create("stderr"), "w+b")

        # The last --output counts, so that all ranks have one folder, also where its name has the time in it.
        command = [*this_program(), *sys.argv[1:], f"--output={folder}"]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **place.variables(), LAUNCHER_VARIABLE: LOCAL_LAUNCHER},
            stdout=None if place.rank == 0 else subprocess.DEVNULL,
            stderr=self._stderr,
            process_group=0,  # whatever a rank starts can be ended with it
        )

    def kill(self) -> None:
        """Kills the process and every process that it started, as far as they still exist."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def lines_on_stderr(self) -> list[str]:
        """Returns the lines that the rank has printed on standard error and the terminal does not have."""
        if self._stderr is None:
            return []
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace").splitlines()

    def is_stopped(self) -> bool:
        """Tells whether somebody has stopped the process for longer than ``STOPPED_SECONDS``."""
        try:
            status = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        except OSError:  # it has just ended
            return False
        now = time.monotonic()
        if status.rpartition(")")[2].split()[0] != "T":
            self._stopped_since = None
        elif self._stopped_since is None:
            self._stopped_since = now
        return self._stopped_since is not None and now - self._stopped_since > STOPPED_SECONDS

    def exit_reason(self) -> str:
        """Returns in words how the process ended."""
        code = self.process.returncode
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return ": ".join([f"exit code {code}", *self.lines_on_stderr()[-1:]])


class _Watch:
    """Watches the ranks of a run until the last of them has ended.

    Attributes:
        ranks: The ranks, by their numbers.
        signal: First signal that this process has got, or 0.
        lost_rank: First rank that ended badly, and not because another rank had. None if there is none.
        reason: Why that rank is lost.
        is_explained: Whether that rank has said so itself, in words of the program.
    """

    def __init__(self, store: KeyValueStore) -> None:
        self.ranks: list[_Rank] = []
        self.signal = 0
        self.lost_rank: _Rank | None = None
        self.reason, self.is_explained = "", False
        self._store = store
        self._started = time.monotonic()

    def start(self, place: Place, folder: Path, debug: bool) -> None:
        """Starts one more rank."""
        self.ranks.append(_Rank(place, folder, debug))
        if self.signal:  # it came before there was a process to send it to
            self.ranks[-1].process.send_signal(self.signal)

    def relay(self, number: int, _frame: FrameType | None) -> None:
        """Passes a signal on to all ranks."""
        self.signal = self.signal or number
        for rank in self.ranks:
            rank.process.send_signal(number)

    def wait(self) -> None:
        """Waits until all ranks have ended. Once a rank is lost, the others have ``GRACE_SECONDS``."""
        until = math.inf
        while running := [rank for rank in self.ranks if rank.process.poll() is None]:
            # A rank that has ended or has been stopped may be the one that is lost.
            for rank in self.ranks:
                if rank not in running:
                    self._note_end(rank, rank.exit_reason())
                elif rank.is_stopped():
                    self._note_end(rank, f"stopped for {STOPPED_SECONDS:.0f} s")
                    rank.kill()

            # Without rank 0, there is nobody left who would write anything more.
            now = time.monotonic()
            if self.ranks[0] not in running:
                until = min(until, now + LAST_SECONDS)
            elif self.lost_rank or self.signal:
                until = min(until, now + GRACE_SECONDS)
            if now > until:
                break
            time.sleep(POLL_SECONDS)

        # Whatever the ranks have started ends with them.
        for rank in self.ranks:
            rank.kill()
            self._note_end(rank, rank.exit_reason())

    def _note_end(self, rank: _Rank, exit_reason: str) -> None:
        """Remembers the first rank that is lost, and lets rank 0 know, which writes the result."""
        if self.lost_rank is not None or rank.process.returncode == 0:
            return
        announced = read_ending(self._store, rank.rank)
        ending = announced or Ending("failed", exit_reason)
        if ending.reason == LOST_OTHERS:
            return
        self.lost_rank = rank
        self.is_explained = announced is not None and not announced.is_unexpected
        self.reason = ending.of_rank(rank.rank, time.monotonic() - self._started).reason
        if announced is None:
            write_ending(self._store, rank.rank, ending)


def _end_without_rank_0(resolved: Resolved, folder: Path, watch: _Watch) -> int:
    """Writes the result of a run whose rank 0 could not, and returns the exit code."""
    if watch.signal:
        ending = Ending("interrupted", signal.Signals(watch.signal).name)
    else:
        ending = Ending("failed", watch.reason)
    file = folder / "result.json"
    folder.mkdir(parents=True, exist_ok=True)
    remove_summaries(folder)
    write_in_place_of_rank_0(file, resolved.to_dict(), len(watch.ranks), ending, replace=True)
    say(f"hepbench: {ending.status}: {ending.reason} (see {file})", err=True)
    return 128 + watch.signal if watch.signal else EXIT_FAILED
