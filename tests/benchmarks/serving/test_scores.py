"""Which load of a service is scored, by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchmarks.machine.phases import Phase
from benchmarks.result import RunResult
from benchmarks.scores import load_p99, load_rate, scored_load, service_details, service_shortfall
from benchmarks.serving.figures import load_line, service_line
from benchmarks.timeline import timeline

CONFIG = {
    "clients": "1,2,4",
    "request_batches": "235,1693",
    "queue_delays": "0,2000",
    "repetitions": 3,
    "max_p99": 0.5,
}


def load(clients: int, p99: float, batch: int = 235, delay: int = 0) -> dict[str, Any]:
    """Returns a load whose requests take the same time, at rates of 90, 100 and 120 times the clients."""
    return {
        "clients": clients,
        "batch": batch,
        "queue_delay": delay,
        "started_at": [0.0, 1.0, 2.0],
        "patches_per_second": [clients * rate for rate in (90.0, 100.0, 120.0)],
        "request_times": [p99] * 10,
        "event_times": [1.0],
        "bytes_per_event": {"sent": 46e6, "received": 8e4},
    }


def service(*loads: dict[str, Any], without_score: str = "") -> dict[str, Any]:
    return {"server": "triton", "version": "triton 2", "without_score": without_score, "loads": list(loads)}


def test_the_most_clients_whose_p99_is_within_the_bound_are_scored() -> None:
    of_others = (load(4, 0.1, batch=1693), load(4, 0.1, delay=2000))
    measured = service(load(1, 0.1), load(2, 0.5), load(4, 0.6), *of_others)
    scored = scored_load(measured, CONFIG)
    assert scored is measured["loads"][1]
    assert load_rate(scored) == 200.0
    assert service_shortfall(measured, CONFIG) == ""
    assert service_line(measured, CONFIG) == (
        "triton 2 (triton), scored with 2 client(s): p99 500 ms of at most 500 ms; "
        "46 MB sent and 0.08 MB received for an event"
    )
    assert load_line(measured["loads"][0]) == (
        "1 client(s), 235 patches a request, delay 0 us: 100 patches/s, p99 100 ms"
    )


def test_a_bound_that_no_load_meets_is_no_score() -> None:
    measured = service(load(1, 0.7), load(2, 0.8), load(4, 0.9))
    assert scored_load(measured, CONFIG) is None
    assert service_shortfall(measured, CONFIG) == (
        "expected a load whose p99 is at most 0.5 s, got 0.7 s with 1, 0.8 s with 2, 0.9 s with 4 client(s); "
        "raise --set max_p99, or lower --set clients or --set request_batches"
    )
    assert service_line(measured, CONFIG).startswith(
        "triton 2 (triton), no score: expected a load whose p99 "
    )


def test_a_load_that_is_missing_or_too_short_is_no_score() -> None:
    """Whoever takes the highest load out of a record must not get a score for the next one."""
    broken = service(load(1, 0.1), load(2, 0.1))
    assert service_shortfall(broken, CONFIG) == "expected loads of [1, 2, 4] clients, got [1, 2]"
    assert service_line(broken, CONFIG).endswith(
        ", no score: expected loads of [1, 2, 4] clients, got [1, 2]"
    )
    short = load(4, 0.1) | {"patches_per_second": [400.0]}
    assert service_shortfall(service(load(1, 0.1), load(2, 0.1), short), CONFIG) == (
        "4 clients: expected the 3 repetitions that were asked for, got 1"
    )


def test_a_service_without_a_score_says_why() -> None:
    line = service_line(service(load(1, 0.1), without_score="expected the weights a, got b"), CONFIG)
    assert line == "triton 2 (triton), no score: expected the weights a, got b"


def test_the_p99_is_that_of_all_requests() -> None:
    """Of 0, 1, ..., 100 it is 99; of one request it is that of the request."""
    assert load_p99({"request_times": list(range(101))}) == pytest.approx(99.0)
    assert load_p99({"request_times": [7.0]}) == 7.0


def test_the_phases_are_the_rows_and_the_loads() -> None:
    """Two calls of 50 patches in each of two repetitions, and 2 x 310 patches in the windows of a load."""
    row = {
        "precision": "float32",
        "batch_size": 50,
        "calls": 2,
        "started_at": [1.0, 3.0],
        "seconds": [1.5, 2.0],
    }
    scored = load(2, 0.1) | {"window_seconds": 1.0}
    config = CONFIG | {"clients": "2", "precision": "float32", "batch_size": 50}
    serving = {"rows": [row, row | {"batch_size": 8}], "service": service(scored)}
    result = RunResult("x", "ok", config, 1, kind="inference service", device="gpu", serving=serving)
    assert timeline(result) == [
        Phase("float32 at batch 50", 1.0, 5.0, "offline", 200, "gpu"),
        Phase("float32 at batch 8", 1.0, 5.0, None, 32, "gpu"),
        Phase("2 clients, 235 patches, delay 0 us", 0.0, 3.0, "service", 620, "gpu"),
    ]
    assert timeline(dataclasses.replace(result, serving={"rows": []})) == []


def test_a_summary_has_no_times_of_single_requests() -> None:
    (kept,) = service_details(service(load(1, 0.1)))["loads"]
    assert "request_times" not in kept and "event_times" not in kept
    assert kept["clients"] == 1
