"""Batches that are prepared once, as far as the memory goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.training.kept import KeptEvents, batch_bytes
from benchmarks.workload import Batch, Purpose

BYTES = 2 * 8 + 8  # inputs and targets of a batch


class CountingEvents:
    """Three batches, and how often each was prepared."""

    sha256 = "ab"

    def __init__(self) -> None:
        self.prepared: list[tuple[str, Purpose, int]] = []

    def description(self) -> Mapping[str, Any]:
        return {"generator": "by hand"}

    def batches(
        self, split: str, batch_size: int, rank: int = 0, ranks: int = 1, *, purpose: Purpose = "validation"
    ) -> Iterator[Batch]:
        assert (batch_size, ranks) == (1, 1 + rank)
        for number in range(3):
            self.prepared.append((split, purpose, number))
            yield Batch({"a": np.full(2, number)}, np.full(1, -number), 1, 1, 1)


def numbers(events: KeptEvents, *where: Any, purpose: Purpose = "training") -> list[int]:
    return [batch.inputs["a"][0] for batch in events.batches(*where, purpose=purpose)]


def test_a_second_pass_has_the_same_batches_and_prepares_none() -> None:
    events = CountingEvents()
    kept = KeptEvents(events, room=3 * BYTES)
    first, again = (list(kept.batches("train", 1, purpose="training")) for _ in range(2))
    assert [a is b for a, b in zip(first, again, strict=True)] == [True] * 3
    assert events.prepared == [("train", "training", number) for number in range(3)]
    assert (kept.sha256, kept.description()) == ("ab", {"generator": "by hand"})


def test_what_does_not_fit_is_prepared_again_and_all_of_it_comes() -> None:
    events = CountingEvents()
    kept = KeptEvents(events, room=3 * BYTES - 1)
    assert [numbers(kept, "train", 1) for _ in range(2)] == [[0, 1, 2]] * 2
    assert len(events.prepared) == 6


def test_the_room_is_shared_by_the_passes() -> None:
    events = CountingEvents()
    kept = KeptEvents(events, room=5 * BYTES)
    for _ in range(2):
        numbers(kept, "train", 1)
        numbers(kept, "validation", 1, purpose="inference")
    assert [purpose for _, purpose, _ in events.prepared] == ["training"] * 3 + ["inference"] * 6


def test_a_pass_that_somebody_ends_is_not_kept() -> None:
    kept = KeptEvents(CountingEvents(), room=100 * BYTES)
    next(kept.batches("train", 1, purpose="training"))
    assert numbers(kept, "train", 1) == [0, 1, 2]


def test_batches_for_validation_are_not_kept_and_ranks_have_their_own() -> None:
    events = CountingEvents()
    kept = KeptEvents(events, room=100 * BYTES)
    for _ in range(2):
        numbers(kept, "validation", 1, purpose="validation")
        numbers(kept, "train", 1, 1, 2)
        numbers(kept, "train", 1, 0, 1)
    assert [purpose for _, purpose, _ in events.prepared].count("validation") == 6
    assert [purpose for _, purpose, _ in events.prepared].count("training") == 6


def test_the_size_of_a_batch_is_that_of_its_arrays() -> None:
    arrays = {"a": np.zeros(3, np.float32), "b": [np.zeros(2, np.float64)]}
    assert batch_bytes(Batch(arrays, None, 1, 1, 1)) == 12 + 16
    assert batch_bytes(Batch(np.zeros(1), (np.zeros(1), np.zeros(2)), 1, 1, 1)) == 8 + 24
