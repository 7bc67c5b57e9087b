"""The training batches of one rank, weighted so that all ranks together take the step that one rank would."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from benchmarks.ranks.world import World
from benchmarks.workload import Batch, Events


def training_batches(events: Events, count: int, batch_size: int, world: World) -> Iterator[Batch]:
    """The batches of an epoch, as many on every rank; may be read in a thread.

    Step k of N ranks takes the events of step k of one rank with N times the batch size, rank r the
    r-th part. In a world of several ranks, the targets of a batch become pairs (targets, shares). A share is
    what this rank has of a denominator of the loss (``Batch.denominators``), over what all ranks have: terms
    weighted with their shares and summed over the ranks are the terms of the whole step. A rank that has no
    events left in the last step repeats its batch with shares of 0, and it counts for nothing.

    Args:
        events: The events of the run.
        count: Training events.
        batch_size: Events per step of each rank.
        world: The ranks.
    """
    own = events.batches("train", batch_size, world.rank, world.size, purpose="training")
    if world.size == 1:
        yield from own
        return
    last = None
    for _ in range(-(-count // (batch_size * world.size))):
        batch = next(own, None)
        if batch is None:
            assert last is not None  # a whole step has no more events than there are
            batch = dataclasses.replace(last, events=0, elements=0, padded_elements=0, denominators=())
            held = np.zeros(len(last.denominators) or 1)
        else:
            last = batch
            held = np.array(batch.denominators or (batch.events,), np.float64)
        whole = world.sum_on_host(held)
        shares = np.divide(held, whole, out=np.zeros_like(held), where=whole > 0)
        yield dataclasses.replace(batch, targets=(batch.targets, shares))
