"""Loads on the server in this process: what is measured, and what ends a run."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.serving.load import run_load
from benchmarks.serving.server import Server
from tests.benchmarks.serving.linear import SERVED, load, predict, replay, served_here


def test_a_closed_loop_counts_what_came_back(tmp_path: Path) -> None:
    with served_here() as server:
        figures = run_load(server, SERVED, replay(tmp_path), load())
    assert len(figures["patches_per_second"]) == len(figures["started_at"]) == 2
    # Requests of 4, 4 and 2 patches.
    patches = sum(figures["patches_per_second"]) * 0.3
    assert patches == pytest.approx(figures["requests"] * 10 / 3, rel=0.2)
    assert figures["events"] == pytest.approx(patches / 10, abs=2 + 0.1 * patches / 10)
    assert figures["mean_batch"] == pytest.approx(10 / 3, rel=0.1)
    assert 0 < figures["busy"] < 1
    assert figures["unfinished"] == 0
    # A patch has 12 values of 4 bytes, and is answered with 3.
    assert 480 < figures["bytes_per_event"]["sent"] < 480 + 3 * 120
    assert 120 < figures["bytes_per_event"]["received"] < 120 + 3 * 120
    split = figures["split_seconds"]
    assert min(split.values()) > 0
    within = split["network"] + split["queue"] + split["compute"]
    assert within == pytest.approx(figures["request_seconds"]["mean"])


@pytest.mark.slow
def test_latency_counts_from_the_scheduled_arrival(tmp_path: Path) -> None:
    """Work of 50 ms for events that arrive every 25 ms: each waits for those before it."""
    busy = load(clients=1, work_seconds=0.05, work="sleep", rate=40.0, window_seconds=0.5, request_seconds=5)
    with served_here() as server:
        figures = run_load(server, SERVED, replay(tmp_path), busy)
    assert figures["event_seconds"]["max"] > 0.2
    assert figures["events"] + figures["unfinished"] == pytest.approx(40, abs=20)
    assert figures["unfinished"] == 0  # what has arrived is drained after the windows


@pytest.mark.slow
def test_arrivals_repeat_with_the_seed(tmp_path: Path) -> None:
    sparse = load(rate=30.0)
    events = replay(tmp_path)
    with served_here() as server:
        numbers = [run_load(server, SERVED, events, sparse)["events"] for _ in range(2)]
    assert numbers[0] == numbers[1] > 5


@pytest.mark.slow
def test_requests_in_flight_overlap(tmp_path: Path) -> None:
    """Two requests wait for a model of 20 ms together, which takes them one after the other."""

    def slow(patches: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(0.02)
        return predict(patches)

    with served_here(predict=slow) as server:
        figures = run_load(server, SERVED, replay(tmp_path), load(clients=1, in_flight=2))
    assert figures["split_seconds"]["queue"] > 0.005


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (lambda values: {**values, "first": values["first"] + 1}, "wrong answer: expected the output first"),
        (lambda values: {**values, "others": values["others"] * np.nan}, "got a difference of nan"),
        (lambda values: {**values, "others": values["others"][:-1]}, "in the output others, got"),
        (lambda _: 1 / 0, "refused a request: UNKNOWN"),
        (lambda values: time.sleep(1.5) or values, "did not answer within 1 s"),
    ],
    ids=["other values", "no numbers", "too few", "no answer", "slow"],
)
def test_a_wrong_or_lost_answer_ends_the_run(answers: object, reason: str, tmp_path: Path) -> None:
    assert callable(answers)
    with served_here(predict=lambda patches: answers(predict(patches))) as server:
        with pytest.raises(RunFailedError, match=reason) as failure:
            run_load(server, SERVED, replay(tmp_path), load(request_seconds=1.0))
        assert "\n" not in str(failure.value)
    assert multiprocessing.active_children() == []


def test_a_server_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="cannot be reached"):
        run_load(Server("127.0.0.1:9", "remote", ""), SERVED, replay(tmp_path), load())
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_an_event_that_is_longer_than_the_windows_is_finished(tmp_path: Path) -> None:
    def slow(patches: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(0.2)
        return predict(patches)

    with served_here(predict=slow) as server:
        figures = run_load(server, SERVED, replay(tmp_path), load(clients=1, windows=1))
    assert figures["events"] == 1
    assert figures["event_seconds"]["max"] > 0.6


@pytest.mark.slow
def test_windows_without_an_event_are_no_measurement(tmp_path: Path) -> None:
    with (
        served_here() as server,
        pytest.raises(RunFailedError, match=r"at least one request to end in the windows of 0.3 s"),
    ):
        run_load(server, SERVED, replay(tmp_path), load(work_seconds=0.5, work="sleep", windows=1))


def test_requests_that_are_too_large_together_are_refused(tmp_path: Path) -> None:
    with served_here() as server, pytest.raises(UsageError, match="at most 32 MB together"):
        run_load(server, SERVED, replay(tmp_path), load(batch=400_000, in_flight=2))
