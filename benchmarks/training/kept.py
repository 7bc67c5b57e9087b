"""Prepared batches that stay in memory after the first pass over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.workload import Batch, Events, Purpose

SHARE_OF_FREE_MEMORY = 10  # kept batches take at most one part in so many


class KeptEvents:
    """The events of a run, whose batches for training and inference are prepared once, if they fit.

    Passes over the same events are the same batches in the same order, so a fast device need not wait until
    they are prepared again. Batches for validation, which is not timed, are not kept.

    Args:
        events: The events of the run.
        room: Bytes that kept batches may take.
    """

    def __init__(self, events: Events, room: int) -> None:
        self._events, self._room = events, room
        self._batches_of_pass: dict[tuple[Any, ...], list[Batch]] = {}

    @property
    def sha256(self) -> str:
        """Returns the hash of the data set's manifest."""
        return self._events.sha256

    def description(self) -> Mapping[str, Any]:
        """Describes where the events come from, as JSON values."""
        return self._events.description()

    def batches(
        self,
        split: str,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        *,
        purpose: Purpose = "validation",
    ) -> Iterator[Batch]:
        """Yields the batches of a split, as ``Events.batches`` says, which nobody may change."""
        key = (split, batch_size, rank, ranks, purpose)
        if key in self._batches_of_pass:
            yield from self._batches_of_pass[key]
            return

        # Only a whole pass within the room is kept, because a part of it would save little.
        batches, size = list[Batch](), 0
        for batch in self._events.batches(split, batch_size, rank, ranks, purpose=purpose):
            yield batch
            size += batch_bytes(batch)
            if size <= self._room and purpose != "validation":
                batches.append(batch)
            else:
                batches.clear()
        if batches:
            self._room -= size
            self._batches_of_pass[key] = batches


def batch_bytes(batch: Batch) -> int:
    """Returns the memory of a batch's inputs and targets, in bytes."""
    return _bytes(batch.inputs) + _bytes(batch.targets)


def _bytes(arrays: Any) -> int:
    if isinstance(arrays, np.ndarray):
        return int(arrays.nbytes)
    if isinstance(arrays, Mapping):
        arrays = arrays.values()
    return 0 if arrays is None else sum(map(_bytes, arrays))
