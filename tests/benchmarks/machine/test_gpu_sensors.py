"""Sensors of GPUs on the values of stand-ins for the vendors' libraries; none was recorded on a machine."""

# Names and arguments are the libraries'.
# ruff: noqa: ARG002

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.machine import amd_gpu
from benchmarks.machine.nvidia_gpu import NvidiaGpu
from tests.benchmarks.machine.fake_nvml import FakeNvml

COLUMNS = {
    "utilization": "50x2",
    "memory": "1074x2",
    "power": "300x2",
    "energy": "0 1",
    "temperature": "64x2",
    "sm_clock": "1755x2",
    "memory_clock": "2619x2",
    "throttle_reasons": "4x2",
    "ecc_corrected": "2x2",
    "ecc_uncorrected": "0x2",
    "pcie_sent": "12.5x2",
    "pcie_received": "250x2",
}


def columns(gpu: Any) -> dict[str, Any]:
    gpu.sample(0.0)
    gpu.sample(1.0)
    return dict(gpu.to_dict(2))


@pytest.mark.parametrize("old_driver", [False, True])
def test_a_gpu_says_everything_in_the_units_of_the_columns(
    monkeypatch: pytest.MonkeyPatch, old_driver: bool
) -> None:
    FakeNvml(1, old_driver=old_driver).install(monkeypatch)
    assert {name: column["values"] for name, column in columns(NvidiaGpu(0, 0)).items()} == COLUMNS


def test_what_a_virtual_gpu_does_not_say_has_the_drivers_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(1, virtual=True).install(monkeypatch)
    seen = columns(NvidiaGpu(0, 0))
    assert seen["power"]["missing"] == seen["throttle_reasons"]["missing"] == "NVML: Not Supported"
    assert seen["memory"]["values"] == "1074x2"


def test_of_a_slice_the_rest_belongs_to_the_whole_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(1, slices={0: 2}).install(monkeypatch)
    seen = columns(NvidiaGpu(0, (0, 1)))
    assert [name for name, column in seen.items() if column["values"]] == ["memory"]
    assert (
        seen["sm_clock"]["missing"] == "the driver would answer for the whole GPU, of which this is a slice"
    )


class AmdSmiException(Exception):  # noqa: N818 (the library's name)
    """As of the library."""


class FakeAmdSmi:
    """Takes the place of the module ``amdsmi``, with two GPUs, whose handles are texts.

    Args:
        names: The names that this version of the library has for the figures of power, energy and clocks.
    """

    AmdSmiException = AmdSmiException
    AmdSmiTemperatureType = SimpleNamespace(HOTSPOT=1)
    AmdSmiTemperatureMetric = SimpleNamespace(CURRENT=0)
    AmdSmiClkType = SimpleNamespace(GFX=0, MEM=4)

    def __init__(self, names: tuple[str, str, str] = ("socket_power", "energy_accumulator", "clk")) -> None:
        self._power, self._energy, self._clock = names
        self._ticks = 0

    def amdsmi_init(self) -> None:
        pass

    def amdsmi_get_processor_handles(self) -> list[str]:
        return ["first", "second"]

    def amdsmi_get_gpu_asic_info(self, gpu: str) -> dict[str, Any]:
        return {"market_name": f"AMD Instinct, {gpu}"}

    def amdsmi_get_gpu_activity(self, gpu: str) -> dict[str, Any]:
        return {"gfx_activity": 90, "mm_activity": "N/A"}

    def amdsmi_get_gpu_vram_usage(self, gpu: str) -> dict[str, Any]:
        return {"vram_total": 196_592, "vram_used": 1000}

    def amdsmi_get_power_info(self, gpu: str) -> dict[str, Any]:
        return {"average_socket_power": "N/A", self._power: 500}

    def amdsmi_get_energy_count(self, gpu: str) -> dict[str, Any]:
        self._ticks += 1_000_000
        return {self._energy: self._ticks, "counter_resolution": 15.25, "timestamp": 1}

    def amdsmi_get_temp_metric(self, gpu: str, kind: int, metric: int) -> int:
        return {(1, 0): 61}[kind, metric]

    def amdsmi_get_clock_info(self, gpu: str, kind: int) -> dict[str, Any]:
        return {self._clock: {0: 2100, 4: 1300}[kind]}

    def amdsmi_get_gpu_total_ecc_count(self, gpu: str) -> dict[str, Any]:
        raise AmdSmiException("not supported")


NEW = ("socket_power", "energy_accumulator", "clk")
OLD = ("current_socket_power", "power", "cur_clk")


@pytest.mark.parametrize("names", [NEW, OLD])
def test_an_amd_gpu_answers_in_the_same_columns(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, str, str]
) -> None:
    monkeypatch.setitem(sys.modules, "amdsmi", FakeAmdSmi(names))
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    (gpu,) = amd_gpu.visible_gpus()
    seen = columns(gpu)
    assert {name: column["values"] for name, column in seen.items() if column["values"]} == {
        "utilization": "90x2",
        "memory": "1049x2",
        "power": "500x2",
        "energy": "0 15.2",
        "temperature": "61x2",
        "sm_clock": "2100x2",
        "memory_clock": "1300x2",
    }
    assert seen["ecc_corrected"]["missing"] == "AMD SMI: not supported"
    assert seen["pcie_sent"]["missing"] == "AMD SMI: counts packets of unknown size"
    assert gpu.summary() == {
        "index": 1,
        "name": "AMD Instinct, second",
        "memory_used_bytes_max": 1000 << 20,
        "utilization_mean": 0.9,
        "power_watts_mean": 500.0,
        "power_watts_max": 500.0,
        "energy_joules": pytest.approx(15.25),
    }


def test_without_the_library_there_is_no_amd_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    assert amd_gpu.visible_gpus() == []
