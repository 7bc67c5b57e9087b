"""A stand-in for NVIDIA's management library that answers for GPUs that no test machine has."""
# Names and arguments are the library's.
# ruff: noqa: N802, ARG002

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.machine import nvml


class NVMLError(Exception):
    """As of the library: its text is what the driver says."""


class FakeNvml:
    """A node with GPUs; takes the place of the module ``pynvml``.

    A GPU's handle is its index, and a MIG slice's is ``(index, number)``.

    Args:
        count: GPUs that the driver counts; an error where it cannot.
        broken: What the driver says in place of a handle, by index.
        slices: How many MIG slices there are, by index.
        virtual: GPUs tell neither power nor clocks, as virtual ones do.
        near: Cores near each GPU, by index.
        old_driver: The driver knows the reasons of slower clocks by their older name only.
    """

    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
    NVMLError = NVMLError

    def __init__(
        self,
        count: int | NVMLError,
        *,
        broken: Mapping[int, str] | None = None,
        slices: Mapping[int, int] | None = None,
        virtual: bool = False,
        near: Mapping[int, Iterable[int]] | None = None,
        old_driver: bool = False,
    ) -> None:
        self._count, self._broken, self._slices = count, broken or {}, slices or {}
        self._virtual, self._near = virtual, near or {}
        self._old_driver = old_driver
        self.millijoules = 1_000_000
        self.throttle_reasons = 0x4

    def install(self, patch: pytest.MonkeyPatch) -> FakeNvml:
        """Takes the library's place for one test, with no limit on the GPUs that are visible."""
        patch.setitem(sys.modules, "pynvml", self)
        patch.setattr(nvml, "unavailable", lambda: "")
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return self

    def nvmlDeviceGetCount(self) -> int:
        if isinstance(self._count, NVMLError):
            raise self._count
        return self._count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index in self._broken:
            raise NVMLError(self._broken[index])
        return index

    def nvmlDeviceGetUUID(self, gpu: Any) -> str:
        return f"MIG-{gpu[0]}{gpu[1]}0-b" if isinstance(gpu, tuple) else f"GPU-{gpu}00-a"

    def nvmlDeviceGetName(self, gpu: Any) -> str:
        return "NVIDIA H100 MIG 1g.10gb" if isinstance(gpu, tuple) else "NVIDIA H100"

    def nvmlDeviceGetMemoryInfo(self, gpu: Any) -> SimpleNamespace:
        total = (10 if isinstance(gpu, tuple) else 80) << 30
        return SimpleNamespace(total=total, used=1 << 30)

    def nvmlDeviceGetMigMode(self, gpu: Any) -> list[int]:
        if isinstance(gpu, tuple):
            raise NVMLError("Invalid Argument")
        return [int(gpu in self._slices), 0]

    def nvmlDeviceIsMigDeviceHandle(self, gpu: Any) -> int:
        return int(isinstance(gpu, tuple))

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: Any) -> int:
        return 7 if gpu in self._slices else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: int, number: int) -> tuple[int, int]:
        if number >= self._slices[gpu]:
            raise NVMLError("Not Found")
        return gpu, number

    def nvmlDeviceGetCpuAffinity(self, gpu: Any, words: int) -> list[int]:
        if gpu not in self._near:
            raise NVMLError("Not Supported")
        mask = sum(1 << core for core in self._near[gpu])
        return [mask >> (64 * word) & (1 << 64) - 1 for word in range(words)]

    def nvmlDeviceGetUtilizationRates(self, gpu: Any) -> SimpleNamespace:
        return SimpleNamespace(gpu=self._physical(50))

    def nvmlDeviceGetPowerUsage(self, gpu: Any) -> int:
        return self._physical(300_000)

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: Any) -> int:
        self.millijoules += 1000
        return self._physical(self.millijoules)

    def nvmlDeviceGetTemperature(self, gpu: Any, sensor: int) -> int:
        assert sensor == 0  # on the die
        return self._physical(64)

    def nvmlDeviceGetClockInfo(self, gpu: Any, clock: int) -> int:
        return self._physical({1: 1755, 2: 2619}[clock])

    def nvmlDeviceGetCurrentClocksEventReasons(self, gpu: Any) -> int:
        if self._old_driver:
            raise NVMLError("Function Not Found")
        return self._physical(self.throttle_reasons)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: Any) -> int:
        return self._physical(self.throttle_reasons)

    def nvmlDeviceGetTotalEccErrors(self, gpu: Any, kind: int, since: int) -> int:
        assert since == 0  # the driver was loaded
        return self._physical({0: 2, 1: 0}[kind])

    def nvmlDeviceGetPcieThroughput(self, gpu: Any, direction: int) -> int:
        return self._physical({0: 12_500, 1: 250_000}[direction])

    def nvmlDeviceGetPowerManagementLimit(self, gpu: Any) -> int:
        return self._physical(700_000)

    def nvmlDeviceGetMaxClockInfo(self, gpu: Any, clock: int) -> int:
        return self._physical(1980)

    def nvmlDeviceGetPersistenceMode(self, gpu: Any) -> int:
        return self._physical(1)

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.54.15"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return 12040

    def _physical(self, value: int) -> int:
        if self._virtual:
            raise NVMLError("Not Supported")
        return value
