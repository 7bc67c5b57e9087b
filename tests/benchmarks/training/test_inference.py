from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pytest

from benchmarks.ranks.place import Place
from benchmarks.ranks.world import World
from benchmarks.training import inference
from benchmarks.training.inference import PASSES, SINGLE_EVENTS, measure
from benchmarks.workload import Batch, Purpose
from tests.line import LineConfig, backend
from tests.line.workload import LineEvents

T = TypeVar("T")


class Predict:
    """Counts its calls by the shape that came; compiles at the first of each, as frameworks do."""

    def __init__(self, compile_seconds: float = 0.0, event_seconds: float = 0.0) -> None:
        self.calls: dict[tuple[int, ...], int] = {}
        self.compile_seconds, self.event_seconds = compile_seconds, event_seconds

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        if inputs.shape not in self.calls:
            time.sleep(self.compile_seconds)
        self.calls[inputs.shape] = self.calls.get(inputs.shape, 0) + 1
        time.sleep(self.event_seconds * len(inputs))
        return inputs


def events(count: int) -> LineEvents:
    return LineEvents(LineConfig(validation_events=count))


def test_every_event_goes_through_in_each_pass() -> None:
    """Five events in batches of two, two and one, then one by one until there are 100 latencies."""
    predict = Predict()
    figures = measure(backend, predict, events(5), batch_size=2)
    singles = (1 + 20) * 5  # a first pass to compile for whatever shapes there are
    assert predict.calls == {(2, 1): PASSES * 2, (1, 1): PASSES + singles}
    assert figures["batch"]["batch_size"] == 2
    assert figures["batch"]["events_per_second"]["count"] == PASSES
    assert figures["single"]["batch_size"] == 1
    assert figures["single"]["events_per_second"]["count"] == 20
    assert figures["single"]["latency_seconds"]["count"] == len(figures["single"]["latencies"]) == 100


def test_inference_is_repeated_until_it_took_long_enough() -> None:
    """Passes of at least 20 ms, for 200 ms: no more than ten, and more than three."""
    figures = measure(backend, Predict(event_seconds=0.02), events(1), batch_size=1, seconds=0.2)["batch"]
    assert PASSES < len(figures["pass_seconds"]) <= 10
    assert sum(figures["pass_seconds"]) >= 0.2
    assert sum(figures["pass_seconds"][:-1]) < 0.2
    assert figures["events_per_pass"] == 1
    assert figures["events_per_second"]["count"] == len(figures["pass_seconds"])
    assert 0 <= figures["input_wait_fraction"] <= 1


class Threads(World):
    """One of two ranks that are threads of this process."""

    def __init__(self, rank: int, meeting: threading.Barrier, board: dict[int, Any]) -> None:
        super().__init__(Place(rank, 2))
        self._meeting, self._board = meeting, board

    def barrier(self) -> None:
        self._meeting.wait(timeout=10)

    def gather(self, value: T) -> list[T]:
        self._board[self.rank] = value
        self.barrier()
        values = [self._board[rank] for rank in range(self.size)]
        self.barrier()
        return values


def test_all_ranks_repeat_inference_until_it_took_long_enough() -> None:
    """One rank takes 40 ms for a pass and the other next to nothing: both stop after the same pass."""
    meeting, board = threading.Barrier(2), dict[int, Any]()

    def figures(rank: int) -> dict[str, Any]:
        predict = Predict(event_seconds=0.04 * rank)
        world = Threads(rank, meeting, board)
        return measure(backend, predict, events(1), 1, world, seconds=0.3)["batch"]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(figures, range(2))
    assert first["pass_seconds"] == second["pass_seconds"]
    assert PASSES < len(first["pass_seconds"]) <= 8
    assert sum(first["pass_seconds"]) >= 0.3
    assert first["events_per_pass"] == 2


def test_targets_are_neither_built_nor_sent_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array that goes to the device is an input, and so goes through ``predict``."""
    sent: list[np.ndarray] = []
    monkeypatch.setattr(backend, "put", lambda array: sent.append(array) or array)
    predict = Predict()
    measure(backend, predict, events(5), batch_size=2)
    assert len(sent) == sum(predict.calls.values())


def test_many_events_are_not_all_sent_through_one_by_one() -> None:
    predict = Predict()
    figures = measure(backend, predict, events(3 * SINGLE_EVENTS), batch_size=SINGLE_EVENTS)
    assert predict.calls == {(SINGLE_EVENTS, 1): 3 * PASSES, (1, 1): (1 + PASSES) * SINGLE_EVENTS}
    assert figures["single"]["latency_seconds"]["count"] == PASSES * SINGLE_EVENTS


def test_slow_events_go_through_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "SINGLE_SECONDS", 0.05)
    figures = measure(backend, Predict(event_seconds=0.02), events(1), batch_size=1)
    assert PASSES <= figures["single"]["latency_seconds"]["count"] <= PASSES + 1


def test_rates_and_latencies_are_those_of_the_predictions() -> None:
    """A millisecond an event: never more than 1000 events/s, and never less than 1 ms of latency."""
    figures = measure(backend, Predict(event_seconds=0.001), events(10), batch_size=5)
    for part in ("batch", "single"):
        rate = figures[part]["events_per_second"]
        assert 100 < rate["median"] <= rate["max"] <= 1000
    latency = figures["single"]["latency_seconds"]
    assert 0.001 <= latency["p50"] <= latency["p95"] <= latency["p99"]
    assert latency["p50"] < 0.01


def test_compiling_for_a_single_event_is_no_latency() -> None:
    predict = Predict(compile_seconds=0.2)
    predict(np.ones((3, 1)))  # as the validation before has
    figures = measure(backend, predict, events(3), batch_size=3)
    assert figures["single"]["latency_seconds"]["p99"] < 0.1
    assert figures["single"]["events_per_second"]["min"] > 3 / 0.2


def test_each_shape_of_a_single_event_is_compiled_before_the_clock_starts() -> None:
    """Two lengths, as padding to buckets makes them."""

    class Buckets(LineEvents):
        def batches(self, split: str, batch_size: int, *, purpose: Purpose) -> Iterator[Batch]:
            assert (split, purpose) == ("validation", "inference")
            lengths = (4, 8) if batch_size == 1 else (8,)
            for length in lengths:
                yield Batch(np.ones((batch_size, length)), np.ones((batch_size, 1)), batch_size, 3, length)

    predict = Predict(compile_seconds=0.2)
    figures = measure(backend, predict, Buckets(LineConfig()), batch_size=2)
    assert set(predict.calls) == {(2, 8), (1, 4), (1, 8)}
    assert figures["single"]["latency_seconds"]["p99"] < 0.1


def test_the_device_is_drained_around_each_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    drained: list[None] = []
    monkeypatch.setattr(backend, "drain", lambda: drained.append(None))
    measure(backend, Predict(), events(100), batch_size=50)
    assert len(drained) == 2 * (PASSES + PASSES)
