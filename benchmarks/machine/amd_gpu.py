"""What AMD's management library says of one GPU while a run is under way. No such GPU has been seen yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
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
        questions: dict[str, Callable[[], float]] = {
            "utilization": lambda: _first(self._call("gpu_activity"), "gfx_activity"),
            "memory": lambda: 1.048576 * _first(self._call("gpu_vram_usage"), "vram_used"),  # of MiB
            "power": lambda: _first(self._call("power_info"), *_POWERS),
            "energy": self._joules,
            "temperature": lambda: float(
                self._call(
                    "temp_metric",
                    library.AmdSmiTemperatureType.HOTSPOT,
                    library.AmdSmiTemperatureMetric.CURRENT,
                )
            ),
            "sm_clock": lambda: _first(self._call("clock_info", library.AmdSmiClkType.GFX), *_CLOCKS),
            "memory_clock": lambda: _first(self._call("clock_info", library.AmdSmiClkType.MEM), *_CLOCKS),
            "ecc_corrected": lambda: _first(self._call("gpu_total_ecc_count"), "correctable_count"),
            "ecc_uncorrected": lambda: _first(self._call("gpu_total_ecc_count"), "uncorrectable_count"),
        }
        readings = {column: self._answer(column, question) for column, question in questions.items()}
        return {**readings, "energy": self.since_first(readings["energy"])}

    def _answer(self, column: str, question: Callable[[], float]) -> float | None:
        """Returns the answer to a question; None, with the reason kept, where there is none."""
        try:
            return question()
        # A function may be missing from this version of the library, and a figure may be no number.
        except (self._library.AmdSmiException, AttributeError, KeyError, TypeError, ValueError) as error:
            self.reasons[column] = f"AMD SMI: {error}"
            return None

    def _call(self, name: str, *arguments: Any) -> Any:
        """Calls one function of the library for this GPU."""
        return getattr(self._library, f"amdsmi_get_{name}")(self._handle, *arguments)

    def _joules(self) -> float:
        """Returns what the counter of energy says, in J; the library says how many uJ a count is."""
        answer = self._call("energy_count")
        return _first(answer, *_ENERGIES) * float(answer["counter_resolution"]) * 1e-6


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


def _first(answer: Mapping[str, Any], *names: str) -> float:
    """Returns the first of some figures that is a number; others are ``N/A``.

    Raises:
        KeyError: None of them is.
    """
    for name in names:
        if isinstance(answer.get(name), int | float):
            return float(answer[name])
    raise KeyError(f"no {names[0]}")
