"""How the events of a step are shared out, and with which weights; ranks are threads here."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.ranks.place import Place
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.training.sharding import training_batches
from benchmarks.workload import Batch, Purpose
from tests.line import LineConfig
from tests.line.workload import LineEvents


class Threads(World):
    """One of several ranks that are threads of this process."""

    def __init__(
        self, rank: int, size: int, meeting: threading.Barrier, board: dict[int, np.ndarray]
    ) -> None:
        super().__init__(Place(rank, size))
        self._meeting, self._board = meeting, board

    def sum_on_host(self, numbers: np.ndarray) -> np.ndarray:
        self._board[self.rank] = numbers
        self._meeting.wait(timeout=10)
        total = np.sum(list(self._board.values()), axis=0)
        self._meeting.wait(timeout=10)
        return total


def epoch(events: int, batch_size: int, ranks: int) -> list[list[Batch]]:
    """The batches of each rank."""
    config = LineConfig(train_events=events)
    meeting, board = threading.Barrier(ranks), dict[int, np.ndarray]()

    def batches(rank: int) -> list[Batch]:
        world = Threads(rank, ranks, meeting, board)
        return list(training_batches(LineEvents(config), events, batch_size, world))

    with ThreadPoolExecutor(ranks) as pool:
        return list(pool.map(batches, range(ranks)))


def test_one_rank_gets_the_batches_as_they_are() -> None:
    batches = list(training_batches(LineEvents(LineConfig(train_events=3)), 3, 2, LONE_WORLD))
    assert [batch.events for batch in batches] == [2, 1]
    assert batches[0].targets.tolist() == [[2], [2]]


@pytest.mark.parametrize(
    ("events", "batch_size", "ranks", "counts"),
    [
        (8, 2, 2, [[2, 2], [2, 2]]),
        (7, 2, 2, [[2, 2], [2, 1]]),  # the last step has two events and one
        (5, 2, 2, [[2, 1], [2, 0]]),  # and here one and none
        (4, 1, 3, [[1, 1], [1, 0], [1, 0]]),
        (3, 1, 3, [[1], [1], [1]]),
    ],
)
def test_every_event_counts_once_and_steps_are_equally_many(
    events: int, batch_size: int, ranks: int, counts: list[list[int]]
) -> None:
    """Event i has i + 1 elements, so that their sum tells which ones were there."""
    shared = epoch(events, batch_size, ranks)
    assert [[batch.events for batch in batches] for batches in shared] == counts
    assert sum(batch.elements for batches in shared for batch in batches) == events * (events + 1) // 2


def test_a_step_takes_the_events_of_one_large_batch_in_order() -> None:
    """Two ranks with two events each: events 0, 1 and 2, 3; then 4, 5 and 6, 7."""
    first, second = epoch(8, 2, 2)
    assert [batch.elements for batch in first] == [1 + 2, 5 + 6]
    assert [batch.elements for batch in second] == [3 + 4, 7 + 8]


def test_shares_are_those_of_the_denominator() -> None:
    """Seven events: four, then two on one rank and one on the other."""
    first, second = epoch(7, 2, 2)
    assert [batch.targets[1].tolist() for batch in first] == [[1 / 2], [2 / 3]]
    assert [batch.targets[1].tolist() for batch in second] == [[1 / 2], [1 / 3]]


def test_a_rank_without_events_repeats_its_batch_for_nothing() -> None:
    _, (full, idle) = epoch(5, 2, 2)
    assert (idle.events, idle.elements, idle.padded_elements) == (0, 0, 0)
    assert idle.inputs is full.inputs
    assert idle.targets[1].tolist() == [0]


def test_each_term_has_shares_of_its_own() -> None:
    """A term that has nothing on any rank has no part."""

    class Terms(LineEvents):
        def batches(self, split: str, batch_size: int, rank: int, ranks: int, *, purpose: Purpose):
            assert purpose == "training"
            for batch in super().batches(split, batch_size, rank, ranks, purpose=purpose):
                yield Batch(**{**vars(batch), "denominators": ((1.0, 0.0, 3.0), (3.0, 0.0, 0.0))[rank]})

    meeting, board = threading.Barrier(2), dict[int, np.ndarray]()

    def shares(rank: int) -> list[float]:
        (batch,) = training_batches(Terms(LineConfig(train_events=4)), 4, 2, Threads(rank, 2, meeting, board))
        return list(batch.targets[1])

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(shares, range(2))) == [[0.25, 0, 1], [0.75, 0, 0]]
