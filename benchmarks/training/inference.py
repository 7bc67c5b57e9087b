"""Inference after training: throughput at the run's batch size and at one, latency at one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.backends import Backend
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.result import Spread
from benchmarks.timing import EpochTimer, clock, date
from benchmarks.training.feed import Feed
from benchmarks.workload import Events, Tensor

PASSES = 3
# Events go through one by one in at least PASSES passes, and in more until there are this many latencies
# or, where events take long, this many seconds are over.
SINGLE_EVENTS = 100
SINGLE_SECONDS = 20.0


def measure(
    backend: Backend,
    predict: Callable[[Tensor], Tensor],
    events: Events,
    batch_size: int,
    world: World = LONE_WORLD,
    seconds: float = 0.0,
) -> dict[str, Any]:
    """Times ``predict`` over the validation events, with batches that are already compiled for.

    Of several ranks, each takes all the events, all ranks at once: a pass has done the events of all of
    them when the slowest is through. One event at a time is the first rank's alone, while others wait.

    Args:
        backend: Of the run.
        predict: The compiled prediction step.
        events: Of the run.
        batch_size: Of the throughput.
        world: The ranks.
        seconds: Passes are repeated until they have taken this long, and there are at least ``PASSES``.

    Returns:
        ``batch``: batch_size, events_per_pass, pass_seconds, started_at and ended_at (seconds since 1970,
        UTC), events_per_second over the passes, and input_wait_fraction of their time;
        ``single``: batch_size and events_per_second at a batch of one,
        latency_seconds (count, p50, p95, p99) from host array to predictions on the host, and
        latencies, all of them in seconds.
    """
    if world.size > 1:  # another rank may have compiled for the last, smaller batch
        _pass(backend, predict, events, batch_size, world)
    passes: list[tuple[int, float, float]] = []
    started_at = date()
    # Every rank has the same figures, and so all of them stop after the same pass.
    while len(passes) < PASSES or sum(taken for _, taken, _ in passes) < seconds:
        passes.append(_pass(backend, predict, events, batch_size, world))
    ended_at = date()
    single = _single(backend, predict, events) if world.rank == 0 else {}
    world.barrier()
    count, durations, waits = passes[0][0], [each[1] for each in passes], [each[2] for each in passes]
    rates = [count / duration for duration in durations]
    return {
        "batch": {
            "batch_size": batch_size,
            "events_per_pass": count,
            "pass_seconds": durations,
            "started_at": started_at,
            "ended_at": ended_at,
            "events_per_second": dataclasses.asdict(Spread.of(rates)),
            "input_wait_fraction": sum(waits) / sum(durations),
        },
        "single": single,
    }


def _pass(
    backend: Backend, predict: Callable[[Tensor], Tensor], events: Events, batch_size: int, world: World
) -> tuple[int, float, float]:
    """Returns the events of a pass, the seconds of the slowest rank, and the mean wait for input."""
    count = 0
    feed = Feed(events.batches("validation", batch_size, purpose="inference"), backend.put)
    with EpochTimer(backend.drain, world.barrier) as timer, feed:
        for batch, inputs, _targets in feed:
            predict(inputs)
            count += batch.events
    durations, waits = zip(*world.gather((timer.seconds, feed.wait_seconds)), strict=True)
    return world.size * count, max(durations), sum(waits) / world.size


def _single(backend: Backend, predict: Callable[[Tensor], Tensor], events: Events) -> dict[str, Any]:
    batches = itertools.islice(events.batches("validation", 1, purpose="inference"), SINGLE_EVENTS)
    inputs = [batch.inputs for batch in batches]
    for arrays in inputs:
        predict(backend.put(arrays))  # compiles for every shape there is
    latencies: list[float] = []
    rates: list[float] = []
    enough = clock() + SINGLE_SECONDS
    while len(rates) < PASSES or (len(latencies) < SINGLE_EVENTS and clock() < enough):
        with EpochTimer(backend.drain) as timer:
            for arrays in inputs:
                start = clock()
                backend.fetch(predict(backend.put(arrays)))
                latencies.append(clock() - start)
        rates.append(len(inputs) / timer.seconds)
    p50, p95, p99 = (float(value) for value in np.percentile(latencies, (50, 95, 99)))
    return {
        "batch_size": 1,
        "events_per_second": dataclasses.asdict(Spread.of(rates)),
        "latency_seconds": {"count": len(latencies), "p50": p50, "p95": p95, "p99": p99},
        "latencies": latencies,
    }
