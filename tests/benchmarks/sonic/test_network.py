"""The network's limit: clients in one network namespace, the server in another, a slow cable in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine.telemetry import Telemetry
from benchmarks.serving.environment import missing_triton
from benchmarks.sonic.model import ClosedQueue, Network
from tests.benchmarks.ranks.test_two_hosts import ADDRESSES, Hosts
from tests.benchmarks.sonic.stand_in import disturbance
from tests.command import ROOT, environment

MISSING = missing_triton()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"no Triton: {MISSING}")]

THINK = 0.2
BANDWIDTH = 0.1  # Gb/s
FRAME = 1514 / 1448  # bytes on an Ethernet cable for each byte of a TCP stream
FEW, MANY = 4, 24


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if os.geteuid() or shutil.which("ip") is None or shutil.which("tc") is None:
        pytest.skip("network namespaces need root and iproute2")
    pair = Hosts()
    yield pair
    pair.remove()


def program(namespace: str, *arguments: object) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "tests.benchmarks.sonic.two_hosts", *map(str, arguments)]
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, *call],
        cwd=ROOT,
        env=environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def address(hosts: Hosts, tmp_path: Path) -> Iterator[str]:
    """Where clients on the second host find the server on the first."""
    server = program(hosts.names[0], "server", tmp_path)
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    try:
        assert port.isdecimal(), server.communicate()
        yield f"{ADDRESSES[0]}:{port}"
    finally:
        try:
            server.communicate(timeout=60)
        finally:
            server.kill()


def test_the_cable_saturates_where_the_model_puts_it(hosts: Hosts, address: str, tmp_path: Path) -> None:
    """250 kB take 21 ms at 100 Mbit/s: an event of 24 clients takes 0.5 s, of 4 clients the time of one."""

    def measure(count: int, think: float = THINK) -> Mapping[str, Any]:
        clients = program(hosts.names[1], "clients", address, tmp_path / "events", count, think)
        answer, error = clients.communicate(timeout=240)
        assert clients.returncode == 0, error
        figures: dict[str, Any] = json.loads(answer)
        return figures

    with Telemetry() as telemetry:
        fast = measure(MANY)
        hosts.slow_down(f"{1000 * BANDWIDTH:.0f}mbit")
        alone, few, many = measure(1, think=0), measure(FEW), measure(MANY)

    # The prediction knows bytes and bandwidth, and of the time of a request only what one client alone has.
    cable = Network(alone["bytes_per_event"]["sent"] * FRAME * 8 / 1e9, BANDWIDTH)
    queue = ClosedQueue(THINK + alone["event_seconds"]["mean"] - cable.seconds, cable.seconds)
    # Little's law. The last requests of all share the cable with fewer others, and their times say less.
    seconds_of_many = MANY / many["patches_per_second"][0]
    assert seconds_of_many > 0.95 * MANY * cable.seconds
    if reason := disturbance(telemetry.summary()):
        pytest.skip(f"not quiet: {reason}")
    assert FEW < queue.knee < MANY
    assert fast["event_seconds"]["mean"] < 0.7 * queue.lower_bound(MANY)
    assert few["event_seconds"]["mean"] == pytest.approx(queue.lower_bound(FEW), rel=0.1)
    assert seconds_of_many == pytest.approx(queue.lower_bound(MANY), rel=0.1)
