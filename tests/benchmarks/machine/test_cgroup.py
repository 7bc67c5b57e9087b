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
    group = ControlGroup.from_membership("0::/job/task", tmp_path)
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
    group = ControlGroup.from_membership("7:memory:/docker/abc", tmp_path)
    assert (group.memory_limit_bytes(), group.memory_headroom_bytes()) == (20 * MIB, 10 * MIB)


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    huge = 9223372036854771712
    files(
        tmp_path / "memory",
        memory_limit_in_bytes=huge,
        memory_usage_in_bytes=MIB,
        memory_stat="inactive_file 0",
    )
    group = ControlGroup.from_membership("4:memory:/", tmp_path)
    assert (group.memory_limit_bytes(), group.memory_headroom_bytes()) == (None, None)


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files(tmp_path, memory_max=MIB, memory_current=2 * MIB, memory_stat="inactive_file 0")
    assert ControlGroup.from_membership("0::/", tmp_path).memory_headroom_bytes() == 0


def test_a_path_of_the_host_that_is_not_mounted_falls_back_to_the_mount(tmp_path: Path) -> None:
    files(
        tmp_path / "memory", memory_limit_in_bytes=MIB, memory_usage_in_bytes=0, memory_stat="inactive_file 0"
    )
    assert ControlGroup.from_membership("4:memory:/docker/of/the/host", tmp_path).memory_limit_bytes() == MIB


@pytest.mark.parametrize(("text", "quota"), [("150000 100000", 1.5), ("max 100000", None)])
def test_version_2_quota(tmp_path: Path, text: str, quota: float | None) -> None:
    files(tmp_path, cpu_max=text)
    assert ControlGroup.from_membership("0::/", tmp_path).cpu_quota() == quota


@pytest.mark.parametrize(("microseconds", "quota"), [(400000, 4.0), (-1, None)])
def test_version_1_quota(tmp_path: Path, microseconds: int, quota: float | None) -> None:
    files(tmp_path / "cpu", cpu_cfs_quota_us=microseconds, cpu_cfs_period_us=100000)
    assert ControlGroup.from_membership("2:cpu,cpuacct:/", tmp_path).cpu_quota() == quota


def test_no_control_groups_no_limits(tmp_path: Path) -> None:
    group = ControlGroup.from_membership("", tmp_path)
    assert (group.memory_limit_bytes(), group.memory_headroom_bytes(), group.cpu_quota()) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    "text", ["", "max", "150000", "max max", "none at all", "-1 100000", "100000 0", "1e5 100000"]
)
def test_an_odd_version_2_quota_is_no_quota(tmp_path: Path, text: str) -> None:
    files(tmp_path, cpu_max=text)
    assert ControlGroup.from_membership("0::/", tmp_path).cpu_quota() is None


@pytest.mark.parametrize(("quota", "period"), [("", "100000"), ("100000", ""), ("all", "100000"), ("1", "0")])
def test_an_odd_version_1_quota_is_no_quota(tmp_path: Path, quota: str, period: str) -> None:
    files(tmp_path / "cpu", cpu_cfs_quota_us=quota, cpu_cfs_period_us=period)
    assert ControlGroup.from_membership("2:cpu,cpuacct:/", tmp_path).cpu_quota() is None


def test_a_quota_without_its_period_is_no_quota(tmp_path: Path) -> None:
    files(tmp_path / "cpu", cpu_cfs_quota_us=100000)
    assert ControlGroup.from_membership("2:cpu:/", tmp_path).cpu_quota() is None


@pytest.mark.parametrize("limit", ["", "lots", "1.5"])
def test_an_odd_memory_limit_is_no_limit(tmp_path: Path, limit: str) -> None:
    files(tmp_path, memory_max=limit, memory_current=MIB, memory_stat="inactive_file 0")
    assert ControlGroup.from_membership("0::/", tmp_path).memory_limit_bytes() is None


@pytest.mark.parametrize("stat", [None, "", "inactive_file", "inactive_file some", "a b c"])
def test_without_readable_statistics_no_cache_counts_as_free(tmp_path: Path, stat: str | None) -> None:
    files(tmp_path, memory_max=3 * MIB, memory_current=MIB, **({} if stat is None else {"memory_stat": stat}))
    assert ControlGroup.from_membership("0::/", tmp_path).memory_headroom_bytes() == 2 * MIB


@pytest.mark.parametrize("membership", ["garbage", "0:", "\n", "4:memory"])
def test_an_odd_membership_is_no_group(tmp_path: Path, membership: str) -> None:
    files(tmp_path, memory_max=MIB, memory_current=0)
    assert ControlGroup.from_membership(membership, tmp_path) == ControlGroup((), ())


def test_usable_cores_follow_the_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= usable_cores() <= len(allowed)
