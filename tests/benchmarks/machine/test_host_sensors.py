"""Clocks on a tree written by hand, and traffic from counters that the test moves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from benchmarks.machine.host_sensors import CoreClock, Traffic
from tests.benchmarks.machine.trees.power import write_clock


def test_the_clock_is_the_mean_of_the_runs_cores(tmp_path: Path) -> None:
    for core, kilohertz in enumerate((3_000_000, 2_000_000, 800_000)):
        write_clock(tmp_path, core, kilohertz)
    sensor = CoreClock({0, 1}, tmp_path)
    sensor.sample(0.0)
    write_clock(tmp_path, 1, 1_000_000)
    sensor.sample(1.0)
    assert sensor.to_dict(2)["cpu_frequency"]["values"] == "2500 2000"


def test_of_many_cores_a_few_are_read(tmp_path: Path) -> None:
    """Those in between have a clock that would show."""
    for core in range(256):
        write_clock(tmp_path, core, 2_000_000 if core % 32 == 0 else 9_000_000)
    sensor = CoreClock(range(256), tmp_path)
    sensor.sample(0.0)
    assert sensor.values["cpu_frequency"] == [2000.0]


def test_without_cpufreq_there_is_a_reason(tmp_path: Path) -> None:
    sensor = CoreClock({0}, tmp_path)
    sensor.sample(0.0)
    assert sensor.to_dict(1)["cpu_frequency"] == {
        "unit": "MHz",
        "source": None,
        "values": None,
        "missing": "no cpufreq in /sys; virtual machines have none as a rule",
    }


def test_a_clock_that_cannot_be_read_costs_its_samples_only(tmp_path: Path) -> None:
    file = write_clock(tmp_path, 0, 2_000_000)
    sensor = CoreClock({0}, tmp_path)
    file.unlink()
    sensor.sample(0.0)
    assert sensor.values["cpu_frequency"] == [None]
    assert "No such file" in sensor.reasons["cpu_frequency"]


def test_traffic_is_the_growth_of_the_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    disks = SimpleNamespace(read_bytes=1_000_000, write_bytes=0)
    network = SimpleNamespace(bytes_recv=0, bytes_sent=0)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_: disks)
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: network)
    sensor = Traffic()
    sensor.sample(0.0)
    disks.read_bytes, disks.write_bytes, network.bytes_sent = 5_000_000, 1_000_000, 300_000
    sensor.sample(2.0)
    texts = {name: column["values"] for name, column in sensor.to_dict(2).items()}
    assert texts == {
        "disk_read": "- 2",
        "disk_write": "- 0.5",
        "network_received": "- 0",
        "network_sent": "- 0.1",
    }


def test_a_machine_without_disks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_: None)
    sensor = Traffic()
    sensor.sample(0.0)
    sensor.sample(1.0)
    columns = sensor.to_dict(2)
    assert columns["disk_read"]["missing"] == "psutil: the kernel shows none"
    assert columns["network_sent"]["values"] is not None
