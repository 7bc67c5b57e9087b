"""Energy of the phases of a run, from counters or from integrated power, and events per joule."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.machine.series import Columns, Readings, Values

COUNTER, INTEGRAL = "counter of energy", "integrated power"
_ENOUGH_SAMPLES = 2  # of fewer, what was before and after the phase decides
_EDGE_SECONDS = 0.1  # by which a phase may reach beyond the samples, whose times are rounded
LEAVES_OUT = {
    "gpu": "processors, host memory, network, fans, power supplies and GPUs that the run did not use",
    "cpu": "GPUs, network, disks, fans and power supplies; whatever else ran on the packages is in it",
}


def gpu_energy(ranks: Sequence[Readings], start: float, end: float, device: str) -> dict[str, Any]:
    """Returns the energy of all GPUs of a run in a phase.

    Args:
        ranks: What each rank sampled.
        start: Of the phase, in seconds since 1970 (UTC).
        end: Likewise.
        device: ``gpu`` or ``cpu``, where the phase was computed.

    Returns:
        ``joules`` and their ``source``, or None in both and what is ``missing``.
    """
    if device != "gpu":
        return _nothing("it was not computed on a GPU")
    energies = [
        _between(readings.times, gpu, ("energy", "power"), start, end)
        for readings in ranks
        for gpu in readings.gpus
    ]
    return _sum(energies, "no GPU was watched")


def cpu_energy(nodes: Sequence[Readings], start: float, end: float) -> dict[str, Any]:
    """Returns the energy of the processor packages of all nodes in a phase; see ``gpu_energy``.

    Args:
        nodes: What one rank of each node sampled.
        start: Of the phase, in seconds since 1970 (UTC).
        end: Likewise.
    """
    names = ("package_energy", "package_power")
    return _sum([_between(node.times, node.host, names, start, end) for node in nodes], "nothing was watched")


def energy_of_scores(phases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the energy of the scored phases, and that of an event.

    Args:
        phases: ``telemetry.phases`` of a result.

    Returns:
        By the score's name: ``events`` and ``seconds`` of its phases, and of ``gpu`` and ``cpu`` the
        ``joules``, ``joules_per_event``, ``events_per_joule``, their ``source``, what it ``leaves_out``, and
        what is ``missing`` where they are None.
    """
    scores: dict[str, list[Mapping[str, Any]]] = {}
    for phase in phases:
        if phase["score"] is not None:
            scores.setdefault(phase["score"], []).append(phase)
    return {
        score: {
            "events": (events := sum(phase["events"] for phase in scored)),
            "seconds": sum(phase["end"] - phase["start"] for phase in scored),
            **{
                part: _per_event(_sum([phase["energy"][part] for phase in scored], ""), part, events)
                for part in LEAVES_OUT
            },
        }
        for score, scored in scores.items()
    }


def _per_event(energy: Mapping[str, Any], part: str, events: int) -> dict[str, Any]:
    joules = energy["joules"]
    has_rate = joules is not None and joules > 0
    return {
        "joules": joules,
        "joules_per_event": joules / events if has_rate else None,
        "events_per_joule": events / joules if has_rate else None,
        "source": energy["source"],
        "leaves_out": LEAVES_OUT[part],
        "missing": "the counter did not move" if joules == 0 else energy["missing"],
    }


def _sum(parts: Sequence[Mapping[str, Any]], reason: str) -> dict[str, Any]:
    """Adds up energies. A sum over some of the parts would look like a very efficient machine."""
    if not parts:
        return _nothing(reason)
    for part in parts:
        if part["joules"] is None:
            return dict(part)
    sources = dict.fromkeys(part["source"] for part in parts)
    return {"joules": sum(part["joules"] for part in parts), "source": "; ".join(sources), "missing": ""}


def _nothing(reason: str) -> dict[str, Any]:
    return {"joules": None, "source": None, "missing": reason}


def _between(
    times: Sequence[float], columns: Columns, names: tuple[str, str], start: float, end: float
) -> dict[str, Any]:
    """Returns the energy between two moments, from a counter or, where there is none, from power.

    Args:
        times: Of the samples, in s.
        columns: Of the host, or of a GPU.
        names: Of the column of the counter, in J, and of the column of the power, in W.
        start: First moment, in s.
        end: Second moment, in s.
    """
    counter, power = (_answered(times, columns.values.get(name, [])) for name in names)
    points = counter or power

    # A wrong energy is worse than none, because it would look like an efficient machine.
    if not points:
        return _nothing(columns.reasons.get(names[1], "neither energy nor power was measured"))
    if start < points[0][0] - _EDGE_SECONDS or end > points[-1][0] + _EDGE_SECONDS:
        return _nothing("the samples do not cover the phase")
    inside = [(time, value) for time, value in points if start <= time <= end]
    if len(inside) < _ENOUGH_SAMPLES:
        return _nothing(f"there are fewer than {_ENOUGH_SAMPLES} samples in the phase")

    if counter:
        joules = _value_at(counter, end) - _value_at(counter, start)
        if joules < 0:
            return _nothing("the counter of energy started again")
        return {"joules": joules, "source": COUNTER, "missing": ""}

    # Without a counter, power is taken to change on straight lines between the samples.
    line = [(start, _value_at(power, start)), *inside, (end, _value_at(power, end))]
    joules = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(line))
    return {"joules": joules, "source": INTEGRAL, "missing": ""}


def _answered(times: Sequence[float], values: Values) -> list[tuple[float, float]]:
    """Returns the samples with an answer, each as (time, value)."""
    return [(time, value) for time, value in zip(times, values, strict=False) if value is not None]


def _value_at(points: Sequence[tuple[float, float]], moment: float) -> float:
    """Returns the value at a moment, on the straight line between its neighbours."""
    index = bisect.bisect_left(points, moment, key=lambda point: point[0])
    if index == 0:
        return points[0][1]
    if index == len(points):
        return points[-1][1]
    (before, low), (after, high) = points[index - 1], points[index]
    return low + (high - low) * (moment - before) / (after - before)
