"""``hepbench run --ranks N``: starts the ranks on this machine, watches them, and leaves none behind."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO

import click

from benchmarks.config import Resolved
from benchmarks.errors import UsageError
from benchmarks.machine import nvml
from benchmarks.output import EXIT_FAILED, check_folder, default_folder, remove_summaries, this_program
from benchmarks.ranks import horovod
from benchmarks.ranks.place import BY_US, LOOPBACK, OURS, Place
from benchmarks.result import RunResult, file_stamp, write_json
from benchmarks.stopping import on_stopping

POLL_SECONDS = 0.2
STOPPED_SECONDS = 10.0  # a rank that somebody stopped (SIGSTOP) for so long is lost
GRACE_SECONDS = 25.0  # once a rank is lost: the others end on their own, rank 0 writes what it has
LAST_SECONDS = 5.0  # once rank 0 has ended


def run_ranks(
    resolved: Resolved, output: Path | None, ranks: int, *, gpus: int, force: bool, debug: bool
) -> int:
    """Runs the command of this process as so many ranks.

    Args:
        resolved: What to run.
        output: Folder of the result; None for one with the time in its name.
        ranks: Number of processes.
        gpus: The same where each is to have a GPU; 0 otherwise.
        force: Replace a result that is there.
        debug: Let ranks other than 0 speak on the terminal.

    Returns:
        Exit code: that of rank 0, or 1, 130 or 143 where rank 0 could not say how the run ended.

    Raises:
        UsageError: The call cannot be carried out on this machine.
    """
    _check(resolved, ranks, gpus)
    folder = output or default_folder(resolved)
    if check_folder(folder, force):
        folder.rmdir()  # rank 0 makes it
    before = file_stamp(folder / "result.json")
    server = horovod.serve(LOOPBACK)
    watch = _Watch(horovod.Store(*server.server_address[:2]))
    with on_stopping(watch.relay):
        for rank in range(ranks):
            place = Place(rank, ranks, rank, ranks, port=server.server_address[1])
            watch.start(place, folder, debug)
        watch.wait()
    server.shutdown()
    if watch.lost is not None and not watch.explained:
        for line in watch.lost.words():
            click.echo(f"[rank {watch.lost.rank}] {line}", err=True)
    first = watch.ranks[0]
    code = first.process.returncode
    gave_up = code == EXIT_FAILED and watch.lost is not first
    if (code < 0 or gave_up) and file_stamp(folder / "result.json") == before:
        return _in_place_of_rank_0(resolved, folder, watch)
    return code if code >= 0 else EXIT_FAILED


def _check(resolved: Resolved, ranks: int, gpus: int) -> None:
    if find_spec("horovod") is None:
        raise UsageError(horovod.NEEDS_HOROVOD)
    resolved.config.for_ranks(ranks)
    if gpus:
        there = len(nvml.visible_handles())
        if there < gpus:
            raise UsageError(f"--gpus {gpus}: expected {gpus} GPUs, got {there}; see hepbench doctor")


class _Rank:
    """One process, and what it says on standard error unless that is the terminal."""

    def __init__(self, place: Place, folder: Path, debug: bool) -> None:
        self.rank = place.rank
        self.stopped_since: float | None = None
        self._said: IO[bytes] | None = None
        if place.rank and not debug:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the rank)
        # The last --output counts: one folder for all, also where its name has the time in it.
        command = [*this_program(), *sys.argv[1:], f"--output={folder}"]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **place.variables(), OURS: BY_US},
            stdout=None if place.rank == 0 else subprocess.DEVNULL,
            stderr=self._said,
            process_group=0,  # whatever a rank starts can be ended with it
        )

    def kill(self) -> None:
        """Ends it and whatever it started, if there is still something."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def words(self) -> list[str]:
        """Lines that it said on standard error, where the terminal does not have them."""
        if self._said is None:
            return []
        self._said.seek(0)
        return self._said.read().decode(errors="replace").splitlines()

    def is_stopped(self) -> bool:
        """Whether somebody has stopped the process for long."""
        try:
            status = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        except OSError:  # it has just ended
            return False
        now = time.monotonic()
        if status.rpartition(")")[2].split()[0] != "T":
            self.stopped_since = None
        elif self.stopped_since is None:
            self.stopped_since = now
        return self.stopped_since is not None and now - self.stopped_since > STOPPED_SECONDS

    def ended(self) -> str:
        """How it ended, in words."""
        code = self.process.returncode
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return ": ".join([f"exit code {code}", *self.words()[-1:]])


class _Watch:
    """The ranks of a run until the last of them has ended."""

    def __init__(self, store: horovod.Store) -> None:
        self.ranks: list[_Rank] = []
        self.signal = 0
        self.lost: _Rank | None = None  # the first that ended badly, and not because another had
        self.reason, self.explained = "", False  # why, and whether it said so itself
        self._store = store
        self._started = time.monotonic()

    def start(self, place: Place, folder: Path, debug: bool) -> None:
        """Starts one more rank."""
        self.ranks.append(_Rank(place, folder, debug))
        if self.signal:  # it came before there was a process to tell
            self.ranks[-1].process.send_signal(self.signal)

    def relay(self, number: int, _frame: FrameType | None) -> None:
        """Hands a signal on to all ranks."""
        self.signal = self.signal or number
        for rank in self.ranks:
            rank.process.send_signal(number)

    def wait(self) -> None:
        """Returns when all ranks have ended; once one is lost, the others have ``GRACE_SECONDS``."""
        until = math.inf
        while running := [rank for rank in self.ranks if rank.process.poll() is None]:
            for rank in self.ranks:
                if rank not in running:
                    self._note(rank, rank.ended())
                elif rank.is_stopped():
                    self._note(rank, f"stopped for {STOPPED_SECONDS:.0f} s")
                    rank.kill()
            now = time.monotonic()
            if self.ranks[0] not in running:  # and nobody is there to write anything more
                until = min(until, now + LAST_SECONDS)
            elif self.lost or self.signal:
                until = min(until, now + GRACE_SECONDS)
            if now > until:
                break
            time.sleep(POLL_SECONDS)
        for rank in self.ranks:
            rank.kill()
            self._note(rank, rank.ended())

    def _note(self, rank: _Rank, how: str) -> None:
        """Remembers the first rank that is lost, and tells rank 0, which writes it down."""
        if self.lost is not None or rank.process.returncode == 0:
            return
        told = self._store.get("end", rank.rank)
        _, reason = told or ("failed", how)
        if reason == horovod.LOST:
            return
        self.lost, self.explained = rank, told is not None and not reason.startswith("unexpected ")
        self.reason = f"{reason} (rank {rank.rank}, {time.monotonic() - self._started:.0f} s after the start)"
        if told is None:
            self._store.put("end", rank.rank, ("failed", how))


def _in_place_of_rank_0(resolved: Resolved, folder: Path, watch: _Watch) -> int:
    """Writes the result of a run whose rank 0 could not."""
    status = "interrupted" if watch.signal else "failed"
    reason = signal.Signals(watch.signal).name if watch.signal else watch.reason
    result = RunResult.without_figures(resolved.to_dict(), len(watch.ranks), status, reason)
    folder.mkdir(parents=True, exist_ok=True)
    remove_summaries(folder)
    write_json(folder / "result.json", result.to_dict())
    click.echo(f"hepbench: {status}: {reason} (see {folder / 'result.json'})", err=True)
    return 128 + watch.signal if watch.signal else EXIT_FAILED
