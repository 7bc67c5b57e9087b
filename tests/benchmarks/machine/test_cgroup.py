from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.machine.cgroup import ControlGroup, usable_cores

MIB = 1 << 20


def files(folder: Path, **contents: object) -> Path:
    """Writes ``memory_max=1`` as ``memory.max``: the first underscore stands for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        folder.joinpath(name.replace("_", ".", 1)).write_text(f"{content}\n", encoding="ascii")
    return folder


def test_version_2_limit_of_an_outer_group_counts(tmp_path: Path) -> None:
    files(
        tmp_path / "job",
        memory_max=100 * MIB,
        memory_current=60 * MIB,
        memory_stat=f"inactive_file {10 * MIB}",
    )
    files(tmp_path / "job" / "task", memory_max="max", memory_current=MIB, memory_stat="inactive_file 0")
    group = ControlGroup.of("0::/job/task", tmp_path)
    assert group.memory_limit_bytes() == 100 * MIB
    assert group.memory_headroom_bytes() == 50 * MIB


def test_version_1_limit_with_its_hierarchical_cache(tmp_path: Path) -> None:
    stat = f"inactive_file 0\ntotal_inactive_file {5 * MIB}"
    files(
        tmp_path / "memory" / "docker" / "abc",
        memory_limit_in_bytes=20 * MIB,
        memory_usage_in_bytes=15 * MIB,
        memory_stat=stat,
    )
    group = ControlGroup.of("7:memory:/docker/abc", tmp_path)
    assert (group.memory_limit_bytes(), group.memory_headroom_bytes()) == (20 * MIB, 10 * MIB)


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    huge = 9223372036854771712
    files(
        tmp_path / "memory",
        memory_limit_in_bytes=huge,
        memory_usage_in_bytes=MIB,
        memory_stat="inactive_file 0",
    )
    group = ControlGroup.of("4:memory:/", tmp_path)
    assert (group.memory_limit_bytes(), group.memory_headroom_bytes()) == (None, None)


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files(tmp_path, memory_max=MIB, memory_current=2 * MIB, memory_stat="inactive_file 0")
    assert ControlGroup.of("0::/", tmp_path).memory_headroom_bytes() == 0


def test_a_path_of_the_host_that_is_not_mounted_falls_back_to_the_mount(tmp_path: Path) -> None:
    files(
        tmp_path / "memory", memory_limit_in_bytes=MIB, memory_usage_in_bytes=0, memory_stat="inactive_file 0"
    )
    assert ControlGroup.of("4:memory:/docker/of/the/host", tmp_path).memory_limit_bytes() == MIB


@pytest.mark.parametrize(("text", "quota"), [("150000 100000", 1.5), ("max 100000", None)])
def test_version_2_quota(tmp_path: Path, text: str, quota: float | None) -> None:
    files(tmp_path, cpu_max=text)
    assert ControlGroup.of("0::/", tmp_path).cpu_quota() == quota


@pytest.mark.parametrize(("microseconds", "quota"), [(400000, 4.0), (-1, None)])
def test_version_1_quota(tmp_path: Path, microseconds: int, quota: float | None) -> None:
    files(tmp_path / "cpu", cpu_cfs_quota_us=microseconds, cpu_cfs_period_us=100000)
    assert ControlGroup.of("2:cpu,cpuacct:/", tmp_path).cpu_quota() == quota


def test_no_control_groups_no_limits(tmp_path: Path) -> None:
    group = ControlGroup.of("", tmp_path)
    assert (group.memory_limit_bytes(), group.memory_headroom_bytes(), group.cpu_quota()) == (
        None,
        None,
        None,
    )


def test_usable_cores_follow_the_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= usable_cores() <= len(allowed)
