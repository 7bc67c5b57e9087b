from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.machine.topology import assign_shares, cores_of_gpu, format_list, ordered_cores, parse_list
from benchmarks.ranks.place import share
from tests.benchmarks.machine.fake_nvml import FakeNvml
from tests.benchmarks.machine.trees import sysfs


def shares(cores: list[int], parts: int) -> list[list[int]]:
    return [share(cores, index, parts) for index in range(parts)]


def test_hardware_threads_of_a_core_are_neighbours(tmp_path: Path) -> None:
    order = ordered_cores(range(16), sysfs.two_sockets(tmp_path))
    assert order == [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]


def test_parts_hold_whole_physical_cores_of_one_package(tmp_path: Path) -> None:
    order = ordered_cores(range(16), sysfs.two_sockets(tmp_path))
    assert shares(order, 4) == [[0, 8, 1, 9], [2, 10, 3, 11], [4, 12, 5, 13], [6, 14, 7, 15]]


def test_packages_come_one_after_the_other_where_numbers_alternate(tmp_path: Path) -> None:
    assert ordered_cores(range(8), sysfs.interleaved(tmp_path)) == [0, 4, 2, 6, 1, 5, 3, 7]


def test_eight_parts_of_an_epyc_are_its_numa_nodes(tmp_path: Path) -> None:
    order = ordered_cores(range(256), sysfs.epyc(tmp_path))
    assert order[:4] == [0, 128, 1, 129]
    for node, part in enumerate(shares(order, 8)):
        first = 16 * node
        assert sorted(part) == [*range(first, first + 16), *range(first + 128, first + 144)]


def test_cores_with_one_thread_keep_their_order(tmp_path: Path) -> None:
    assert ordered_cores(range(144), sysfs.grace(tmp_path)) == list(range(144))


def test_of_a_container_only_its_cores_are_ordered(tmp_path: Path) -> None:
    assert ordered_cores({13, 2, 5, 10, 4}, sysfs.two_sockets(tmp_path)) == [2, 10, 4, 5, 13]


def test_without_files_the_order_is_numerical(tmp_path: Path) -> None:
    assert ordered_cores([3, 1, 2], tmp_path) == [1, 2, 3]


def test_one_undescribed_core_makes_the_order_numerical(tmp_path: Path) -> None:
    sysfs.two_sockets(tmp_path)
    assert ordered_cores([0, 8, 1, 16], tmp_path) == [0, 1, 8, 16]


def test_without_nodes_packages_and_physical_cores_count(tmp_path: Path) -> None:
    for cpu in range(4):
        sysfs.write_core(tmp_path, cpu, package=0, core=cpu % 2)
    assert ordered_cores(range(4), tmp_path) == [0, 2, 1, 3]


def test_dies_of_a_package_number_their_cores_each(tmp_path: Path) -> None:
    """Cores 0 and 1 of two dies, one thread each: equal numbers are no threads of one core."""
    for cpu in range(4):
        sysfs.write_core(tmp_path, cpu, package=0, core=cpu // 2)
        folder = tmp_path / f"devices/system/cpu/cpu{cpu}/topology"
        folder.joinpath("die_id").write_text(f"{cpu % 2}\n", encoding="ascii")
    assert ordered_cores(range(4), tmp_path) == [0, 2, 1, 3]


def test_odd_files_make_the_order_numerical(tmp_path: Path) -> None:
    sysfs.two_sockets(tmp_path)
    tmp_path.joinpath("devices/system/node/node0/cpulist").write_text("what?\n", encoding="ascii")
    tmp_path.joinpath("devices/system/cpu/cpu3/topology/core_id").write_text("\n", encoding="ascii")
    assert ordered_cores(range(16), tmp_path) == list(range(16))


@pytest.mark.parametrize("near", [{0, 1, 2, 3}, {63, 64, 130}, set()])
def test_cores_near_a_gpu(monkeypatch: pytest.MonkeyPatch, near: set[int]) -> None:
    FakeNvml(1, near={0: near}).install(monkeypatch)
    assert cores_of_gpu(0, count=144) == near


def test_a_gpu_whose_driver_does_not_say_has_no_cores_near(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(1).install(monkeypatch)
    assert cores_of_gpu(0) == frozenset()


@pytest.mark.parametrize(
    ("near", "assignment"),
    [
        ([{}, {}, {}, {}], [0, 1, 2, 3]),
        ([{0, 1, 2, 3}, {0, 1, 2, 3}, {4, 5, 6, 7}, {4, 5, 6, 7}], [0, 1, 2, 3]),
        ([{4, 5, 6, 7}, {4, 5, 6, 7}, {0, 1, 2, 3}, {0, 1, 2, 3}], [2, 3, 0, 1]),
        ([{6, 7}, {6, 7}, {2, 3}, {2, 3}], [3, 0, 1, 2]),  # for some, the nearest share is gone
        ([{90}, {6}, {}, {}], [0, 3, 1, 2]),
    ],
)
def test_each_process_gets_the_share_nearest_to_its_gpu(near: list[set[int]], assignment: list[int]) -> None:
    parts = [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert assign_shares(parts, near) == [parts[index] for index in assignment]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", []), ("\n", []), ("0", [0]), ("0-3,8\n", [0, 1, 2, 3, 8]), ("5,7,9-10", [5, 7, 9, 10])],
)
def test_lists_are_read_and_written_as_the_kernel_does(text: str, numbers: list[int]) -> None:
    assert parse_list(text) == numbers
    assert format_list(reversed(numbers)) == text.strip()
