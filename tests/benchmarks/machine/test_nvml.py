from __future__ import annotations

import pytest

from benchmarks.machine import nvml
from tests.benchmarks.machine.fake_nvml import FakeNvml, NVMLError


def test_without_a_driver_there_are_no_gpus_and_a_reason() -> None:
    if nvml.handles():
        pytest.skip("this machine has a GPU")
    assert nvml.visible_handles() == {}
    assert nvml.faults() == []


@pytest.mark.parametrize("fault", ["GPU is lost", "Insufficient Permissions", "Unknown Error"])
def test_a_gpu_that_does_not_answer_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    FakeNvml(3, broken={1: fault}).install(monkeypatch)
    assert list(nvml.handles()) == list(nvml.visible_handles()) == [0, 2]
    assert nvml.faults() == [f"GPU 1: {fault}"]


def test_gpus_that_cannot_be_counted_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(NVMLError("Unknown Error")).install(monkeypatch)
    assert (nvml.handles(), nvml.faults()) == ({}, ["number of GPUs: Unknown Error"])


def test_what_an_old_library_lacks_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(1).install(monkeypatch)
    assert nvml.read("nvmlDeviceGetSomethingNew", 0) is None


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        ("0,1", ["0", "1"]),
        (" 0, 1 ", ["0", "1"]),
        ("00,+1", ["0", "1"]),
        ("1st,2nd", ["1", "2"]),
        ("", []),
        (" ", []),
        (",0", []),
        ("0,,1", ["0"]),
        ("0,-1,1", ["0"]),
        ("-1", []),
        ("NoDevFiles", []),
        ("none", []),
        ("0,0", []),
        ("0,1,00", []),
        ("GPU-1234", ["GPU-1234"]),
        ("GPU-12,GPU-34", ["GPU-12", "GPU-34"]),
        ("GPU-12,0", ["GPU-12"]),
        ("0,GPU-12", ["0"]),
        ("GPU-12,GPU-12", []),
        ("MIG-12,GPU-34", ["MIG-12"]),
        ("MIG-GPU-12/1/0", ["MIG-GPU-12/1/0"]),
    ],
)
def test_the_text_is_read_as_cuda_reads_it(visible: str, devices: list[str]) -> None:
    assert nvml.listed_devices(visible) == devices


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        (None, [0, 1, 2]),
        ("1", [1]),
        ("2, 0", [2, 0]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,-1,0", [1]),
        ("7,0", []),
        ("0,0", []),
        ("GPU-2", [2]),
        ("GPU-2,GPU-0", [2, 0]),
        ("GPU-2,GPU-20", []),  # one GPU under two of its beginnings
        ("GPU-", []),  # which one?
        ("GPU-9,GPU-1", []),
        ("MIG-1", []),
    ],
)
def test_cuda_visible_devices_chooses_as_cuda_does(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, chosen: list[int]
) -> None:
    FakeNvml(3).install(monkeypatch)
    gpus = {0: 0, 1: 1, 2: 2}
    assert list(nvml.selected(gpus, visible)) == chosen


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        (None, {0: 0, 1: (1, 0)}),
        ("1", {1: (1, 0)}),
        ("GPU-1", {1: (1, 0)}),
        ("MIG-110-b", {1: (1, 1)}),
        ("MIG-110-b,MIG-100-b", {1: (1, 1)}),  # a process can use one slice
        ("MIG-1", {}),  # which of the two?
        ("MIG-000-b", {}),
    ],
)
def test_a_slice_is_a_device_under_the_index_of_its_gpu(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, chosen: dict[int, object]
) -> None:
    """Takes a node whose GPU 0 is whole and whose GPU 1 is divided into two slices."""
    FakeNvml(2, slices={1: 2}).install(monkeypatch)
    assert nvml.selected(nvml.handles(), visible) == chosen
    assert [nvml.is_partitioned(gpu) for gpu in (0, 1, (1, 0))] == [False, True, True]


def test_a_slice_that_the_driver_does_not_list_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its GPU stands for it, of which no power is claimed."""
    FakeNvml(2, slices={1: 0}).install(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-11111111-2222")
    assert nvml.visible_handles() == {1: 1}
    assert nvml.is_partitioned(1)
    assert nvml.assignable_devices() == ["MIG-11111111-2222"]


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        (None, ["GPU-000-a", "MIG-100-b", "MIG-110-b"]),
        ("0,1", ["GPU-000-a", "MIG-100-b"]),  # the number of a GPU is its first slice
        ("MIG-110-b,MIG-100-b", ["MIG-110-b", "MIG-100-b"]),
        ("MIG-110-b,MIG-777-b", ["MIG-110-b"]),
        ("", []),
    ],
)
def test_each_slice_can_be_given_to_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, devices: list[str]
) -> None:
    FakeNvml(2, slices={1: 2}).install(monkeypatch)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert nvml.assignable_devices() == devices


@pytest.mark.gpu
def test_a_gpu_is_found_by_its_identifier() -> None:
    gpus = nvml.handles()
    if not gpus:
        pytest.skip(f"no GPU: {nvml.unavailable()}")
    for index, gpu in gpus.items():
        assert list(nvml.selected(gpus, nvml.read("nvmlDeviceGetUUID", gpu))) == [index]
