"""The same run again and again, each time in a fresh process, and what its scores come to."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.comparison import CONFIDENCE
from benchmarks.errors import UsageError
from benchmarks.launchers.sweep import PlannedRun, folder_name, run_series
from benchmarks.output import RunOptions, output_folder
from benchmarks.report import align, machine, number
from benchmarks.resolution import Resolved
from benchmarks.result import RunResult, read_result
from benchmarks.scores import account
from benchmarks.side_by_side import differing
from benchmarks.streams import say

# The modified z-score of Iglewicz and Hoaglin, "How to detect and handle outliers" (1993), and their bound.
_Z_OF_DEVIATION, _OUTLIER_Z = 0.6745, 3.5
_ENOUGH_FOR_OUTLIERS = 4


def run_repeats(resolved: Resolved, count: int, options: RunOptions, rank_options: Sequence[str] = ()) -> int:
    """Runs a configuration several times, and prints median, spread and interval of its scores.

    Repeats that an earlier call of the same command has finished are kept, unless ``options.force`` is given.

    Args:
        resolved: The configuration.
        count: Number of runs, in the folders ``repeat-1``, ``repeat-2``, ...
        options: Where the folders go, and what is printed.
        rank_options: Options of a run that say how many ranks it has, such as ``--ranks=2``.

    Returns:
        Exit code: 0, 1 if a run failed, 128 plus its number after a signal.

    Raises:
        UsageError: A folder cannot be used, or holds a run with another configuration.
    """
    names = [f"repeat={index}" for index in range(1, count + 1)]
    with output_folder(replace(options, force=True), resolved) as folder:
        finished = {} if options.force else dict(_finished_runs(names, folder, resolved))
        if finished and not options.quiet:
            say(f"finished earlier: {', '.join(finished)}", err=True)
        missing = {name: PlannedRun(resolved, tuple(rank_options)) for name in names if name not in finished}

        def describe(results: Mapping[str, RunResult]) -> str:
            every = {**finished, **results}
            return spread_of_repeats({name: every[name] for name in names if name in every})

        # What did not finish is replaced.
        code, _ = run_series(missing, folder, replace(options, force=True), describe)
    return code


def _finished_runs(names: Sequence[str], parent: Path, resolved: Resolved) -> Iterator[tuple[str, RunResult]]:
    """Yields the runs that have ended well, with their names.

    Raises:
        UsageError: A folder holds something else than a run of this configuration.
    """
    for name in names:
        file = parent / folder_name(name) / "result.json"
        if not file.exists():
            continue
        try:
            result = read_result(file)
        except (OSError, ValueError) as error:
            raise UsageError(f"{error}; choose another --output or give --force to replace it") from None
        if difference := _difference(result, resolved):
            raise UsageError(
                f"{file}: expected a run of the same configuration, got {difference}; "
                "choose another --output or give --force to replace it"
            )
        if result.status == "ok":
            yield name, result


def _difference(result: RunResult, resolved: Resolved) -> str:
    """Returns in words what an earlier run has that this one has not, or an empty string."""
    planned = resolved.to_dict()
    for key in ("workload", "preset"):
        if result.config.get(key) != planned[key]:
            return f"{key} {result.config.get(key)}"

    # Values that a preset leaves open are filled in by the run, so only those that were asked for tell.
    for key in dict.fromkeys([*resolved.changed, *result.config.get("changed", ())]):
        if result.config.get(key) != planned.get(key):
            return f"{key} {result.config.get(key)}"
    return ""


def spread_of_repeats(results: Mapping[str, RunResult]) -> str:
    """Returns a table of the scores over the repeats that ended well, and a line for each outlier.

    Args:
        results: Runs of one configuration, by their names.
    """
    finished = {name: account(result).scores for name, result in results.items() if result.status == "ok"}
    if len(finished) < 2:
        return ""

    # A folder that several machines see may hold the repeats of several machines.
    if lines := differing([_origin(result) for result in results.values() if result.status == "ok"]):
        heading = "the repeats have no common figures, because they differ:"
        return "\n".join([heading, *(f"  {line}" for line in lines)])
    rows: list[tuple[str, ...]] = [
        ("score", "repeats", "median", "", "spread", f"{CONFIDENCE:.0%} interval of the mean")
    ]
    outlier_lines = []
    for score, first in next(iter(finished.values())).items():
        medians = {name: scores[score].spread.median for name, scores in finished.items()}
        values = list(medians.values())
        middle = statistics.median(values)
        low, high = _interval(values)
        rows.append(
            (
                score,
                str(len(values)),
                number(middle),
                first.unit,
                f"{100 * (max(values) - min(values)) / middle:.1f} %",
                f"{number(low)} to {number(high)}",
            )
        )
        outlier_lines += [
            f"outlier: {score} of {name}, {number(medians[name])}" for name in outliers(medians)
        ]
    return "\n".join([*align(rows), *outlier_lines])


def _origin(result: RunResult) -> dict[str, str]:
    """Returns what all repeats have to have in common beside their configuration."""
    version = result.provenance.get("benchmark", {}).get("version", "")
    return {"machine": machine(result.provenance), "version": version, "data": result.data_sha256[:12]}


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns Student's interval of the mean."""
    from scipy import stats

    mean, error = statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5
    if not error:
        return mean, mean
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, loc=mean, scale=error)
    return float(low), float(high)


def outliers(values: Mapping[str, float]) -> list[str]:
    """Returns the names of the values that lie far from the median, measured by the median deviation.

    Fewer than four values have none.
    """
    if len(values) < _ENOUGH_FOR_OUTLIERS:
        return []
    middle = statistics.median(values.values())
    deviation = statistics.median(abs(value - middle) for value in values.values())
    return [
        name
        for name, value in values.items()
        if _Z_OF_DEVIATION * abs(value - middle) > _OUTLIER_Z * deviation
    ]
