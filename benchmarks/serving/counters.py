"""The server's own counters: how long requests waited and were computed, and how they were joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.serving.connection import Connection, NotOfferedError


@dataclass(frozen=True)
class Counters:
    """What a server has done since it started.

    Attributes:
        requests: Requests that it has answered.
        patches: Patches in them.
        executions: How often the model was called.
        queue_seconds: How long requests have waited for the model, added up.
        compute_seconds: How long the model has worked on requests, added up over requests.
        busy_seconds: How long the model has worked, added up over its calls.
    """

    requests: int
    patches: int
    executions: int
    queue_seconds: float
    compute_seconds: float
    busy_seconds: float

    def __sub__(self, other: Counters) -> Counters:
        return Counters(
            self.requests - other.requests,
            self.patches - other.patches,
            self.executions - other.executions,
            self.queue_seconds - other.queue_seconds,
            self.compute_seconds - other.compute_seconds,
            self.busy_seconds - other.busy_seconds,
        )


def read_counters(connection: Connection, model: str) -> Counters | None:
    """Returns the counters of a model; None where the server has none, which are no part of KServe.

    Raises:
        RunFailedError: The server does not answer.
    """
    try:
        (statistics,) = connection.ask("ModelStatistics", name=model).model_stats
    except NotOfferedError:
        return None
    totals = statistics.inference_stats
    return Counters(
        totals.success.count,
        statistics.inference_count,
        statistics.execution_count,
        totals.queue.ns * 1e-9,
        _compute_seconds(totals),
        sum(_compute_seconds(entry) for entry in statistics.batch_stats),
    )


def _compute_seconds(statistics: Any) -> float:
    """Returns the time with the model, copying its input and output included."""
    parts = (statistics.compute_input, statistics.compute_infer, statistics.compute_output)
    return float(sum(part.ns for part in parts)) * 1e-9
