"""The figures of a load, from records that are written by hand."""

from __future__ import annotations

import pytest

from benchmarks.errors import RunFailedError
from benchmarks.serving.client import ClientRecord, Load
from benchmarks.serving.counters import Counters
from benchmarks.serving.load_figures import load_figures

LOAD = Load(clients=2, batch=10, window_seconds=10.0, windows=2)
# Sent, answered, client's seconds, patches, bytes sent, bytes received.
RECORDS = [
    ClientRecord(
        requests=[(-1, -0.5, 0.1, 10, 100, 10), (0, 1, 0.1, 10, 100, 10), (11, 14, 0.3, 30, 300, 30)],
        events=[(-1, 1), (1, 14)],
    ),
    ClientRecord(requests=[(19, 21, 0.1, 10, 100, 10)], events=[(2, 22)], unfinished=3),
]
COUNTERS = Counters(
    requests=2, patches=40, executions=1, queue_seconds=0.5, compute_seconds=2, busy_seconds=1.5
)


def test_only_what_was_answered_in_the_windows_counts() -> None:
    figures = load_figures(LOAD, 40, RECORDS, COUNTERS, 20.0, 1000.0)
    assert figures["patches_per_second"] == [1.0, 3.0]
    assert figures["started_at"] == [1000.0, 1010.0]
    assert figures["requests"] == 2
    assert figures["request_seconds"]["mean"] == pytest.approx(2.0)
    assert figures["request_seconds"]["max"] == pytest.approx(3.0)
    assert figures["bytes_per_event"] == {"sent": 400.0, "received": 40.0}
    assert figures["event_times"] == [2.0, 13.0, 20.0]
    assert figures["unfinished"] == 0  # a closed loop leaves events of no interest


def test_the_time_of_a_request_is_divided() -> None:
    figures = load_figures(LOAD, 40, RECORDS, COUNTERS, 20.0, 1000.0)
    assert figures["split_seconds"] == pytest.approx(
        {"client": 0.2, "network": 0.75, "queue": 0.25, "compute": 1.0}
    )
    assert figures["mean_batch"] == 40
    assert figures["busy"] == pytest.approx(0.075)


def test_random_arrivals_count_however_long_they_take() -> None:
    arriving = Load(clients=2, batch=10, window_seconds=10.0, windows=2, rate=1.0)
    figures = load_figures(arriving, 40, RECORDS, COUNTERS, 20.0, 1000.0)
    assert figures["event_times"] == [13.0, 20.0]
    assert figures["unfinished"] == 3


def test_a_server_without_counters_leaves_gaps() -> None:
    figures = load_figures(LOAD, 40, RECORDS, None, 20.0, 1000.0)
    assert figures["split_seconds"]["client"] == pytest.approx(0.2)
    assert [figures["split_seconds"]["queue"], figures["mean_batch"], figures["busy"]] == [None] * 3


def test_nothing_answered_is_no_measurement() -> None:
    with pytest.raises(RunFailedError, match="at least one request to end in the windows of 10 s, got none"):
        load_figures(LOAD, 40, [ClientRecord()], COUNTERS, 20.0, 1000.0)
