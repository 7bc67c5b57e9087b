from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks.training.feed import DEPTH, Feed
from benchmarks.workload import Batch


def batch(number: int) -> Batch:
    return Batch(np.full(2, number), np.full(2, -number), events=2, elements=3, padded_elements=4)


def put(array: np.ndarray) -> np.ndarray:
    return array + 100


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "feed"]


def test_batches_come_in_order_and_on_the_device() -> None:
    with Feed(map(batch, range(10)), put) as feed:
        taken = list(feed)
    assert [given.inputs[0] for given, _, _ in taken] == list(range(10))
    assert [inputs.tolist() for _, inputs, _ in taken] == [[100 + n] * 2 for n in range(10)]
    assert [targets.tolist() for _, _, targets in taken] == [[100 - n] * 2 for n in range(10)]


def test_targets_that_a_batch_does_not_have_do_not_go_to_the_device() -> None:
    for_inference = Batch(np.zeros(2), None, events=2, elements=3, padded_elements=4)
    sent = 0

    def count(array: np.ndarray) -> np.ndarray:
        nonlocal sent
        sent += 1
        return put(array)

    with Feed(iter([for_inference] * 3), count) as feed:
        assert [targets for _, _, targets in feed] == [None] * 3
    assert sent == 3


def test_no_batches_are_no_batches() -> None:
    with Feed(iter(()), put) as feed:
        assert list(feed) == []


def test_waiting_for_a_slow_source_is_measured() -> None:
    def slow() -> Iterator[Batch]:
        for number in range(4):
            time.sleep(0.05)
            yield batch(number)

    start = time.perf_counter()
    with Feed(slow(), put) as feed:
        assert len(list(feed)) == 4
    elapsed = time.perf_counter() - start
    # The reader starts a moment before the loop does.
    assert 0.19 <= feed.wait_seconds <= elapsed


def test_a_slow_device_does_not_wait() -> None:
    """Only the first batch can be late; the others are read while the device works."""
    worked = 0.0
    with Feed(map(batch, range(10)), put) as feed:
        for _ in feed:
            start = time.perf_counter()
            time.sleep(0.03)
            worked += time.perf_counter() - start
    assert feed.wait_seconds < worked / 3


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError(), SystemExit(3)])
def test_what_goes_wrong_in_the_reader_is_raised_in_the_loop(error: BaseException) -> None:
    """After the batches that were read before; a SystemExit, too, where a loop would wait for ever."""

    def broken() -> Iterator[Batch]:
        yield batch(1)
        raise error

    taken: list[Any] = []
    with pytest.raises(type(error)) as caught, Feed(broken(), put) as feed:
        for given, _, _ in feed:
            taken.append(given)
    assert caught.value is error
    assert len(taken) == 1
    assert alive() == []


def test_what_goes_wrong_on_the_way_to_the_device_is_raised_in_the_loop() -> None:
    def refuse(_array: np.ndarray) -> np.ndarray:
        raise ValueError("expected a device")

    with pytest.raises(ValueError, match="expected a device"), Feed(map(batch, range(3)), refuse) as feed:
        list(feed)


def test_leaving_early_ends_the_reader() -> None:
    read: list[int] = []

    def endless() -> Iterator[Batch]:
        for number in itertools.count():
            read.append(number)
            yield batch(number)

    with Feed(endless(), put) as feed:
        for given, _, _ in feed:
            if given.inputs[0] == 3:
                break
        assert alive() == ["feed"]
    assert alive() == []
    # Taken: 0 to 3; ready: DEPTH; one in the reader's hand.
    assert len(read) <= 4 + DEPTH + 1


def test_an_interrupted_loop_ends_the_reader() -> None:
    with pytest.raises(KeyboardInterrupt), Feed(map(batch, itertools.count()), put) as feed:
        for _ in feed:
            raise KeyboardInterrupt
    assert alive() == []
