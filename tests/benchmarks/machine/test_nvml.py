from __future__ import annotations

import pytest

from benchmarks.machine import nvml


def test_without_a_driver_there_are_no_gpus_and_a_reason() -> None:
    if nvml.handles():
        pytest.skip("this machine has a GPU")
    assert nvml.visible_handles() == {}


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
    ],
)
def test_cuda_visible_devices_chooses_as_cuda_does(visible: str | None, chosen: list[int]) -> None:
    gpus = {0: "first", 1: "second", 2: "third"}
    assert list(nvml.selected(gpus, visible)) == chosen


@pytest.mark.gpu
def test_a_gpu_is_found_by_its_identifier() -> None:
    gpus = nvml.handles()
    if not gpus:
        pytest.skip(f"no GPU: {nvml.unavailable()}")
    for index, gpu in gpus.items():
        assert list(nvml.selected(gpus, nvml.read("nvmlDeviceGetUUID", gpu))) == [index]
