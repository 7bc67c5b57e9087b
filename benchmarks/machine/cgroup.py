"""The cores and the memory that this process's Linux control group leaves it, versions 1 and 2.

A limit may sit on the group itself or on any group above it (Slurm limits the job and puts the
task two levels below), so every question is asked of all of them and the tightest answer counts.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
# Version 1 writes "no limit" as the largest multiple of the page size, not as a word.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class ControlGroup:
    """The folders of one process's control group, innermost first.

    Attributes:
        memory: Folders that hold ``memory.*`` files.
        cpu: Folders that hold ``cpu.*`` files.
    """

    memory: tuple[Path, ...]
    cpu: tuple[Path, ...]

    @classmethod
    def of_this_process(cls) -> ControlGroup:
        """Returns the group of this process; it has no folders where the kernel has no control groups."""
        return cls.from_membership(_text(Path("/proc/self/cgroup")), _ROOT)

    @classmethod
    def from_membership(cls, membership: str, root: Path) -> ControlGroup:
        """Returns the group that ``membership`` (the text of ``/proc/<pid>/cgroup``) names below ``root``."""
        memory: list[Path] = []
        cpu: list[Path] = []
        for line in membership.splitlines():
            # The path may hold colons, and a line of another form is none of a group.
            _, *fields = line.split(":", 2)
            if len(fields) < 2:
                continue
            controllers, path = fields
            names = controllers.split(",")
            if not controllers:
                unified = _ancestry(root, path)
                memory += unified
                cpu += unified
            elif "memory" in names:
                memory += _ancestry(root / "memory", path)
            elif "cpu" in names:
                cpu += _ancestry(root / "cpu", path)
        return cls(tuple(memory), tuple(cpu))

    def memory_limit_bytes(self) -> int | None:
        """Returns the tightest memory limit; None where there is none."""
        limits = [limit for limit, _ in self._limits_and_uses()]
        return min(limits, default=None)

    def memory_headroom_bytes(self) -> int | None:
        """Returns what may still be used before the tightest limit; file cache that can go counts as free."""
        return min((max(0, limit - used) for limit, used in self._limits_and_uses()), default=None)

    def cpu_quota(self) -> float | None:
        """Returns cores' worth of time per second of wall-clock time; None where there is no quota."""
        return min((quota for folder in self.cpu if (quota := _quota(folder)) is not None), default=None)

    def _limits_and_uses(self) -> list[tuple[int, int]]:
        """Returns limit and use, in bytes without reclaimable cache, of every group that has a limit."""
        pairs = []
        for folder in self.memory:
            limit = _number(folder, "memory.max", "memory.limit_in_bytes")
            used = _number(folder, "memory.current", "memory.usage_in_bytes")
            if limit is not None and used is not None and limit < _NO_LIMIT:
                pairs.append((limit, used - _reclaimable(folder)))
        return pairs


def usable_cores() -> int:
    """Returns how many cores this process may keep busy: its affinity, cut by the control group's quota."""
    allowed = len(os.sched_getaffinity(0))
    quota = ControlGroup.of_this_process().cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def _ancestry(mount: Path, path: str) -> list[Path]:
    """Returns the folders of a group and of the groups above it that exist below a mount."""
    # Inside a container the named path may be the host's and not exist below the mount. What does is ours.
    group = mount / path.lstrip("/")
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(mount) and folder.is_dir()]


def _text(file: Path) -> str:
    """Returns what a file of the kernel holds; nothing where it is missing or may not be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(folder: Path, *names: str) -> int | None:
    """Returns the number in the first of the files that exists; None for ``max`` or anything odd."""
    for name in names:
        file = folder / name
        if file.is_file():
            return _integer(_text(file).strip())
    return None


def _integer(text: str) -> int | None:
    """Returns the number that a text is; None where it is none."""
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else None


def _reclaimable(folder: Path) -> int:
    """Returns the bytes of file cache that a group can give back; 0 where the kernel does not say."""
    rows = (line.split() for line in _text(folder / "memory.stat").splitlines())
    statistics = {row[0]: _integer(row[1]) or 0 for row in rows if len(row) == 2}
    # Version 1 has two figures, and its use counts the groups below, as total_* does. Version 2 has one.
    return statistics.get("total_inactive_file", statistics.get("inactive_file", 0))


def _quota(folder: Path) -> float | None:
    """Returns the cores' worth of time that a group may use; None for no limit or anything odd."""
    unified = folder / "cpu.max"
    if unified.is_file():
        quota, period, *_ = [*map(_integer, _text(unified).split()), None, None]
    else:
        quota, period = _number(folder, "cpu.cfs_quota_us"), _number(folder, "cpu.cfs_period_us")
    # No limit is the word max in version 2 and -1 in version 1.
    if quota is None or period is None or quota <= 0 or period <= 0:
        return None
    return quota / period
