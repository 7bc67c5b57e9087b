"""Local inference: patches per second and latencies of calls, without a server between."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.backends import Backend
from benchmarks.config import ServingConfig
from benchmarks.ranks.meeting import Meeting
from benchmarks.timing import EpochTimer, clock

MAX_CALLS = 1_000_000  # in a repetition, however short a call is

Answer = Callable[[np.ndarray], list[np.ndarray]]


def answer_function(backend: Backend, predict: Callable[[Any], Any], outputs: Mapping[str, int]) -> Answer:
    """Returns a function from preprocessed patches to the outputs of a model, all of them on the host.

    Args:
        backend: Of the run.
        predict: The compiled prediction step.
        outputs: Numbers of each output for a patch. A model with one output returns no list of them.
    """

    def answer(patches: np.ndarray) -> list[np.ndarray]:
        predictions = predict(backend.put(patches))
        tensors = predictions if len(outputs) > 1 else [predictions]
        return [backend.fetch(tensor) for tensor in tensors]

    return answer


def measure_row(
    answer: Answer,
    patches: np.ndarray,
    batch_size: int,
    config: ServingConfig,
    drain: Callable[[], None],
    meeting: Meeting,
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Calls a model with one batch after another, from arrays on the host to answers on the host.

    Args:
        answer: See ``answer_function``.
        patches: All preprocessed patches of an event, of which whole batches are taken.
        batch_size: Patches of a call.
        config: Of the run.
        drain: Returns when the device has nothing under way.
        meeting: Where the copies of the run meet.

    Returns:
        JSON values: ``batch_size``, ``compile_seconds``, ``calls`` of a repetition, ``started_at`` and
        ``seconds`` of each repetition, and ``latency_seconds`` of the calls. Beside them the outputs for the
        first batch.
    """
    batches = len(patches) // batch_size

    def call(number: int) -> list[np.ndarray]:
        first = number % batches * batch_size
        return answer(patches[first : first + batch_size])

    # The first call compiles, and the second says how many of them a repetition takes.
    with EpochTimer(drain) as first:
        answers = call(0)
    with EpochTimer(drain) as second:
        call(1)
    calls = max(1, min(MAX_CALLS, math.ceil(config.repetition_seconds / second.seconds)))

    latencies: list[float] = []
    started_at, seconds = [], []
    for _ in range(config.repetitions):
        meeting.meet()
        with EpochTimer(drain) as timer:
            for number in range(calls):
                start = clock()
                call(number)
                latencies.append(clock() - start)
        started_at.append(timer.started_at)
        seconds.append(timer.seconds)
        meeting.keep_busy(lambda: call(0))
    return {
        "batch_size": batch_size,
        "compile_seconds": max(0.0, first.seconds - second.seconds),
        "calls": calls,
        "started_at": started_at,
        "seconds": seconds,
        "latency_seconds": _percentiles(latencies),
    }, answers


def largest_difference(answers: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Returns the largest difference between the outputs for a batch and those of the first patches.

    Args:
        answers: Each output for some patches, (patches, numbers).
        expected: Each output for these patches and maybe more.
    """
    differences = [
        np.abs(ours - theirs[: len(ours)]).max() for ours, theirs in zip(answers, expected, strict=True)
    ]
    return float(max(differences))


def _percentiles(latencies: Sequence[float]) -> dict[str, float]:
    """Returns the number of latencies, some percentiles of them and the largest one, in seconds."""
    p50, p95, p99 = (float(value) for value in np.percentile(latencies, (50, 95, 99)))
    return {"count": len(latencies), "p50": p50, "p95": p95, "p99": p99, "max": max(latencies)}
