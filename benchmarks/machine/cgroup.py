"""The cores and the memory that this process's Linux control group leaves it, versions 1 and 2.

A limit may sit on the group itself or on any group above it (Slurm limits the job and puts the
task two levels below), so every question is asked of all of them and the tightest answer counts.
"""

from __future__ import annotations

import os
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
    def own(cls) -> ControlGroup:
        """The group of this process; without folders where the kernel has no control groups."""
        membership = Path("/proc/self/cgroup")
        return cls.of(membership.read_text(encoding="ascii") if membership.exists() else "", _ROOT)

    @classmethod
    def of(cls, membership: str, root: Path) -> ControlGroup:
        """The group that ``membership`` (the text of ``/proc/<pid>/cgroup``) names below ``root``."""
        memory: list[Path] = []
        cpu: list[Path] = []
        for line in membership.splitlines():
            _, controllers, path = line.split(":", 2)
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
        """The tightest memory limit; None where there is none."""
        limits = [limit for limit, _ in self._memory()]
        return min(limits, default=None)

    def memory_headroom_bytes(self) -> int | None:
        """What may still be used before the tightest limit; file cache that can go counts as free."""
        return min((max(0, limit - used) for limit, used in self._memory()), default=None)

    def cpu_quota(self) -> float | None:
        """Cores' worth of time per second of wall-clock time; None where there is no quota."""
        return min((quota for folder in self.cpu if (quota := _quota(folder)) is not None), default=None)

    def _memory(self) -> list[tuple[int, int]]:
        """Limit and use without reclaimable cache, of every group that has a limit."""
        found = []
        for folder in self.memory:
            limit = _number(folder, "memory.max", "memory.limit_in_bytes")
            used = _number(folder, "memory.current", "memory.usage_in_bytes")
            if limit is not None and used is not None and limit < _NO_LIMIT:
                found.append((limit, used - _reclaimable(folder)))
        return found


def usable_cores() -> int:
    """Cores that this process may keep busy: its affinity, cut by the control group's quota."""
    allowed = len(os.sched_getaffinity(0))
    quota = ControlGroup.own().cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def _ancestry(mount: Path, path: str) -> list[Path]:
    # Inside a container the named path may be the host's and not exist below the mount; what does is ours.
    group = mount / path.lstrip("/")
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(mount) and folder.is_dir()]


def _number(folder: Path, *names: str) -> int | None:
    for name in names:
        file = folder / name
        if file.is_file():
            text = file.read_text(encoding="ascii").strip()
            return None if text == "max" else int(text)
    return None


def _reclaimable(folder: Path) -> int:
    lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    statistics = {name: int(value) for name, value in (line.split() for line in lines)}
    # Version 1 has two figures, and its use counts the groups below, as total_* does; version 2 has one.
    return statistics.get("total_inactive_file", statistics.get("inactive_file", 0))


def _quota(folder: Path) -> float | None:
    unified = folder / "cpu.max"
    if unified.is_file():
        quota, period = unified.read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    microseconds = _number(folder, "cpu.cfs_quota_us")
    every = _number(folder, "cpu.cfs_period_us")
    if microseconds is None or every is None or microseconds < 0:
        return None
    return microseconds / every
