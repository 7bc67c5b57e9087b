"""Copies that meet, in threads: who waits for whom, and what they do meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.errors import RunFailedError
from benchmarks.ranks.meeting import Meeting, MeetingPoint, meeting_from_environment
from tests.command import until


@pytest.fixture
def point() -> Iterator[MeetingPoint]:
    point = MeetingPoint(2)
    point.start()
    yield point
    point.close()


@pytest.fixture
def copies(point: MeetingPoint) -> Iterator[list[Meeting]]:
    both = [meeting_from_environment(point.variables(index)) for index in range(2)]
    yield both
    for each in both:
        each.close()


def test_a_process_without_copies_waits_for_nobody() -> None:
    alone = meeting_from_environment({})
    alone.meet()
    alone.keep_busy(lambda: pytest.fail("there is nobody to keep the machine busy for"))
    assert type(alone) is Meeting


def test_copies_go_on_together(copies: list[Meeting]) -> None:
    """The first waits 0.2 s for the second, at each of two meetings."""
    first, second = copies
    passed: list[float] = []

    def wait_twice() -> None:
        for _ in range(2):
            first.meet()
            passed.append(time.monotonic())

    waiting = threading.Thread(target=wait_twice)
    waiting.start()
    arrivals = []
    for _ in range(2):
        time.sleep(0.2)
        arrivals.append(time.monotonic())
        second.meet()
    waiting.join(10)
    assert len(passed) == 2
    for arrival, departure in zip(arrivals, passed, strict=True):
        assert departure >= arrival


def test_a_copy_that_is_done_keeps_the_machine_busy_until_the_last_is(copies: list[Meeting]) -> None:
    first, second = copies
    done = threading.Event()

    def finish_late() -> None:
        time.sleep(0.2)
        done.set()
        second.keep_busy(lambda: None)

    late = threading.Thread(target=finish_late)
    late.start()
    worked: list[bool] = []

    def work() -> None:
        worked.append(done.is_set())
        time.sleep(0.01)

    first.keep_busy(work)
    late.join(10)
    assert worked.count(False) >= 5  # while the other was still measuring
    assert done.is_set()


def test_the_point_knows_who_is_waited_for_and_how_long(point: MeetingPoint, copies: list[Meeting]) -> None:
    first, second = copies
    until(lambda: point.absentees() == (set(), 0.0))  # both have come in
    waiting = threading.Thread(target=first.meet)
    waiting.start()
    time.sleep(0.2)
    absentees, seconds = point.absentees()
    assert absentees == {1}
    assert seconds > 0.1
    second.meet()
    waiting.join(10)
    until(lambda: point.absentees() == (set(), 0.0))


def test_a_copy_that_leaves_or_a_point_that_closes_ends_the_waiting(
    point: MeetingPoint, copies: list[Meeting]
) -> None:
    first, second = copies
    failed: list[str] = []

    def wait() -> None:
        try:
            first.meet()
        except RunFailedError as error:
            failed.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    second.close()
    point.join(10)
    point.close()
    waiting.join(10)
    assert failed == ["the copies' meeting point is gone: another copy failed"]
    with pytest.raises(RunFailedError, match="meeting point is gone"):
        meeting_from_environment(point.variables(1))


def test_copies_go_on_when_those_of_another_point_do() -> None:
    """The barrier lets the first meeting go, and breaks at the second."""
    calls: list[str] = []

    def barrier() -> None:
        calls.append("barrier")
        if len(calls) > 1:
            raise ConnectionError("the other point is gone")

    point = MeetingPoint(1, barrier)
    point.start()
    copy = meeting_from_environment(point.variables(0))
    assert calls == []
    copy.meet()
    assert calls == ["barrier"]
    with pytest.raises(RunFailedError, match="meeting point is gone"):
        copy.meet()
    assert str(point.error) == "the other point is gone"
    copy.close()
