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
from benchmarks.timing import EpochTimer, clock
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
) -> dict[str, Any]:
    """Times ``predict`` over the validation events, with batches that are already compiled for.

    Of several ranks, each takes all the events, all ranks at once: a pass has done the events of all of
    them when the slowest is through. One event at a time is the first rank's alone, while others wait.

    Returns:
        ``batch``: batch_size and events_per_second over the passes; ``single``: the same at a batch
        of one, and latency_seconds (count, p50, p95, p99) from host array to predictions on the host.
    """
    rates = []
    for _ in range(PASSES + (world.size > 1)):  # another rank may have compiled for the last, smaller batch
        done = 0
        feed = Feed(events.batches("validation", batch_size), backend.put)
        with EpochTimer(backend.drain, world.barrier) as timer, feed:
            for batch, inputs, _targets in feed:
                predict(inputs)
                done += batch.events
        rates.append(world.size * done / max(world.gather(timer.seconds)))
    single = _single(backend, predict, events) if world.rank == 0 else {}
    world.barrier()
    return {
        "batch": {
            "batch_size": batch_size,
            "events_per_second": dataclasses.asdict(Spread.of(rates[-PASSES:])),
        },
        "single": single,
    }


def _single(backend: Backend, predict: Callable[[Tensor], Tensor], events: Events) -> dict[str, Any]:
    inputs = [b.inputs for b in itertools.islice(events.batches("validation", 1), SINGLE_EVENTS)]
    for arrays in inputs:
        predict(backend.put(arrays))  # compiles for every shape there is
    latencies: list[float] = []
    rates: list[float] = []
    enough = clock() + SINGLE_SECONDS
    while len(rates) < PASSES or (len(latencies) < SINGLE_EVENTS and clock() < enough):
        with EpochTimer(backend.drain) as timer:
            for arrays in inputs:
                start = clock()
                np.asarray(predict(backend.put(arrays)))
                latencies.append(clock() - start)
        rates.append(len(inputs) / timer.seconds)
    p50, p95, p99 = (float(value) for value in np.percentile(latencies, (50, 95, 99)))
    return {
        "batch_size": 1,
        "events_per_second": dataclasses.asdict(Spread.of(rates)),
        "latency_seconds": {"count": len(latencies), "p50": p50, "p95": p95, "p99": p99},
    }
