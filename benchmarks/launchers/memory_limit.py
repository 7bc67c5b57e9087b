"""A control group with a memory limit, for a process that may need more memory than it is to have."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UsageError
from benchmarks.machine.cgroup import ControlGroup

REMOVAL_SECONDS = 10.0  # for the kernel to take away what a killed process leaves
_HOW = "call this as root, or as a user with a group to divide: systemd-run --user --scope hepbench fit ..."


@dataclass(frozen=True)
class LimitedGroup:
    """A group of processes that the kernel kills if they take more than the limit.

    Attributes:
        folder: Of the group, version 1 or 2.
    """

    folder: Path

    def prefix(self, log: Path) -> tuple[str, ...]:
        """Returns what stands before a command, so that its process joins the group before it starts.

        Args:
            log: File for what the command writes to standard error.
        """
        script = 'echo $$ > "$0" && log=$1 && shift && exec "$@" 2> "$log"'
        return ("/bin/sh", "-c", script, str(self.folder / "cgroup.procs"), str(log))

    def end(self) -> None:
        """Kills the processes of the group."""
        with suppress(FileNotFoundError):
            for number in (self.folder / "cgroup.procs").read_text(encoding="ascii").split():
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)

    def kills(self) -> int:
        """Returns how many processes of the group the kernel has killed for memory."""
        return self._count("memory.events", "memory.oom_control", "oom_kill")

    def reached_limit(self) -> bool:
        """Says whether the group was ever refused memory at its limit."""
        old = self.folder / "memory.failcnt"
        if old.exists():
            return int(old.read_text(encoding="ascii")) > 0
        return self._count("memory.events", "memory.events", "max") > 0

    def _count(self, file: str, old_file: str, event: str) -> int:
        """Returns how often an event has occurred, by the file of version 2 or that of version 1."""
        path = self.folder / file
        text = (path if path.exists() else self.folder / old_file).read_text(encoding="ascii")
        rows = (line.split() for line in text.splitlines())
        return sum(int(row[1]) for row in rows if row[0] == event)


@contextmanager
def limited_group(limit: int, folders: Sequence[Path] | None = None) -> Iterator[LimitedGroup]:
    """Makes a group with a limit below that of this process, and removes it with whatever is left in it.

    Swap counts as memory, so that a process that does not fit is killed and not slowed down.

    Args:
        limit: In bytes.
        folders: Of this process's group and of the groups above it, by default as the kernel says.

    Yields:
        The group.

    Raises:
        UsageError: This process may not make one.
    """
    parent = _parent(ControlGroup.of_this_process().memory if folders is None else folders)
    folder = parent / f"hepbench-{secrets.token_hex(4)}"
    try:
        folder.mkdir()
    except OSError as error:
        raise UsageError(
            f"--measure: expected a control group to put a limit on, got {parent}: {error.strerror}; {_HOW}"
        ) from None
    try:
        _set_limit(folder, limit)
        yield LimitedGroup(folder)
    finally:
        _remove(folder)


def _parent(folders: Sequence[Path]) -> Path:
    """Returns the nearest group in which a group with a limit can be made."""
    for folder in folders:
        # Version 1 limits every group. In version 2 a group hands the right on to the groups below it.
        if (folder / "memory.limit_in_bytes").exists():
            return folder
        control = folder / "cgroup.subtree_control"
        if control.exists() and "memory" in control.read_text(encoding="ascii").split():
            return folder
    raise UsageError(f"--measure: expected a control group to put a limit on, got none; {_HOW}")


def _set_limit(folder: Path, limit: int) -> None:
    """Sets the limit of a group, with and without swap."""
    is_unified = not (folder.parent / "memory.limit_in_bytes").exists()
    files = (
        [("memory.max", limit), ("memory.swap.max", 0)]
        if is_unified
        else [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", limit)]
    )
    try:
        for name, value in files:
            # A kernel without accounting of swap has no file for it.
            if name == files[0][0] or (folder / name).exists():
                (folder / name).write_text(str(value), encoding="ascii")
    except OSError as error:
        raise UsageError(
            f"--measure: expected to set {name} of {folder}, got: {error.strerror}; {_HOW}"
        ) from None


def _remove(folder: Path) -> None:
    """Ends what is left in a group, and removes it once the kernel has taken the processes away."""
    for _ in range(int(REMOVAL_SECONDS / 0.1)):
        LimitedGroup(folder).end()
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(0.1)
        else:
            return
    raise UsageError(f"{folder}: expected an empty control group to remove, got one that stays in use")
