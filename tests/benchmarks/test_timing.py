from __future__ import annotations

import time

import pytest

from benchmarks.timing import EpochTimer, clock


def test_the_clock_never_goes_back() -> None:
    readings = [clock() for _ in range(1000)]
    assert readings == sorted(readings)
    assert readings[-1] > readings[0]


def test_the_time_runs_from_an_idle_device_to_a_drained_one() -> None:
    drained: list[float] = []
    began: list[float] = []

    def drain() -> None:
        began.append(clock())
        time.sleep(0.02)
        drained.append(clock())

    with EpochTimer(drain) as timer:
        work = clock()
        time.sleep(0.02)
    after = clock()
    assert len(drained) == 2
    # The first draining belongs to what was before, the last to the epoch.
    assert drained[0] <= work
    assert drained[1] - work <= timer.seconds <= after - drained[0]
    assert timer.seconds >= 0.04


def test_work_that_is_still_on_the_device_is_waited_for() -> None:
    """A device that needs 0.05 s after the loop has handed everything over."""
    ready = [0.0]
    with EpochTimer(lambda: time.sleep(max(0.0, ready[0] - clock()))) as timer:
        ready[0] = clock() + 0.05
    assert timer.seconds >= 0.05


def test_a_block_that_is_broken_off_is_not_drained() -> None:
    drained: list[None] = []
    with pytest.raises(KeyboardInterrupt), EpochTimer(lambda: drained.append(None)) as timer:
        time.sleep(0.01)
        raise KeyboardInterrupt
    assert len(drained) == 1
    assert timer.seconds >= 0.01


def test_nothing_is_known_before_the_end() -> None:
    with EpochTimer(lambda: None) as timer:
        assert timer.seconds == 0.0
    assert timer.seconds > 0.0
