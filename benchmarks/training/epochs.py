"""One epoch: training on the clock, and validation after it, on all ranks together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.backends import Backend
from benchmarks.config import TrainingConfig
from benchmarks.errors import RunFailedError
from benchmarks.progress import Progress
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.result import EpochRecord
from benchmarks.timing import EpochTimer
from benchmarks.training.feed import Feed
from benchmarks.workload import Batch, Events, Metrics, Tensor, Training


@dataclass(frozen=True)
class Trained:
    """What one pass over the training events took on one rank.

    Attributes:
        seconds: From an idle to a drained device.
        wait_seconds: Of these, without a batch to work on.
        sizes: Events, elements and padded elements of each step.
        losses: Loss of each step, still on the device.
        started_at: When the pass started, in seconds since 1970 (UTC).
    """

    seconds: float
    wait_seconds: float
    sizes: list[tuple[int, int, int]]
    losses: list[Tensor]
    started_at: float


def train_epoch(
    backend: Backend,
    step: Callable[[Tensor, Tensor], Tensor],
    batches: Iterator[Batch],
    progress: Progress,
    world: World = LONE_WORLD,
) -> Trained:
    """Trains on the batches; everything in here is on the clock."""
    losses: list[Tensor] = []
    sizes: list[tuple[int, int, int]] = []
    feed = Feed(batches, backend.put)
    with EpochTimer(backend.drain, world.barrier) as timer, feed:
        for batch, inputs, targets in feed:
            losses.append(step(inputs, targets))
            sizes.append((batch.events, batch.elements, batch.padded_elements))
            progress.step(batch.events * world.size, lambda: float(losses[-1]))
    return Trained(timer.seconds, feed.wait_seconds, sizes, losses, timer.started_at)


def record(index: int, config: TrainingConfig, trained: Trained, world: World, message: float) -> EpochRecord:
    """The record of an epoch, of all ranks together, without its validation.

    Args:
        index: Of the epoch.
        config: Of the run.
        trained: What it took on this rank.
        world: The ranks.
        message: Seconds that the all-reduces of a step take on their own.

    Raises:
        RunFailedError: Events are missing, or there are some too many.
    """
    own = (trained.seconds, trained.wait_seconds, trained.sizes)
    seconds, waits, sizes = zip(*world.gather(own), strict=True)
    slowest = max(seconds)
    # Of each step, the sums over the ranks.
    steps = [tuple(map(sum, zip(*step, strict=True))) for step in zip(*sizes, strict=True)]
    events, elements, padded = (sum(column) for column in zip(*steps, strict=True))
    if events != config.train_events:
        raise RunFailedError(f"expected {config.train_events} events in epoch {index}, got {events}")
    weighted = [step[0] * float(loss) for step, loss in zip(steps, trained.losses, strict=True)]
    return EpochRecord(
        index=index,
        warmup=index < config.warmup_epochs,
        seconds=slowest,
        events=events,
        elements=elements,
        padded_elements=padded,
        steps=len(steps),
        throughput=events / slowest,
        loss=math.fsum(weighted) / events,
        input_wait_fraction=math.fsum(waits) / world.size / slowest,
        communication_seconds=len(steps) * message,
        started_at=trained.started_at,
    )


def first_lost(trained: Trained) -> int:
    """The first step whose loss is not finite."""
    return next(i for i, loss in enumerate(trained.losses) if not math.isfinite(float(loss)))


def validate(
    backend: Backend,
    predict: Callable[[Tensor], Tensor],
    training: Training,
    events: Events,
    metrics: Metrics,
    batch_size: int,
    world: World,
) -> tuple[float, dict[str, float], dict[str, Any]]:
    """A pass over the validation events, a part of them on each rank.

    Each term of the loss is a mean over all of them, however they are divided into batches.

    Returns:
        Seconds of the slowest rank; loss and figures of merit; the breakdown. On rank 0; others have no
        figures.
    """
    terms, denominators = [], []
    with EpochTimer(backend.drain, world.barrier) as timer:
        for batch in events.batches("validation", batch_size, world.rank, world.size):
            inputs = backend.put(batch.inputs)
            predictions = predict(inputs)
            loss = training.loss(predictions, backend.put(batch.targets), inputs)
            terms.append(np.atleast_1d(backend.fetch(loss).astype(np.float64)))
            denominators.append(batch.denominators or (batch.events,))
            metrics.update(backend.fetch(predictions), batch)
    first, *others = world.gather((timer.seconds, terms, denominators, metrics if world.rank else None))
    if world.rank:
        return timer.seconds, {}, {}
    for _, more_terms, more_denominators, more in others:
        terms += more_terms
        denominators += more_denominators
        metrics.merge(more)
    quality = {"loss": _whole(terms, denominators), **metrics.result()}
    return max(part[0] for part in (first, *others)), quality, dict(metrics.breakdown())


def _whole(terms: Sequence[np.ndarray], denominators: Sequence[Sequence[float]]) -> float:
    """A loss over several batches, from its terms in each and what they were divided by there."""
    loss = 0.0
    for of_batches, counts in zip(zip(*terms, strict=True), zip(*denominators, strict=True), strict=True):
        if total := math.fsum(counts):
            loss += math.fsum(t * n for t, n in zip(of_batches, counts, strict=True)) / total
    return loss
