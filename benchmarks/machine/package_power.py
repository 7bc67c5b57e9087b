"""Energy and power of the processor packages: by powercap (RAPL), or by hwmon on machines such as Grace."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from benchmarks.machine.sensor import Column, FileSensor, Rate, Sensor

_SYS = Path("/sys")
_PACKAGE = re.compile(r"package-\d+(-die-\d+)?")
# ACPI's power meters of a Grace module say in words what they measure. This one has the cores, their memory
# and the losses of their supply, and not the GPU.
_SOCKET = re.compile(r"Grace Power Socket \d+")
_MICRO = 1e-6


class PowercapSensor(FileSensor):
    """The energy counters of the packages, and of their memory where there are such.

    Args:
        root: Where the kernel's ``sys`` file system is mounted.
    """

    columns: ClassVar[Mapping[str, Column]] = {
        "package_power": Column(
            "W", "powercap: packages of the machine, with their memory if it is counted", 1
        ),
        "package_energy": Column(
            "J", "powercap: packages of the machine, with their memory if it is counted", 1
        ),
    }

    def __init__(self, root: Path = _SYS) -> None:
        super().__init__()
        self._zones, reason = _zones(root / "class/powercap")
        self._energy: dict[Path, float] = {}
        self._joules, self._rate = 0.0, Rate()
        if reason:
            self.reasons = dict.fromkeys(self.columns, reason)

    @property
    def is_readable(self) -> bool:
        """Returns whether there is a counter that this process may read."""
        return bool(self._zones)

    def read(self, now: float) -> Mapping[str, float | None]:
        """Returns the energy since the first sample, in J, and the power since the last one, in W."""
        if not self._zones:
            return {}
        for zone in self._zones:
            microjoules = _number(zone / "energy_uj")
            last = self._energy.get(zone, microjoules)
            gain = microjoules - last
            if gain < 0:  # the counter has gone around
                gain += _number(zone / "max_energy_range_uj")
            self._energy[zone] = microjoules
            self._joules += gain * _MICRO
        return {"package_energy": self._joules, "package_power": self._rate.per_second(now, self._joules)}


class SocketMeters(FileSensor):
    """The power meters of the sockets, which have no counter of energy.

    Args:
        root: Where the kernel's ``sys`` file system is mounted.
    """

    columns: ClassVar[Mapping[str, Column]] = {
        "package_power": Column("W", "hwmon: Grace sockets of the machine, with their memory", 1),
        "package_energy": Column("J", "", 1),
    }

    def __init__(self, root: Path = _SYS) -> None:
        super().__init__()
        self._meters = _meters(root / "class/hwmon")
        self.reasons["package_energy"] = "hwmon has power and no counter of energy"

    @property
    def is_readable(self) -> bool:
        """Returns whether there is a meter of a socket."""
        return bool(self._meters)

    def read(self, now: float) -> Mapping[str, float | None]:  # noqa: ARG002
        """Returns the mean power over the interval of the meters, in W."""
        return {"package_power": sum(map(_number, self._meters)) * _MICRO} if self._meters else {}


def package_sensor(root: Path = _SYS) -> Sensor:
    """Returns the sensor of the packages that this machine has.

    Args:
        root: Where the kernel's ``sys`` file system is mounted.

    Returns:
        Counters of powercap, power meters of hwmon, or a sensor whose columns have the reason why there are
        neither.
    """
    counters = PowercapSensor(root)
    meters = SocketMeters(root)
    if counters.is_readable or not meters.is_readable:
        return counters
    return meters


def _zones(powercap: Path) -> tuple[list[Path], str]:
    """Returns the folders whose counters add up to the packages and their memory, or why there are none."""
    packages = [
        zone for zone in sorted(powercap.glob("intel-rapl:*")) if _PACKAGE.fullmatch(_text(zone / "name"))
    ]
    if not packages:
        return [], "powercap: no package in /sys/class/powercap; hwmon: no power meter of a socket"

    # The zones of a package lie below it, and in a flat list beside it, too.
    inner = [
        zone
        for package in packages
        for zone in sorted(powercap.glob(f"{package.name}:*"))
        if _text(zone / "name") == "dram"
    ]
    try:
        for zone in itertools.chain(packages, inner):
            _number(zone / "energy_uj")
    except PermissionError:
        return [], "powercap: energy_uj may be read by root only, as the kernel sets it up since 5.10"
    except (OSError, ValueError) as error:
        return [], f"powercap: {error}"
    return packages + inner, ""


def _meters(hwmon: Path) -> list[Path]:
    """Returns the files with the power of each Grace socket, in microwatts."""
    labels = sorted(hwmon.glob("hwmon*/device/power1_oem_info")) + sorted(
        hwmon.glob("hwmon*/power1_oem_info")
    )
    meters = {label.parent / "power1_average" for label in labels if _SOCKET.fullmatch(_text(label))}
    return sorted(meter for meter in meters if meter.is_file())


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def _text(file: Path) -> str:
    """Returns what a file of the kernel holds; nothing where it cannot be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip("\0 \n")
    except OSError:
        return ""
