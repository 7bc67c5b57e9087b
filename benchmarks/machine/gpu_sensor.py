"""What the sensors of GPUs have in common, whoever made the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.machine.sensor import Column, Sensor


def gpu_columns(library: str, traffic: str) -> Mapping[str, Column]:
    """Returns the columns of a GPU.

    Args:
        library: The vendor's library, which has the values.
        traffic: How it measures what goes over PCIe.
    """
    since_driver = f"{library}, since the driver was loaded"
    return {
        "utilization": Column("%", library),
        "memory": Column("MB", f"{library}, in use by anybody"),
        "power": Column("W", library, digits=1),
        "energy": Column("J", f"{library}, since the first sample", digits=1),
        "temperature": Column("°C", library),
        "sm_clock": Column("MHz", library),
        "memory_clock": Column("MHz", library),
        "throttle_reasons": Column("bits", library),
        "ecc_corrected": Column("errors", since_driver),
        "ecc_uncorrected": Column("errors", since_driver),
        "pcie_sent": Column("MB/s", f"{library}, {traffic}", digits=1),
        "pcie_received": Column("MB/s", f"{library}, {traffic}", digits=1),
    }


class GpuSensor(Sensor):
    """One GPU.

    Args:
        index: Number of the GPU in the vendor's library.

    Attributes:
        index: Likewise.
    """

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index
        self._first_joules: float | None = None

    @property
    def name(self) -> str | None:
        """Returns the name of the GPU; None where the driver does not say it."""
        raise NotImplementedError

    def summary(self) -> dict[str, Any]:
        """Returns what the samples come to, as JSON values."""
        names = ("memory", "utilization", "power", "energy")
        memory, busy, watts, joules = map(self.answers, names)
        return {
            "index": self.index,
            "name": self.name,
            "memory_used_bytes_max": round(1e6 * max(memory)) if memory else None,
            "utilization_mean": sum(busy) / len(busy) / 100 if busy else None,
            "power_watts_mean": sum(watts) / len(watts) if watts else None,
            "power_watts_max": max(watts, default=None),
            # One reading of the counter is no energy of a run.
            "energy_joules": joules[-1] if len(joules) > 1 else None,
        }

    def since_first(self, joules: float | None) -> float | None:
        """Returns the energy since the first sample, in J.

        Args:
            joules: What the counter says; None where there is none.
        """
        if joules is None:
            return None
        if self._first_joules is None:
            self._first_joules = joules
        return joules - self._first_joules
