from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.machine.core_times import core_times

TICKS = os.sysconf("SC_CLK_TCK")
# user nice system idle iowait irq softirq steal guest guest_nice, in ticks
STAT = f"""\
cpu  {6 * TICKS} 0 0 0 0 0 0 {5 * TICKS} 0 0
cpu0 {TICKS} {TICKS} {TICKS} {99 * TICKS} {99 * TICKS} {TICKS} {TICKS} {TICKS} {TICKS} 0
cpu2 {2 * TICKS} 0 0 0 0 0 0 {3 * TICKS} 0 0
cpu10 {3 * TICKS} 0 0 0 0 0 0 {TICKS} 0 0
intr 1 2 3
"""


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        ({0}, (6.0, 1.0, 1)),
        ({2}, (5.0, 3.0, 1)),  # cpu1 is off: the third core is the second line
        ({0, 10}, (10.0, 2.0, 2)),
        ({0, 1}, (15.0, 5.0, 3)),  # a container with numbers of its own: all that it lists
    ],
)
def test_the_times_of_some_cores(tmp_path: Path, cores: set[int], expected: tuple[float, float, int]) -> None:
    file = tmp_path / "stat"
    file.write_text(STAT, encoding="ascii")
    assert core_times(cores, file) == expected


def test_this_machine_can_be_read() -> None:
    times = core_times(os.sched_getaffinity(0))
    assert times.number >= 1
    assert 0 <= times.stolen <= times.busy
