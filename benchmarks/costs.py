"""What a million events cost on a machine, at a price that the reader knows."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.errors import UsageError
from benchmarks.report import align, number
from benchmarks.result import RunResult
from benchmarks.scores import account

_MILLION = 1e6


def cost_table(results: Sequence[tuple[str, RunResult]], price: float) -> str:
    """Returns the cost of a million events by each score of each run, as a table.

    Args:
        results: Runs with the names to show them under.
        price: Of an hour of everything that a run used, in any currency.

    Raises:
        UsageError: There is no run.
    """
    if not results:
        raise UsageError("--price: expected a result.json, got none")
    rows: list[tuple[str, ...]] = [("run", "score", "per million events")]
    for name, result in results:
        rows += [(name, score, number(cost)) for score, cost in costs(result, price).items()]
    return "\n".join([f"cost at {price:g} an hour, of whatever the price is for:", *align(rows)])


def costs(result: RunResult, price: float) -> dict[str, float]:
    """Returns the cost of a million events by each score, in the currency of the price.

    Args:
        result: A run; one without scores has no costs.
        price: Of an hour.
    """
    report = account(result)
    # A score counts events in a second, or ensembles of events in an hour.
    hourly = {
        name: score.spread.median * (3600 if score.unit == "events/s" else report.events)
        for name, score in report.scores.items()
    }
    return {name: _MILLION * price / events for name, events in hourly.items()}
