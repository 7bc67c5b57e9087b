"""What NVIDIA's management library says of one GPU while a run is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from benchmarks.machine import nvml
from benchmarks.machine.gpu_sensor import GpuSensor, gpu_columns
from benchmarks.machine.sensor import Column

_SM_CLOCK, _MEMORY_CLOCK = 1, 2  # the library's numbers, as are those below
_CORRECTED, _UNCORRECTED, _SINCE_DRIVER = 0, 1, 0
_SENT, _RECEIVED = 0, 1
_ON_DIE = 0
_OF_WHOLE_GPU = "the driver would answer for the whole GPU, of which this is a slice"


class NvidiaGpu(GpuSensor):
    """One GPU. Of a MIG slice only the memory is known, because the rest would be that of the whole GPU.

    Args:
        index: Of NVML.
        handle: Of NVML.
    """

    columns: ClassVar[Mapping[str, Column]] = gpu_columns("NVML", "over 20 ms")

    def __init__(self, index: int, handle: Any) -> None:
        super().__init__(index)
        self._handle = handle
        self._is_partitioned = nvml.is_partitioned(handle)
        if self._is_partitioned:
            self.reasons = dict.fromkeys(self.columns, _OF_WHOLE_GPU)

    @property
    def name(self) -> str | None:
        """Returns the name of the GPU; None where the driver does not say it."""
        name: str | None = nvml.read("nvmlDeviceGetName", self._handle)
        return name

    def read(self, now: float) -> Mapping[str, float | None]:  # noqa: ARG002
        """Asks the driver for each column, in the units of the columns."""
        memory = self._ask("memory", lambda info: info.used / 1e6, "nvmlDeviceGetMemoryInfo")
        if self._is_partitioned:
            return {"memory": memory}
        return {
            "memory": memory,
            "utilization": self._ask("utilization", lambda rates: rates.gpu, "nvmlDeviceGetUtilizationRates"),
            "power": self._ask("power", lambda milli: milli / 1000, "nvmlDeviceGetPowerUsage"),
            "energy": self.since_first(
                self._ask("energy", lambda milli: milli / 1000, "nvmlDeviceGetTotalEnergyConsumption")
            ),
            "temperature": self._ask("temperature", float, "nvmlDeviceGetTemperature", _ON_DIE),
            "sm_clock": self._ask("sm_clock", float, "nvmlDeviceGetClockInfo", _SM_CLOCK),
            "memory_clock": self._ask("memory_clock", float, "nvmlDeviceGetClockInfo", _MEMORY_CLOCK),
            "throttle_reasons": self._throttle_reasons(),
            "ecc_corrected": self._ecc("ecc_corrected", _CORRECTED),
            "ecc_uncorrected": self._ecc("ecc_uncorrected", _UNCORRECTED),
            "pcie_sent": self._pcie("pcie_sent", _SENT),
            "pcie_received": self._pcie("pcie_received", _RECEIVED),
        }

    def _ask(
        self, column: str, convert: Callable[[Any], float], function: str, *arguments: Any
    ) -> float | None:
        """Returns the driver's answer in the unit of the column; None, with the reason kept, without one."""
        answer, reason = nvml.ask(function, self._handle, *arguments)
        if reason:
            self.reasons[column] = f"NVML: {reason}"
            return None
        return convert(answer)

    def _throttle_reasons(self) -> float | None:
        """Returns the bits of the reasons; drivers before 535 know the question by its older name only."""
        for name in ("EventReasons", "ThrottleReasons"):
            bits = self._ask("throttle_reasons", float, f"nvmlDeviceGetCurrentClocks{name}")
            if bits is not None:
                return bits
        return None

    def _ecc(self, column: str, kind: int) -> float | None:
        """Returns the number of memory errors of a kind."""
        return self._ask(column, float, "nvmlDeviceGetTotalEccErrors", kind, _SINCE_DRIVER)

    def _pcie(self, column: str, direction: int) -> float | None:
        """Returns the traffic, in MB/s, which the driver has in KB/s."""
        return self._ask(column, lambda kilo: kilo / 1000, "nvmlDeviceGetPcieThroughput", direction)
