"""Why a GPU held its clocks down, and whether clocks fell while a score was measured."""

from __future__ import annotations

import functools
import operator
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.machine.series import Columns, Readings, read_series

# The bits of NVML's reasons. GPUs also say that they are idle or follow clocks that somebody set.
_NAMES = {
    0x1: "idle",
    0x2: "set clocks",
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "temperature (driver)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}
SLOWDOWNS = 0x8 | 0x20 | 0x40 | 0x80  # what a machine does only if it is too hot or short of power
POWER_LIMIT = 0x4  # which a well loaded GPU reaches as a rule
ENOUGH_SAMPLES = 9  # of fewer, the thirds are single readings


@dataclass(frozen=True)
class ClockDrop:
    """How a clock changed from the first third of the samples of a score to the last one.

    Attributes:
        clock: Which one, in words.
        score: Name of the score that was measured.
        first: Mean of the first third, in MHz.
        last: Mean of the last third, in MHz.
    """

    clock: str
    score: str
    first: float
    last: float

    @property
    def fraction(self) -> float:
        """Returns the drop relative to the first third; negative for a clock that rose."""
        return 1 - self.last / self.first if self.first else 0.0


def names(bits: int) -> list[str]:
    """Returns the reasons that are set, in words."""
    unknown = bits & ~sum(_NAMES)
    return [name for bit, name in _NAMES.items() if bits & bit] + ([f"{unknown:#x}"] if unknown else [])


def clock_drops(telemetry: Mapping[str, Any]) -> Iterator[ClockDrop]:
    """Yields how the clocks of what computed changed while each score was measured.

    Args:
        telemetry: Of a result.
    """
    for source, score, device, readings, windows in _scored(telemetry):
        # Cores that feed a GPU sleep in between, and their clocks say nothing of the score.
        if device == "gpu":
            clocks = [(name, gpu.values.get("sm_clock", [])) for name, gpu in _gpus(source, readings)]
        else:
            clocks = [("the cores", readings.host.values.get("cpu_frequency", []))]
        for name, values in clocks:
            samples = _samples(readings.times, values, windows)
            if len(samples) >= ENOUGH_SAMPLES:
                third = len(samples) // 3
                first, last = statistics.fmean(samples[:third]), statistics.fmean(samples[-third:])
                yield ClockDrop(f"the clock of {name}{_of_rank(telemetry, source)}", score, first, last)


def throttled_shares(telemetry: Mapping[str, Any], bits: int) -> Iterator[tuple[str, str, float, list[str]]]:
    """Yields how often each GPU gave a reason for slower clocks while a score was measured on it.

    Args:
        telemetry: Of a result.
        bits: The reasons that count, such as ``SLOWDOWNS``.

    Yields:
        Name of the score, the GPU in words, the share of the samples, and the reasons that came up.
    """
    for source, score, device, readings, windows in _scored(telemetry):
        for name, gpu in _gpus(source, readings) if device == "gpu" else ():
            values = _samples(readings.times, gpu.values.get("throttle_reasons", []), windows)
            samples = [int(value) & bits for value in values]
            union = functools.reduce(operator.or_, samples, 0)
            if union:
                share = sum(map(bool, samples)) / len(samples)
                yield score, name + _of_rank(telemetry, source), share, names(union)


def _scored(
    telemetry: Mapping[str, Any],
) -> Iterator[tuple[Mapping[str, Any], str, str, Readings, list[tuple[float, float]]]]:
    """Yields each rank's series with each score, its device, and the windows in which it was measured."""
    phases = [phase for phase in telemetry.get("phases", ()) if phase["score"]]
    for entry in telemetry.get("series", ()):
        readings = read_series(entry)
        for score, device in dict.fromkeys((phase["score"], phase["device"]) for phase in phases):
            windows = [(phase["start"], phase["end"]) for phase in phases if phase["score"] == score]
            yield entry, score, device, readings, windows


def _gpus(entry: Mapping[str, Any], readings: Readings) -> list[tuple[str, Columns]]:
    pairs = zip(entry["gpus"], readings.gpus, strict=True)
    return [(f"GPU {gpu['index']}", columns) for gpu, columns in pairs]


def _of_rank(telemetry: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Returns the rank in words where there are several."""
    return f" of rank {entry['rank']}" if len(telemetry["series"]) > 1 else ""


def _samples(
    times: Sequence[float], values: Sequence[float | None], windows: Sequence[tuple[float, float]]
) -> list[float]:
    """Returns the values whose samples lie in one of the windows."""
    return [
        value
        for time, value in zip(times, values, strict=False)
        if value is not None and any(start <= time <= end for start, end in windows)
    ]
