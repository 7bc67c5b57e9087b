"""What AMD's management library says of one GPU while a run is under way. No such GPU has been seen yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from benchmarks.machine.gpu_sensor import GpuSensor, gpu_columns
from benchmarks.machine.sensor import Column

# Versions of the library have one or the other of these names for a figure.
_POWERS = ("socket_power", "current_socket_power", "average_socket_power")
_ENERGIES = ("energy_accumulator", "power")
_CLOCKS = ("clk", "cur_clk")
_VISIBLE = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_NOT_READ = {
    "throttle_reasons": "AMD SMI: its bits mean something else on each generation",
    "pcie_sent": "AMD SMI: counts packets of unknown size",
    "pcie_received": "AMD SMI: counts packets of unknown size",
}


class AmdGpu(GpuSensor):
    """One GPU.

    Args:
        index: In the order of the library.
        handle: Of the library.
        library: The module ``amdsmi``, initialised.
    """

    columns: ClassVar[Mapping[str, Column]] = gpu_columns("AMD SMI", "not read")

    def __init__(self, index: int, handle: Any, library: Any) -> None:
        super().__init__(index)
        self._handle, self._library = handle, library
        self.reasons |= _NOT_READ

    @property
    def name(self) -> str | None:
        """Returns the name of the GPU; None where the driver does not say it."""
        try:
            name: str = self._library.amdsmi_get_gpu_asic_info(self._handle)["market_name"]
        except self._library.AmdSmiException:
            return None
        return name

    def read(self, now: float) -> Mapping[str, float | None]:  # noqa: ARG002
        """Asks the driver for each column, in the units of the columns."""
        library = self._library
        return {
            column: value
            for columns, question in (
                (("utilization",), self._utilization),
                (
                    ("memory",),
                    lambda: (library.amdsmi_get_gpu_vram_usage(self._handle)["vram_used"] * 1.048576,),
                ),
                (("power",), lambda: (_first(library.amdsmi_get_power_info(self._handle), _POWERS),)),
                (("energy",), self._energy),
                (("temperature",), self._temperature),
                (("sm_clock",), lambda: (self._clock("GFX"),)),
                (("memory_clock",), lambda: (self._clock("MEM"),)),
                (("ecc_corrected", "ecc_uncorrected"), self._ecc),
            )
            for column, value in self._ask(columns, question)
        }

    def _ask(
        self, columns: tuple[str, ...], question: Callable[[], tuple[float | None, ...]]
    ) -> Iterator[tuple[str, float | None]]:
        """Yields columns with their values; None, with the reason kept, where the driver has no answer."""
        try:
            answers = question()
        except (self._library.AmdSmiException, KeyError) as error:
            self.reasons |= dict.fromkeys(columns, f"AMD SMI: {error}")
            answers = (None,) * len(columns)
        yield from zip(columns, answers, strict=True)

    def _utilization(self) -> tuple[float | None]:
        return (_first(self._library.amdsmi_get_gpu_activity(self._handle), ("gfx_activity",)),)

    def _energy(self) -> tuple[float | None]:
        """Returns the energy since the first sample, in J; the library says how many uJ a count is."""
        answer = self._library.amdsmi_get_energy_count(self._handle)
        return (self.since_first(_first(answer, _ENERGIES) * answer["counter_resolution"] * 1e-6),)

    def _temperature(self) -> tuple[float | None]:
        kind, metric = self._library.AmdSmiTemperatureType, self._library.AmdSmiTemperatureMetric
        return (float(self._library.amdsmi_get_temp_metric(self._handle, kind.HOTSPOT, metric.CURRENT)),)

    def _clock(self, name: str) -> float:
        kind = getattr(self._library.AmdSmiClkType, name)
        return _first(self._library.amdsmi_get_clock_info(self._handle, kind), _CLOCKS)

    def _ecc(self) -> tuple[float | None, float | None]:
        counts = self._library.amdsmi_get_gpu_total_ecc_count(self._handle)
        return float(counts["correctable_count"]), float(counts["uncorrectable_count"])


def visible_gpus() -> list[AmdGpu]:
    """Returns the GPUs that this process may use, in the library's order; none without the library."""
    try:
        import amdsmi
    except (ImportError, OSError, KeyError):  # the module looks for ROCm's shared library when it is loaded
        return []
    try:
        amdsmi.amdsmi_init()
        handles = list(enumerate(amdsmi.amdsmi_get_processor_handles()))
    except amdsmi.AmdSmiException:
        return []
    for name in _VISIBLE:
        if name in os.environ:
            visible = [word.strip() for word in os.environ[name].split(",")]
            handles = [(index, handle) for index, handle in handles if str(index) in visible]
    return [AmdGpu(index, handle, amdsmi) for index, handle in handles]


def _first(answer: Mapping[str, Any], names: tuple[str, ...]) -> float:
    """Returns the first of some figures that is a number; others are ``N/A``.

    Raises:
        KeyError: None of them is.
    """
    for name in names:
        if isinstance(answer.get(name), int | float):
            return float(answer[name])
    raise KeyError(f"no {names[0]}")
