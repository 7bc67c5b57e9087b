"""How long cores were busy, and how much of their time a hypervisor gave to other machines."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_STAT = Path("/proc/stat")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class CoreTimes(NamedTuple):
    """What some cores have done since the machine started.

    Attributes:
        busy: Time that they were not idle, in s. Stolen time is part of it: it, too, is a core that this
            process did not have.
        stolen: Time that the hypervisor gave to other machines, in s.
        number: How many cores these are.
    """

    busy: float
    stolen: float
    number: int


def core_times(cores: Collection[int], stat: Path = _STAT) -> CoreTimes:
    """Reads what some cores have done from the kernel's file.

    A container may number its cores otherwise than the kernel (with lxcfs). Where the file lacks one of
    ``cores``, all that it lists are taken.

    Args:
        cores: Numbers of cores.
        stat: The kernel's ``/proc/stat``.
    """
    names = {f"cpu{core}" for core in cores}
    lines = [line for line in stat.read_text(encoding="ascii").splitlines() if line.startswith("cpu")]
    rows = [fields for line in lines if (fields := line.split())[0] in names]
    if len(rows) < len(names):
        rows = [line.split() for line in lines if not line.startswith("cpu ")]
    busy = stolen = 0
    for _, user, nice, system, _idle, _iowait, irq, softirq, steal, *_guests in rows:
        busy += sum(map(int, (user, nice, system, irq, softirq, steal)))
        stolen += int(steal)
    return CoreTimes(busy / _TICKS_PER_SECOND, stolen / _TICKS_PER_SECOND, len(rows))
