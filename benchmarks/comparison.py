"""Whether one run is faster than another, with the uncertainty that their repetitions leave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.report import align, draw_figure, machine, number, verdict_line
from benchmarks.result import RunResult
from benchmarks.scores import account

CONFIDENCE = 0.95
# Keys of a configuration that decide how a run is done and judged, and not what is computed in it.
NOT_COMPUTED = {
    *("seed", "threads", "data", "require_quiet", "max_foreign_cores", "max_stolen_fraction"),
    *("max_spread", "max_input_wait", "quiet_epoch_seconds"),
}
_NO_SETTINGS = {"workload", "kind", "changed", "resolved"}
_GIB = 1 << 30


@dataclass(frozen=True)
class Ratio:
    """A score of one run over that of another.

    Attributes:
        name: Of the score.
        unit: Of the score.
        first: Median of the run that is compared with.
        second: Median of the other run.
        low: Lower end of the interval of the ratio; None where there are too few repetitions.
        high: Its upper end.
    """

    name: str
    unit: str
    first: float
    second: float
    low: float | None
    high: float | None

    @property
    def value(self) -> float:
        """Returns the ratio of the medians."""
        return self.second / self.first

    @property
    def word(self) -> str:
        """Returns ``faster``, ``slower``, ``within noise``, or ``unknown`` with too few repetitions."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.low > 1:
            return "faster"
        return "slower" if self.high < 1 else "within noise"

    def is_below(self, bound: float) -> bool:
        """Says whether the ratio is below ``bound`` and, where noise is known, not within it."""
        return self.value < bound and self.word in ("slower", "unknown")


def obstacles(first: RunResult, second: RunResult) -> list[str]:
    """Returns why two runs cannot be compared, a line for each reason.

    Both need scores, and have to have computed the same.
    """
    reasons = [
        f"{label} run has no score: {run.status}"
        for label, run in (("the first", first), ("the second", second))
        if run.status != "ok"
    ]
    return [*reasons, *_differing(_computed(first, second))]


def ratios(first: RunResult, second: RunResult) -> list[Ratio]:
    """Returns the ratio of each score that both runs have, of the second run over the first.

    The interval is Welch's for the difference of the mean logarithms, with a confidence of 95 %. It covers
    what the repetitions within the two runs show. Whatever differs from process to process, such as the
    placement of memory, it cannot know.
    """
    accounts = account(first), account(second)
    shared = [name for name in accounts[0].scores if name in accounts[1].scores]
    return [
        Ratio(
            name,
            accounts[0].scores[name].unit,
            accounts[0].scores[name].spread.median,
            accounts[1].scores[name].spread.median,
            *_interval(*(one.repetitions.get(name, ()) for one in accounts)),
        )
        for name in shared
    ]


def failures(results: Sequence[tuple[str, RunResult]], bound: float) -> list[str]:
    """Returns what fails a comparison with the first run, a line each.

    Args:
        results: Runs with their names, the one that is compared with first.
        bound: Ratio that no score may be below by more than noise.
    """
    (first_name, first), *others = results
    lines = []
    for name, second in others:
        if reasons := obstacles(first, second):
            lines.append(f"{name} is not comparable with {first_name}, because {'; '.join(reasons)}")
            continue
        for ratio in ratios(first, second):
            if ratio.is_below(bound):
                medians = f"{number(ratio.second)} {ratio.unit} for {number(ratio.first)}"
                share = f"{ratio.value:.3f} of {first_name}'s ({medians})"
                lines.append(f"{name}: {ratio.name} is {share}, below {bound:g}")
    return lines


def comparison(results: Sequence[tuple[str, RunResult]]) -> str:
    """Returns the judgement of each run against the first, and after it their figures side by side."""
    (first_name, first), *others = results
    parts = [_heading(results)]
    for name, second in others:
        if reasons := obstacles(first, second):
            lines = [
                f"{name} is not comparable with {first_name}, because",
                *(f"  {line}" for line in reasons),
            ]
            parts.append("\n".join(lines))
        else:
            parts.append("\n".join([f"{name} over {first_name}:", *align(_rows(ratios(first, second)))]))
    return "\n\n".join([*parts, side_by_side(results)])


def side_by_side(results: Sequence[tuple[str, RunResult]]) -> str:
    """Returns the figures of several runs, each with its ratio to that of the first run, and what differs."""
    columns = [_figures(result) for _, result in results]
    rows = [("", *(name for name, _ in results)), ("status", *(result.status for _, result in results))]
    for label in dict.fromkeys(label for column in columns for label in column):
        first = columns[0].get(label)
        rows.append((label, *(_with_ratio(column.get(label), first) for column in columns)))
    settings = [
        {key: value for key, value in result.config.items() if key not in ("changed", "resolved")}
        | {"data_sha256": result.data_sha256[:12] or "-"}
        for _, result in results
    ]
    differing = [f"  {line}" for line in _differing(settings)]
    heading = "These settings differ:" if differing else "All with the same settings and data."
    return "\n".join([*align(rows), "", heading, *differing])


def plot(results: Sequence[tuple[str, RunResult]], path: Path) -> None:
    """Draws the ratio of each score to that of the first run, with its interval.

    Raises:
        UsageError: No run is comparable with the first, the plotting libraries are missing, or the file's
            ending is not an image format.
    """
    (first_name, first), *others = results
    others = [(name, second) for name, second in others if not obstacles(first, second)]
    if not others:
        raise UsageError(f"--plot: expected a run that is comparable with {first_name}, got none")

    def fill(axes: Any) -> None:
        for name, second in others:
            scores = ratios(first, second)
            below = [ratio.value - (ratio.low or ratio.value) for ratio in scores]
            above = [(ratio.high or ratio.value) - ratio.value for ratio in scores]
            labels, values = [ratio.name for ratio in scores], [ratio.value for ratio in scores]
            axes.errorbar(labels, values, yerr=(below, above), fmt="o", capsize=6, label=name)
        axes.axhline(1.0, color="grey", linestyle="--")
        axes.set_ylabel(f"Ratio to {first_name}")
        axes.margins(x=0.5)
        axes.legend(fontsize="x-small")

    draw_figure(path, lambda figure: fill(figure.subplots()))


def _interval(first: Sequence[float], second: Sequence[float]) -> tuple[float | None, float | None]:
    """Returns the ends of the interval of the ratio of two series; None where one has a single value."""
    if min(len(first), len(second)) < 2:
        return None, None
    logarithms = [[math.log(value) for value in series] for series in (second, first)]

    # Series that do not scatter have no test statistic, and their ratio no uncertainty.
    if all(len(set(series)) == 1 for series in logarithms):
        exact = math.exp(logarithms[0][0] - logarithms[1][0])
        return exact, exact

    from scipy import stats

    test = stats.ttest_ind(*logarithms, equal_var=False)
    interval = test.confidence_interval(CONFIDENCE)
    return math.exp(interval.low), math.exp(interval.high)


def _computed(*results: RunResult) -> list[dict[str, Any]]:
    """Returns what decides the amount of work of each run, without what the machines chose for themselves."""
    chosen = {key for result in results for key in result.config.get("resolved", ())}
    left_out = NOT_COMPUTED | _NO_SETTINGS | chosen
    return [
        {
            "workload": result.workload,
            "version": result.provenance.get("benchmark", {}).get("version"),
            "data": result.data_sha256[:12],
            **{key: value for key, value in result.config.items() if key not in left_out},
        }
        for result in results
    ]


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the keys with more than one value, with their values, a line each."""
    lines = []
    for key in dict.fromkeys(key for run in settings for key in run):
        values = [str(run.get(key)) for run in settings]
        if len(set(values)) > 1:
            lines.append(f"{key}: {', '.join(values)}")
    return lines


def _heading(results: Sequence[tuple[str, RunResult]]) -> str:
    """Returns a line for each run: what it is, where it ran, and whether the machine was quiet."""
    lines = []
    for name, result in results:
        verdict = verdict_line(result.verdict) or "no verdict"
        preset = result.config.get("preset")
        lines.append(f"{name}: {result.workload}, preset {preset}, {machine(result.provenance)}; {verdict}")
    return "\n".join(lines)


def _rows(scores: Sequence[Ratio]) -> list[tuple[str, ...]]:
    """Returns the rows of a table of ratios."""
    rows: list[tuple[str, ...]] = [
        ("score", "first", "second", "", "ratio", f"{CONFIDENCE:.0%} interval", "")
    ]
    for ratio in scores:
        known = ratio.low is not None and ratio.high is not None
        interval = f"{ratio.low:.3f} to {ratio.high:.3f}" if known else "-"
        medians = (number(ratio.first), number(ratio.second), ratio.unit)
        rows.append((ratio.name, *medians, f"{ratio.value:.3f}", interval, ratio.word))
    return rows


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
    figures.update(result.quality)
    figures.update({f"{name} memory [GiB]": size / _GIB for name, size in result.peak_memory_bytes.items()})
    return figures


def _with_ratio(value: float | None, first: float | None) -> str:
    if value is None or not first:
        return number(value)
    return f"{number(value)} ({value / first:.3f})"
