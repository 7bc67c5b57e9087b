"""The phases of a run: when each began and ended, what the machine did in it, and what energy it took."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import throttling
from benchmarks.machine.energy import cpu_energy, gpu_energy
from benchmarks.machine.series import Columns, Readings, read_series

_COUNTERS = ("energy", "package_energy")  # whose mean says nothing


@dataclass(frozen=True)
class Phase:
    """One phase of a run.

    Attributes:
        name: Such as ``epoch 1``.
        start: In seconds since 1970 (UTC).
        end: Likewise.
        score: Name of the score that was measured in it; None for a phase that is not scored.
        events: Events that were worked on in it, over all ranks; None where they are not counted.
        device: ``gpu`` or ``cpu``, where it was computed.
    """

    name: str
    start: float
    end: float
    score: str | None = None
    events: int | None = None
    device: str = "cpu"


def summarise_phases(phases: Sequence[Phase], series: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns what the machine did in each phase, as JSON values.

    Args:
        phases: Of the run.
        series: ``telemetry.series`` of the run, an entry for each rank.

    Returns:
        Of each phase its name, start, end, score, events and device, in ``ranks`` mean, smallest and largest
        value of each column, and in ``energy`` the joules of ``gpu`` and ``cpu``.
    """
    ranks = [read_series(entry) for entry in series]
    # Ranks of one node watch the same packages.
    nodes = {entry["node"]: readings for entry, readings in zip(series, ranks, strict=True)}
    return [
        {
            "name": phase.name,
            "score": phase.score,
            "start": phase.start,
            "end": phase.end,
            "events": phase.events,
            "device": phase.device,
            "energy": {
                "gpu": gpu_energy(ranks, phase.start, phase.end, phase.device),
                "cpu": cpu_energy(list(nodes.values()), phase.start, phase.end),
            },
            "ranks": [_summarise_rank(readings, phase) for readings in ranks],
        }
        for phase in sorted(phases, key=lambda phase: phase.start)
    ]


def _summarise_rank(readings: Readings, phase: Phase) -> dict[str, Any]:
    inside = slice(
        bisect.bisect_left(readings.times, phase.start), bisect.bisect_right(readings.times, phase.end)
    )
    return {
        "columns": _summarise_columns(readings.host, inside),
        "gpus": [_summarise_columns(gpu, inside) for gpu in readings.gpus],
    }


def _summarise_columns(columns: Columns, inside: slice) -> dict[str, Any]:
    """Returns a summary of each column, None where it has no value in the phase."""
    return {
        name: _summarise(name, [value for value in values[inside] if value is not None])
        for name, values in columns.values.items()
        if name not in _COUNTERS
    }


def _summarise(name: str, values: Sequence[float]) -> dict[str, float] | None:
    """Returns mean, smallest and largest value; of reasons the share of the samples with each."""
    if not values:
        return None
    if name == "throttle_reasons":
        reasons = [reason for bits in values for reason in throttling.names(int(bits))]
        return {reason: reasons.count(reason) / len(values) for reason in dict.fromkeys(reasons)}
    return {"mean": statistics.fmean(values), "min": min(values), "max": max(values)}
