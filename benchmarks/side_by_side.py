"""Runs side by side: their figures, with ratios to those of the first, and the settings that differ."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report import align, number
from benchmarks.result import RunResult
from benchmarks.scores import account

_GIB = 1 << 30


@dataclass(frozen=True)
class Side:
    """What is compared: a run, or repeats of one.

    Attributes:
        name: What the runs are called, such as their folder.
        runs: One run at least.
    """

    name: str
    runs: tuple[RunResult, ...]

    def values(self, score: str) -> tuple[float, ...]:
        """Returns the medians of the repeats, or the repetitions of a single run as far as it has them."""
        if len(self.runs) == 1:
            return account(self.runs[0]).repetitions.get(score, ())
        return tuple(account(run).scores[score].spread.median for run in self.runs)

    def scores(self) -> dict[str, tuple[float, str]]:
        """Returns the median and the unit of each score that all runs have."""
        of_runs = [account(run).scores for run in self.runs]
        return {
            name: (statistics.median(scores[name].spread.median for scores in of_runs), score.unit)
            for name, score in of_runs[0].items()
            if all(name in scores for scores in of_runs)
        }


def side_by_side(sides: Sequence[Side]) -> str:
    """Returns the figures of each side, with their ratios to those of the first, and what differs."""
    columns = [_median_figures(side) for side in sides]
    rows = [("", *(side.name for side in sides)), ("status", *map(_status, sides))]
    for label in dict.fromkeys(label for column in columns for label in column):
        first = columns[0].get(label)
        rows.append((label, *(_with_ratio(column.get(label), first) for column in columns)))

    settings = [
        {key: value for key, value in run.config.items() if key not in ("changed", "resolved")}
        | {"data_sha256": run.data_sha256[:12] or "-"}
        for side in sides
        for run in side.runs
    ]
    lines = [f"  {line}" for line in differing(settings)]
    heading = "These settings differ:" if lines else "All with the same settings and data."
    return "\n".join([*align(rows), "", heading, *lines])


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the keys with more than one value, with their values, a line each."""
    lines = []
    for key in dict.fromkeys(key for run in settings for key in run):
        values = [str(run.get(key)) for run in settings]
        if len(set(values)) > 1:
            lines.append(f"{key}: {', '.join(values)}")
    return lines


def _status(side: Side) -> str:
    return ", ".join(dict.fromkeys(run.status for run in side.runs))


def _median_figures(side: Side) -> dict[str, float | None]:
    """Returns the figures of a run, or the medians of the figures of repeats."""
    figures = [_figures(run) for run in side.runs]
    labels = dict.fromkeys(label for run in figures for label in run)
    columns = {label: [value for run in figures if (value := run.get(label)) is not None] for label in labels}
    return {label: statistics.median(values) if values else None for label, values in columns.items()}


def _figures(result: RunResult) -> dict[str, float | None]:
    """Returns the figures that are shown side by side, as far as the run has them."""
    figures: dict[str, float | None] = {}
    if result.timed:
        figures["training [events/s]"] = result.training().median
        figures["training spread"] = result.training().relative_spread
        figures["epoch [s]"] = result.epoch_seconds().median
    if result.inference:
        figures["inference [events/s]"] = result.inference["batch"]["events_per_second"]["median"]
        figures["latency p50 [s]"] = result.inference["single"]["latency_seconds"]["p50"]
    for score, energies in result.energy_scored.items():
        for part in ("gpu", "cpu"):
            if (rate := energies[part]["events_per_joule"]) is not None:
                figures[f"{score} [events/J, {part.upper()}]"] = rate
    figures.update(result.quality)
    figures.update({f"{name} memory [GiB]": size / _GIB for name, size in result.peak_memory_bytes.items()})
    return figures


def _with_ratio(value: float | None, first: float | None) -> str:
    if value is None or not first:
        return number(value)
    return f"{number(value)} ({value / first:.3f})"
