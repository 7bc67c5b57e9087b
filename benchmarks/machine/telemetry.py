"""Samples CPU, host memory and GPUs beside a run, once a second."""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, NamedTuple

from benchmarks.machine.core_times import CoreTimes, core_times
from benchmarks.machine.gpu_sensor import GpuSensor
from benchmarks.machine.host_sensors import CoreClock, Traffic
from benchmarks.machine.memory import host_memory_peak_bytes
from benchmarks.machine.package_power import package_sensor
from benchmarks.machine.process_tree import process_tree
from benchmarks.machine.sensor import Column, Sensor
from benchmarks.machine.series import write_steps
from benchmarks.machine.topology import format_list

_LOAD_SECONDS = 0.1  # in less, the kernel's ticks of 10 ms are no load


class _Clock(NamedTuple):
    """One reading: wall-clock time and this process tree's CPU time, in s, and what its cores did."""

    wall: float
    own: float
    cores: CoreTimes


class _Load(Sensor):
    """How busy the cores are, with whom, and how much memory the process tree has.

    Args:
        cores: Numbers of the cores that the run may use.

    Attributes:
        clocks: Of each sample.
    """

    columns: ClassVar[Mapping[str, Column]] = {
        "cpu_cores": Column("cores", "/proc, CPU time of the run and of what it started", 2),
        "foreign_cpu_cores": Column(
            "cores", "/proc/stat, busy time of the run's cores that is not the run's", 2
        ),
        "cpu_utilization": Column("%", "/proc/stat, the run's cores"),
        "memory": Column("MB", "/proc, resident memory of the run and of what it started"),
    }

    def __init__(self, cores: frozenset[int]) -> None:
        super().__init__()
        self._cores = cores
        self.clocks: list[_Clock] = []

    def read(self, now: float) -> Mapping[str, float | None]:
        """Returns the load since the last sample, and the memory now."""
        rss, seconds = process_tree()
        self.clocks.append(_Clock(now, seconds, core_times(self._cores)))
        readings: dict[str, float | None] = {"memory": rss / 1e6}
        if len(self.clocks) < 2:
            return readings
        before, after = self.clocks[-2:]
        wall = after.wall - before.wall
        if wall < _LOAD_SECONDS:
            return readings
        own, foreign = _loads(before, after)
        # Ticks that fall between two readings may make a full second a little more than full.
        busy = min(1.0, (after.cores.busy - before.cores.busy) / (wall * after.cores.number))
        return {**readings, "cpu_cores": own, "foreign_cpu_cores": foreign, "cpu_utilization": 100 * busy}


class Telemetry:
    """Watches the machine while its ``with`` block runs; ``summary`` says what it saw.

    A daemon thread takes a sample on entry, one each ``interval`` seconds and one on exit. An error of the
    thread or of the last sample ends the watching but not the run, and stands in the summary.

    Args:
        interval: Time between samples, in s.
        gpus: What to watch, each of which serves one run.
    """

    def __init__(self, interval: float = 1.0, gpus: Sequence[GpuSensor] = ()) -> None:
        self._interval, self._gpus = interval, gpus
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="telemetry", daemon=True)
        self._error: str | None = None
        self._cores = frozenset(os.sched_getaffinity(0))
        self._load = _Load(self._cores)
        self._host: list[Sensor] = [self._load]
        self._started_at = 0.0
        self._costs: list[float] = []

    def __enter__(self) -> Telemetry:
        self._host += [CoreClock(self._cores), package_sensor(), Traffic()]
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        # After an error, columns may differ in length.
        if self._error is None:
            with self._errors_kept():
                self._sample()

    def summary(self) -> dict[str, Any]:
        """Returns what was seen, as JSON values: bytes, cores, shares of 1, watts, joules, and the series.

        Raises:
            RuntimeError: Called before the ``with`` block ended.
        """
        if not self._stop.is_set():
            raise RuntimeError("expected the telemetry's with block to have ended")

        # The means are candidates for the maxima: the last bit of the block is in them only.
        first, last = self._load.clocks[0], self._load.clocks[-1]
        own, foreign = _loads(first, last)
        core_seconds = (last.wall - first.wall) * last.cores.number
        memory = round(1e6 * max(self._load.answers("memory")))

        # A sum over some of the GPUs would look like a very efficient machine.
        gpus = [gpu.summary() for gpu in self._gpus]
        energies = [gpu["energy_joules"] for gpu in gpus if gpu["energy_joules"] is not None]

        return {
            "seconds": last.wall - first.wall,
            "samples": len(self._costs),
            "sample_cpu_seconds_median": statistics.median(self._costs),
            "error": self._error,
            "rss_bytes_max": max(memory, host_memory_peak_bytes()),
            "cores": format_list(self._cores),
            "cpu_cores_mean": own,
            "cpu_cores_max": max([*self._load.answers("cpu_cores"), own]),
            "foreign_cpu_cores_mean": foreign,
            "foreign_cpu_cores_max": max([*self._load.answers("foreign_cpu_cores"), foreign]),
            "stolen_fraction": _ratio(last.cores.stolen - first.cores.stolen, core_seconds),
            "gpus": gpus,
            "gpu_energy_joules": sum(energies) if gpus and len(energies) == len(gpus) else None,
            "series": [self._series()],
        }

    def _series(self) -> dict[str, Any]:
        """Returns all samples of this process, as JSON values, see ``benchmarks.machine.series``."""
        count = len(self._costs)
        walls = [clock.wall for clock in self._load.clocks[:count]]
        return {
            "rank": 0,
            "node": 0,
            "started_at": self._started_at,
            "steps": write_steps(walls),
            "columns": {
                name: column for sensor in self._host for name, column in sensor.to_dict(count).items()
            },
            "gpus": [
                {"index": gpu.index, "name": gpu.name, "columns": gpu.to_dict(count)} for gpu in self._gpus
            ],
        }

    def _watch(self) -> None:
        """Takes samples until the block ends; the work of the thread."""
        with self._errors_kept():
            deadline = time.perf_counter() + self._interval
            while not self._stop.wait(max(0.0, deadline - time.perf_counter())):
                self._sample()
                # Samples that were missed, as of a process that was stopped for a while, are not made up for.
                deadline += self._interval
                if deadline < (now := time.perf_counter()):
                    deadline = now + self._interval

    @contextlib.contextmanager
    def _errors_kept(self) -> Iterator[None]:
        """Keeps the first error for the summary: watching must not cost a run its result."""
        try:
            yield
        except Exception as error:
            self._error = self._error or f"{type(error).__name__}: {error}"

    def _sample(self) -> None:
        cost = time.thread_time()
        now = time.perf_counter()
        # The two clocks are read one right after the other, because phases are set beside the samples.
        self._started_at = self._started_at or time.time()
        for sensor in (*self._host, *self._gpus):
            sensor.sample(now)
        self._costs.append(time.thread_time() - cost)


def together(nodes: Sequence[int], seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combines what the ranks of a run saw: memory, cores, GPUs and energy are summed.

    Maxima are summed, too, as if they had come at the same time.

    Args:
        nodes: The number of each rank's node.
        seen: The summary of each rank.

    Returns:
        A summary with the keys of one rank's but for ``cores``.
    """
    first = {key: value for key, value in seen[0].items() if key != "cores"}
    energies = [summary["gpu_energy_joules"] for summary in seen]
    errors = [f"rank {rank}: {summary['error']}" for rank, summary in enumerate(seen) if summary["error"]]
    return {
        **first,
        "seconds": max(summary["seconds"] for summary in seen),
        "error": "; ".join(errors) or None,
        **{
            key: sum(summary[key] for summary in seen)
            for key in ("rss_bytes_max", "cpu_cores_mean", "cpu_cores_max")
        },
        "foreign_cpu_cores_mean": _foreign_to_all(nodes, seen, "mean"),
        "foreign_cpu_cores_max": _foreign_to_all(nodes, seen, "max"),
        "stolen_fraction": statistics.fmean(summary["stolen_fraction"] for summary in seen),
        "gpus": [gpu for summary in seen for gpu in summary["gpus"]],
        "gpu_energy_joules": None if None in energies else sum(energies),
        "series": [
            {**entry, "rank": rank, "node": node}
            for rank, (node, summary) in enumerate(zip(nodes, seen, strict=True))
            for entry in summary["series"]
        ],
    }


def _foreign_to_all(nodes: Sequence[int], seen: Sequence[Mapping[str, Any]], statistic: str) -> float:
    """Returns how many cores were kept busy by no rank of the run.

    Ranks with cores of their own each see other strangers. Of ranks that share their cores, the first one
    saw all strangers, and the other ranks among them.

    Args:
        nodes: The number of each rank's node.
        seen: The summary of each rank.
        statistic: ``mean`` or ``max``.
    """
    groups: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for node, summary in zip(nodes, seen, strict=True):
        groups.setdefault((node, summary["cores"]), []).append(summary)
    total = 0.0
    for first, *neighbours in groups.values():
        known = sum(neighbour[f"cpu_cores_{statistic}"] for neighbour in neighbours)
        total += max(0.0, first[f"foreign_cpu_cores_{statistic}"] - known)
    return total


def _loads(before: _Clock, after: _Clock) -> tuple[float, float]:
    """Returns the cores kept busy between two readings, by this process tree and by everybody else."""
    seconds = after.wall - before.wall
    own = max(0.0, _ratio(after.own - before.own, seconds))
    # The kernel counts cores in ticks of 10 ms and a process more finely: zero may come out negative.
    return own, max(0.0, _ratio(after.cores.busy - before.cores.busy, seconds) - own)


def _ratio(part: float, whole: float) -> float:
    """Divides; returns 0 where there is no whole, because the watching ended with the first reading."""
    return part / whole if whole else 0.0
