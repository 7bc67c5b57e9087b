"""Samples CPU, host memory and GPUs beside a run, once a second."""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import psutil

from benchmarks.machine import nvml
from benchmarks.machine.core_times import CoreTimes, core_times
from benchmarks.machine.memory import host_memory_peak_bytes
from benchmarks.machine.topology import format_list


class _Clock(NamedTuple):
    """One reading: wall-clock time and this process tree's CPU time, in s, and what its cores did."""

    wall: float
    own: float
    cores: CoreTimes


@dataclass
class _Gpu:
    """Readings of one GPU. A list stays empty where the GPU does not say."""

    index: int
    handle: Any
    memory: list[int] = field(default_factory=list)
    utilization: list[float] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)
    millijoules: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._partitioned = nvml.is_partitioned(self.handle)

    def sample(self) -> None:
        """Reads the GPU once; of a MIG slice only its memory, because the rest is that of the whole GPU."""
        if (memory := nvml.read("nvmlDeviceGetMemoryInfo", self.handle)) is not None:
            self.memory.append(int(memory.used))
        if self._partitioned:
            return
        if (rates := nvml.read("nvmlDeviceGetUtilizationRates", self.handle)) is not None:
            self.utilization.append(rates.gpu / 100)
        if (milliwatts := nvml.read("nvmlDeviceGetPowerUsage", self.handle)) is not None:
            self.watts.append(milliwatts / 1000)
        if (millijoules := nvml.read("nvmlDeviceGetTotalEnergyConsumption", self.handle)) is not None:
            self.millijoules.append(int(millijoules))

    def summary(self) -> dict[str, Any]:
        """Returns what the readings come to, as JSON values."""
        # One reading of the counter is no energy of a run.
        measured = len(self.millijoules) > 1
        energy = (self.millijoules[-1] - self.millijoules[0]) / 1000 if measured else None
        return {
            "index": self.index,
            "name": nvml.read("nvmlDeviceGetName", self.handle),
            "memory_used_bytes_max": max(self.memory, default=None),
            "utilization_mean": statistics.fmean(self.utilization) if self.utilization else None,
            "power_watts_mean": statistics.fmean(self.watts) if self.watts else None,
            "power_watts_max": max(self.watts, default=None),
            "energy_joules": energy,
        }


class Telemetry:
    """Watches the machine while its ``with`` block runs; ``summary`` says what it saw.

    A daemon thread takes a sample on entry, one each ``interval`` seconds and one on exit. An error of the
    thread or of the last sample ends the watching but not the run, and stands in the summary.

    Args:
        interval: Time between samples, in s.
        gpus: NVML handles by index; None for every GPU that this process may use.
    """

    def __init__(self, interval: float = 1.0, gpus: Mapping[int, Any] | None = None) -> None:
        self._interval, self._handles = interval, gpus
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="telemetry", daemon=True)
        self._error: str | None = None
        self._cores: frozenset[int] = frozenset()
        self._gpus: list[_Gpu] = []
        self._clocks: list[_Clock] = []
        self._costs: list[float] = []
        self._rss_max = 0
        # Cores kept busy between two samples, by this process tree and by everybody else.
        self._own_loads: list[float] = []
        self._foreign_loads: list[float] = []

    def __enter__(self) -> Telemetry:
        handles = nvml.visible_handles() if self._handles is None else self._handles
        self._gpus = [_Gpu(index, handle) for index, handle in handles.items()]
        self._cores = frozenset(os.sched_getaffinity(0))
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with self._errors_kept():
            self._sample()

    def summary(self) -> dict[str, Any]:
        """Returns what was seen, as JSON values: bytes, cores, shares of 1, watts, joules.

        Raises:
            RuntimeError: Called before the ``with`` block ended.
        """
        if not self._stop.is_set():
            raise RuntimeError("expected the telemetry's with block to have ended")

        # The means are candidates for the maxima: the last bit of the block is in them only.
        first, last = self._clocks[0], self._clocks[-1]
        own, foreign = _loads(first, last)
        core_seconds = (last.wall - first.wall) * last.cores.number

        # A sum over some of the GPUs would look like a very efficient machine.
        gpus = [gpu.summary() for gpu in self._gpus]
        energies = [gpu["energy_joules"] for gpu in gpus if gpu["energy_joules"] is not None]

        return {
            "seconds": last.wall - first.wall,
            "samples": len(self._costs),
            "sample_cpu_seconds_median": statistics.median(self._costs),
            "error": self._error,
            "rss_bytes_max": max(self._rss_max, host_memory_peak_bytes()),
            "cores": format_list(self._cores),
            "cpu_cores_mean": own,
            "cpu_cores_max": max([*self._own_loads, own]),
            "foreign_cpu_cores_mean": foreign,
            "foreign_cpu_cores_max": max([*self._foreign_loads, foreign]),
            "stolen_fraction": _ratio(last.cores.stolen - first.cores.stolen, core_seconds),
            "gpus": gpus,
            "gpu_energy_joules": sum(energies) if gpus and len(energies) == len(gpus) else None,
        }

    def _watch(self) -> None:
        """Takes samples until the block ends; the work of the thread."""
        with self._errors_kept():
            while not self._stop.wait(self._interval):
                self._sample()
                # Only here: the interval before the exit may be shorter than the kernel's clock tick.
                own, foreign = _loads(self._clocks[-2], self._clocks[-1])
                self._own_loads.append(own)
                self._foreign_loads.append(foreign)

    @contextlib.contextmanager
    def _errors_kept(self) -> Iterator[None]:
        """Keeps the first error for the summary: watching must not cost a run its result."""
        try:
            yield
        except Exception as error:
            self._error = self._error or f"{type(error).__name__}: {error}"

    def _sample(self) -> None:
        cost = time.thread_time()
        children = list(_children(os.getpid()))
        rss = psutil.Process().memory_info().rss + sum(rss for rss, _ in children)
        own = _own_seconds() + sum(seconds for _, seconds in children)
        self._rss_max = max(self._rss_max, rss)
        self._clocks.append(_Clock(time.perf_counter(), own, core_times(self._cores)))
        for gpu in self._gpus:
            gpu.sample()
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


def _own_seconds() -> float:
    """Returns the CPU time of this process and of its children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _children(pid: int) -> Iterator[tuple[int, float]]:
    """Yields resident bytes and CPU seconds of the processes that the main thread of ``pid`` started.

    They come from one small file, where psutil would read all of ``/proc``: tens of ms on a large node.
    """
    # No such file: the process has just ended, or the kernel was built without CONFIG_PROC_CHILDREN.
    text = ""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    for child in map(int, text.split()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(child)
            times = process.cpu_times()
            seconds = times.user + times.system + times.children_user + times.children_system
            yield process.memory_info().rss, seconds
        yield from _children(child)
