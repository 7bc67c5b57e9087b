"""Whether one run is faster than another, with the uncertainty that their repetitions leave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.report import align, draw_figure, machine, number, verdict_line
from benchmarks.result import RunResult
from benchmarks.side_by_side import Side, differing, side_by_side

CONFIDENCE = 0.95
# Keys of a configuration that decide how a run is done and judged, and not what is computed in it.
NOT_COMPUTED = {
    *("seed", "threads", "data", "check_memory", "require_quiet", "max_foreign_cores"),
    *("max_stolen_fraction", "max_spread", "max_input_wait", "quiet_epoch_seconds"),
}
_NO_SETTINGS = {"workload", "kind", "changed", "resolved"}


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


def obstacles(first: Side, second: Side) -> list[str]:
    """Returns why two sides cannot be compared, a line for each reason.

    All runs need scores, and have to have computed the same.
    """
    reasons = [
        f"{side.name} has no score: {run.status}"
        for side in (first, second)
        for run in side.runs
        if run.status != "ok"
    ]
    return [*reasons, *differing(_computed(*first.runs, *second.runs))]


def ratios(first: Side, second: Side) -> list[Ratio]:
    """Returns the ratio of each score that both sides have, of the second over the first.

    The interval is Welch's for the difference of the mean logarithms, with a confidence of 95 %. Of single
    runs it covers what their repetitions show. What differs from process to process, such as the placement
    of memory, only repeats show.
    """
    scores = first.scores(), second.scores()
    return [
        Ratio(name, unit, median, scores[1][name][0], *_interval(first.values(name), second.values(name)))
        for name, (median, unit) in scores[0].items()
        if name in scores[1]
    ]


def failures(sides: Sequence[Side], bound: float) -> list[str]:
    """Returns what fails a comparison with the first side, a line each.

    Args:
        sides: What is compared, the one that is compared with first.
        bound: Ratio that no score may be below by more than noise.
    """
    first, *others = sides
    lines = []
    for second in others:
        if reasons := obstacles(first, second):
            reason = "; ".join(reasons)
            lines.append(f"{second.name} is not comparable with {first.name}, because {reason}")
            continue
        for ratio in ratios(first, second):
            if ratio.is_below(bound):
                medians = f"{number(ratio.second)} {ratio.unit} for {number(ratio.first)}"
                share = f"{ratio.value:.3f} of {first.name}'s ({medians})"
                lines.append(f"{second.name}: {ratio.name} is {share}, below {bound:g}")
    return lines


def comparison(sides: Sequence[Side]) -> str:
    """Returns the judgement of each side against the first, and after it their figures side by side."""
    first, *others = sides
    parts = [_heading(sides)]
    for second in others:
        if reasons := obstacles(first, second):
            heading = f"{second.name} is not comparable with {first.name}, because"
            parts.append("\n".join([heading, *(f"  {line}" for line in reasons)]))
        else:
            rows = _rows(ratios(first, second))
            parts.append("\n".join([f"{second.name} over {first.name}:", *align(rows)]))
    return "\n\n".join([*parts, side_by_side(sides)])


def plot(sides: Sequence[Side], path: Path) -> None:
    """Draws the ratio of each score to that of the first side, with its interval.

    Raises:
        UsageError: No side is comparable with the first, the plotting libraries are missing, or the file's
            ending is not an image format.
    """
    first = sides[0]
    others = [second for second in sides[1:] if not obstacles(first, second)]
    if not others:
        raise UsageError(f"--plot: expected a run that is comparable with {first.name}, got none")

    def fill(axes: Any) -> None:
        for second in others:
            scores = ratios(first, second)
            below = [ratio.value - (ratio.low or ratio.value) for ratio in scores]
            above = [(ratio.high or ratio.value) - ratio.value for ratio in scores]
            labels, values = [ratio.name for ratio in scores], [ratio.value for ratio in scores]
            axes.errorbar(labels, values, yerr=(below, above), fmt="o", capsize=6, label=second.name)
        axes.axhline(1.0, color="grey", linestyle="--")
        axes.set_ylabel(f"Ratio to {first.name}")
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
    """Returns what decides the amount of work of each run.

    What every run left to its machine is no part of it. Where one run asks for a value, it is.
    """
    chosen = set.intersection(*(set(result.config.get("resolved", ())) for result in results))
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


def _heading(sides: Sequence[Side]) -> str:
    """Returns a line for each run: what it is, where it ran, and whether the machine was quiet."""
    lines = []
    for side in sides:
        for index, run in enumerate(side.runs, start=1):
            name = side.name if len(side.runs) == 1 else f"{side.name} ({index} of {len(side.runs)})"
            verdict = verdict_line(run.verdict) or "no verdict"
            preset = run.config.get("preset")
            lines.append(f"{name}: {run.workload}, preset {preset}, {machine(run.provenance)}; {verdict}")
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
