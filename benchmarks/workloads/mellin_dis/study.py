"""The published study that this workload repeats: its figures, and the arithmetic behind them.

A fit that took ``TOTAL_HOURS`` with NumPy spends a fraction f of that in the kernel. If the kernel becomes S
times as fast, Amdahl's law gives the hours T (1 - f + f / S).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TOTAL_HOURS = 257.09  # of the NumPy loop
PARALLEL_FRACTION = 0.99394  # which the first three rows agree on: 0.6 % are serial


@dataclass(frozen=True)
class Row:
    """One line of the study's table.

    Attributes:
        speed_up: Of the kernel, against the NumPy loop.
        hours: Of the whole job.
    """

    speed_up: float
    hours: float


ROWS: Mapping[str, Row] = {
    "vectorised NumPy": Row(7.39, 36.13),
    "C++": Row(15.83, 17.70),
    "PyTorch on a GPU": Row(24.49, 11.99),
    "CUDA": Row(897.5, 5.25),
}
# The implementation here that is nearest to a row.
NEAREST = {"vectorised NumPy": "vectorised", "C++": "compiled", "PyTorch on a GPU": "eager", "CUDA": "pairs"}
THREADS = {16: 16.0, 32: 33.28, 64: 56.96, 128: 99.84}  # speed-ups on a CPU, by the number of threads
RANKS_ON_ONE_GPU = (7, 2.75)  # seven ranks on one GPU are 2.75 times as fast as one


def amdahl_hours(speed_up: float, fraction: float = PARALLEL_FRACTION, total: float = TOTAL_HOURS) -> float:
    """Returns the time of a job whose kernel becomes ``speed_up`` times as fast, in hours."""
    return total * (1 - fraction + fraction / speed_up)


def parallel_fraction(row: Row, total: float = TOTAL_HOURS) -> float:
    """Returns the fraction of the job that the kernel takes, from one row of the table."""
    return (1 - row.hours / total) / (1 - 1 / row.speed_up)


def effective_speed_up(
    hours: float, fraction: float = PARALLEL_FRACTION, total: float = TOTAL_HOURS
) -> float:
    """Returns what the kernel's speed-up must have been for a job to take ``hours``."""
    return fraction / (hours / total - (1 - fraction))


def end_to_end_speed_up(row: Row, total: float = TOTAL_HOURS) -> float:
    """Returns how many times as fast the whole job became."""
    return total / row.hours


def efficiency(speed_up: float, workers: int) -> float:
    """Returns the parallel efficiency of ``workers`` that are ``speed_up`` times as fast as one."""
    return speed_up / workers


def node_ratio(cpu_speed_up: float, gpus: int, gpu_speed_up: float) -> float:
    """Returns the speed of a node's CPUs over that of its GPUs, both in multiples of the same unit."""
    return cpu_speed_up / (gpus * gpu_speed_up)


def rows_beside(speed_ups: Mapping[str, float], device: str) -> list[list[str]]:
    """Returns the study's table beside our speed-ups, with its header.

    The last column is what the study's job would take if its kernel became as fast as ours.

    Args:
        speed_ups: Of our implementations against the loop, by name.
        device: Where a framework computed, ``cpu`` or ``gpu``.
    """
    table = [
        [
            *("published study", "kernel", "whole job", "[h]", "by Amdahl's law"),
            *("here", "kernel", "by Amdahl's law"),
        ]
    ]
    for name, row in ROWS.items():
        cells = [
            f"{row.speed_up:g}",
            f"{end_to_end_speed_up(row):.2f}",
            f"{row.hours:.2f}",
            f"{amdahl_hours(row.speed_up):.2f}",
        ]
        nearest = NEAREST[name]
        if nearest not in speed_ups or (name == "CUDA" and device != "gpu"):
            table.append([name, *cells, "-", "-", "-"])
            continue
        ours = speed_ups[nearest]
        place = f"{nearest}, {device}" if name in ("PyTorch on a GPU", "CUDA") else nearest
        table.append([name, *cells, place, f"{ours:.4g}", f"{amdahl_hours(ours):.2f}"])
    return table
