"""Sensors of the host: the clock of its cores, and the traffic of its disks and of its network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import psutil

from benchmarks.machine.sensor import Column, FileSensor, Rate, Sensor

_SYS = Path("/sys")
_MOST_FILES = 8  # of clocks: reading those of all cores would take ms on a large node
_MB = 1e6


class CoreClock(FileSensor):
    """The mean clock of some of the cores that the run may use.

    Args:
        cores: Numbers of the cores that the run may use.
        root: Where the kernel's ``sys`` file system is mounted.
    """

    columns: ClassVar[Mapping[str, Column]] = {
        "cpu_frequency": Column("MHz", f"cpufreq, the mean of at most {_MOST_FILES} cores of the run")
    }

    def __init__(self, cores: Collection[int], root: Path = _SYS) -> None:
        super().__init__()
        ordered = sorted(cores)
        picked_cores = ordered[:: -(-len(ordered) // _MOST_FILES)]
        files = [root / f"devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq" for core in picked_cores]
        self._files = [file for file in files if file.is_file()]
        if not self._files:
            self.reasons["cpu_frequency"] = "no cpufreq in /sys; virtual machines have none as a rule"

    def read(self, now: float) -> Mapping[str, float | None]:  # noqa: ARG002
        """Returns the clock in MHz, which the kernel writes in kHz."""
        kilohertz = [int(file.read_text(encoding="ascii")) for file in self._files]
        return {"cpu_frequency": sum(kilohertz) / len(kilohertz) / 1000} if kilohertz else {}


class Traffic(Sensor):
    """What the disks and the network of the whole machine carry, of everybody."""

    columns: ClassVar[Mapping[str, Column]] = {
        name: Column("MB/s", f"psutil, {what} of the machine", digits=1)
        for name, what in (
            ("disk_read", "all disks"),
            ("disk_write", "all disks"),
            ("network_received", "all interfaces"),
            ("network_sent", "all interfaces"),
        )
    }

    def __init__(self) -> None:
        super().__init__()
        self._rates = {name: Rate() for name in self.columns}

    def read(self, now: float) -> Mapping[str, float | None]:
        """Returns the traffic since the last sample, in MB/s."""
        # The counters of psutil may be held against wrapping around, which costs time and helps nobody here.
        counts: dict[str, float] = {}
        if (disks := self._counters("disk", psutil.disk_io_counters)) is not None:
            counts |= {"disk_read": disks.read_bytes, "disk_write": disks.write_bytes}
        if (network := self._counters("network", psutil.net_io_counters)) is not None:
            counts |= {"network_received": network.bytes_recv, "network_sent": network.bytes_sent}
        rates = {name: self._rates[name].per_second(now, count) for name, count in counts.items()}
        return {name: None if rate is None else rate / _MB for name, rate in rates.items()}

    def _counters(self, what: str, question: Any) -> Any | None:
        """Returns the counters of the kernel; None, with the reason kept, where it shows none."""
        try:
            counters = question(nowrap=False)
        except (OSError, RuntimeError, NotImplementedError) as error:
            counters, reason = None, str(error)
        else:
            reason = "the kernel shows none"
        if counters is None:
            self.reasons |= {name: f"psutil: {reason}" for name in self.columns if name.startswith(what)}
        return counters
