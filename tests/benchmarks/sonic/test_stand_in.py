"""The model against clients of the real server, with a stand-in for an accelerator behind it."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from benchmarks.machine.telemetry import Telemetry
from benchmarks.serving.environment import missing_triton
from benchmarks.sonic.model import ClosedQueue
from tests.benchmarks.sonic.stand_in import disturbance, measure, replay, triton

MISSING = missing_triton()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"no Triton: {MISSING}")]

VALUES = 16  # of a request, so that only the stand-in takes time
SERVICE, THINK = 0.02, 0.2
CLIENTS = (1, 8, 16, 32)
SATURATING = 4
ROUNDS = 3


def test_the_time_of_an_event_is_the_predicted_one(tmp_path: Path) -> None:
    """One client alone gives the latency, and clients without a pause give the saturated rate.

    These two predict the time of an event of 1 to 32 clients, which pause before each request. The saturated
    server takes less time for a request than one client alone sees, because messages travel meanwhile.
    """
    events = replay(tmp_path / "events", VALUES)
    deviations: dict[int, list[float]] = {count: [] for count in CLIENTS}
    with triton(tmp_path, VALUES, SERVICE) as server:
        for _ in range(ROUNDS):
            with Telemetry() as telemetry:
                latency = measure(server, events, VALUES, 1, think=0)["event_seconds"]["mean"]
                together = measure(server, events, VALUES, SATURATING, think=0)["event_seconds"]["mean"]
                times = {
                    count: measure(server, events, VALUES, count, THINK)["event_seconds"]["mean"]
                    for count in CLIENTS
                }
            if reason := disturbance(telemetry.summary()):
                pytest.skip(f"not quiet: {reason}")
            # Little's law: clients that never pause take as many times the service time as there are.
            service = together / SATURATING
            queue = ClosedQueue(THINK + latency - service, service)
            for count, seconds in times.items():
                deviations[count].append(seconds / queue.lower_bound(count) - 1)
            assert SERVICE < service <= latency
    medians = {count: statistics.median(values) for count, values in deviations.items()}
    assert medians == pytest.approx(dict.fromkeys(CLIENTS, 0), abs=0.05), deviations
