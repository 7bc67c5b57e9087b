"""Powercap and hwmon on trees written by hand after the kernel's documents, not recorded on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.machine import package_power
from benchmarks.machine.package_power import package_sensor
from tests.benchmarks.machine.trees.power import grace, write_energy, write_meter, write_zone, xeon

ZONES = "class/powercap"


def test_packages_and_their_memory_are_added_up_and_nothing_twice(tmp_path: Path) -> None:
    sensor = package_sensor(xeon(tmp_path))
    sensor.sample(0.0)
    for folder, microjoules in (("intel-rapl:0", 110_000_000), ("intel-rapl:1:1", 52_000_000)):
        write_energy(tmp_path / ZONES / folder, microjoules)
    for folder in ("intel-rapl:0:0", "intel-rapl:2", "intel-rapl-mmio:0"):
        write_energy(tmp_path / ZONES / folder, 10**9)
    sensor.sample(2.0)
    assert sensor.values == {"package_energy": [0.0, 150.0], "package_power": [None, 75.0]}


def test_a_counter_that_goes_around_has_not_lost_anything(tmp_path: Path) -> None:
    zone = write_zone(tmp_path, "intel-rapl:0", "package-0", 990_000_000, most=1_000_000_000)
    sensor = package_sensor(tmp_path)
    sensor.sample(0.0)
    write_energy(zone, 20_000_000)
    sensor.sample(1.0)
    assert sensor.values["package_energy"] == pytest.approx([0.0, 30.0])


def test_dies_of_a_package_are_packages(tmp_path: Path) -> None:
    for die in (0, 1):
        write_zone(tmp_path, f"intel-rapl:{die}", f"package-0-die-{die}", 0)
    sensor = package_sensor(tmp_path)
    sensor.sample(0.0)
    write_energy(tmp_path / ZONES / "intel-rapl:1", 5_000_000)
    sensor.sample(1.0)
    assert sensor.values["package_energy"] == [0.0, 5.0]


def test_counters_that_only_root_may_read_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read a file of any mode, so the refusal is made here."""
    xeon(tmp_path)

    def refuse(file: Path) -> int:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(package_power, "_number", refuse)
    sensor = package_sensor(tmp_path)
    sensor.sample(0.0)
    column = sensor.to_dict(1)["package_power"]
    assert (column["values"], column["source"]) == (None, None)
    assert (
        column["missing"]
        == "powercap: energy_uj may be read by root only, as the kernel sets it up since 5.10"
    )


def test_without_either_there_is_a_reason(tmp_path: Path) -> None:
    sensor = package_sensor(tmp_path)
    sensor.sample(0.0)
    assert {column["missing"] for column in sensor.to_dict(1).values()} == {
        "powercap: no package in /sys/class/powercap; hwmon: no power meter of a socket"
    }


def test_a_counter_that_fails_for_a_moment_costs_one_sample(tmp_path: Path) -> None:
    zone = write_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    sensor = package_sensor(tmp_path)
    sensor.sample(0.0)
    (zone / "energy_uj").write_text("", encoding="ascii")
    sensor.sample(1.0)
    write_energy(zone, 8_000_000)
    sensor.sample(2.0)
    assert sensor.values == {"package_energy": [0.0, None, 8.0], "package_power": [None, None, 4.0]}


def test_sockets_of_grace_have_power_and_no_counter(tmp_path: Path) -> None:
    sensor = package_sensor(grace(tmp_path))
    sensor.sample(0.0)
    columns = sensor.to_dict(1)
    assert columns["package_power"]["values"] == "310"
    assert columns["package_energy"]["missing"] == "hwmon has power and no counter of energy"


def test_the_meter_of_a_whole_server_is_not_that_of_its_sockets(tmp_path: Path) -> None:
    write_meter(tmp_path, 0, "", 500_000_000)
    sensor = package_sensor(tmp_path)
    sensor.sample(0.0)
    assert sensor.to_dict(1)["package_power"]["values"] is None
