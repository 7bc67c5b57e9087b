"""Figures of an epoch on several ranks, by hand; the other ranks' parts are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.errors import RunFailedError
from benchmarks.ranks.place import Place
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.training.communication import check_gpus
from benchmarks.training.epochs import Trained, record, validate
from benchmarks.workload import Batch, Training
from tests.line import LineConfig, backend
from tests.line.workload import Accuracy


class WithAnother(World):
    """Rank 0 of two; what rank 1 hands in is known beforehand."""

    def __init__(self, other: Any) -> None:
        super().__init__(Place(0, 2))
        self._other = other

    def gather(self, value: Any) -> list[Any]:
        return [value, self._other]


def test_an_epoch_lasts_as_long_as_its_slowest_rank_and_counts_all_events() -> None:
    """Rank 0: 2 s, half a second without input; rank 1: 4 s, all of them; losses 3 and 1."""
    mine = Trained(2.0, 0.5, [(2, 20, 40), (2, 30, 40)], [3.0, 1.0], 1e9)
    world = WithAnother((4.0, 4.0, [(2, 5, 40), (0, 0, 0)]))
    epoch = record(1, LineConfig(train_events=6), mine, world, message=0.25)
    assert (epoch.seconds, epoch.events, epoch.throughput) == (4.0, 6, 1.5)
    assert (epoch.elements, epoch.padded_elements, epoch.steps) == (55, 120, 2)
    assert epoch.loss == (4 * 3 + 2 * 1) / 6
    assert epoch.input_wait_fraction == (0.5 + 4.0) / 2 / 4.0
    assert epoch.communication_seconds == 0.5


def test_events_that_are_missing_are_no_epoch() -> None:
    mine = Trained(1.0, 0.0, [(2, 2, 2)], [1.0], 1e9)
    with pytest.raises(RunFailedError, match=r"^expected 5 events in epoch 1, got 4$"):
        record(1, LineConfig(train_events=5), mine, WithAnother((1.0, 0.0, [(2, 2, 2)])), message=0.0)


class Given:
    """Validation batches with the denominators of two terms, as rank 0 has them."""

    def __init__(self, *denominators: tuple[float, float]) -> None:
        self._denominators = denominators

    def batches(self, *_: Any):
        for each in self._denominators:
            yield Batch(np.ones((1, 1)), np.ones((1, 1)), 1, 1, 1, denominators=each)


def validated(events: Given, world: World) -> tuple[float, dict[str, float], dict[str, Any]]:
    """Each batch has the terms 1 and 10."""
    training = Training(None, lambda *_: np.array([1.0, 10.0]), None)
    return validate(backend, lambda inputs: inputs, training, events, Accuracy(), 1, world)


def test_each_term_of_the_validation_loss_is_a_mean_over_all_batches() -> None:
    """Two batches here, one on rank 1 with the terms 5 and 20; it took 9 s."""
    others = Accuracy()
    others.met = [False, False]
    world = WithAnother((9.0, [np.array([5.0, 20.0])], [(2.0, 0.0)], others))
    seconds, quality, breakdown = validated(Given((1.0, 3.0), (1.0, 0.0)), world)
    assert seconds == 9.0
    assert quality == {"loss": (1 * 1 + 1 * 1 + 2 * 5) / 4 + 10.0, "accuracy": 0.5}
    assert breakdown == {"events": 4}


def test_a_term_without_anything_to_count_has_no_part() -> None:
    _, quality, _ = validated(Given((1.0, 0.0)), LONE_WORLD)
    assert quality["loss"] == 1.0


def test_ranks_do_not_share_a_gpu() -> None:
    check_gpus([[], []])
    check_gpus([["GPU-a"], ["GPU-b"]])
    check_gpus([[None], [None]])  # a driver that does not say
    with pytest.raises(RunFailedError) as caught:
        check_gpus([["GPU-a"], ["GPU-a"]])
    assert str(caught.value) == "expected a GPU for each of 2 ranks, got 1; lower --ranks"
