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
from benchmarks.machine.memory import host_memory_peak_bytes


class _Clock(NamedTuple):
    """Seconds of wall-clock time, of this process tree's CPU time and of the whole machine's."""

    wall: float
    own: float
    busy: float


@dataclass
class _Gpu:
    """What was seen of one GPU; a list stays empty where the GPU does not say."""

    index: int
    handle: Any
    memory: list[int] = field(default_factory=list)
    utilization: list[float] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)
    millijoules: list[int] = field(default_factory=list)

    def sample(self) -> None:
        if (memory := nvml.read("nvmlDeviceGetMemoryInfo", self.handle)) is not None:
            self.memory.append(int(memory.used))
        if (rates := nvml.read("nvmlDeviceGetUtilizationRates", self.handle)) is not None:
            self.utilization.append(rates.gpu / 100)
        if (milliwatts := nvml.read("nvmlDeviceGetPowerUsage", self.handle)) is not None:
            self.watts.append(milliwatts / 1000)
        if (millijoules := nvml.read("nvmlDeviceGetTotalEnergyConsumption", self.handle)) is not None:
            self.millijoules.append(int(millijoules))

    def summary(self) -> dict[str, Any]:
        energy = (self.millijoules[-1] - self.millijoules[0]) / 1000 if self.millijoules else None
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

    A daemon thread takes a sample on entry, one each ``interval`` seconds and one on exit.

    Args:
        interval: Between samples, in s.
        gpus: NVML handles by index; None for every GPU that this process may use.
    """

    def __init__(self, interval: float = 1.0, gpus: Mapping[int, Any] | None = None) -> None:
        self._interval, self._handles = interval, gpus
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="telemetry", daemon=True)
        self._gpus: list[_Gpu] = []
        self._clocks: list[_Clock] = []
        self._costs: list[float] = []
        self._rss_max = 0
        # Cores kept busy between two samples, by this process tree and by everybody else.
        self._own: list[float] = []
        self._foreign: list[float] = []

    def __enter__(self) -> Telemetry:
        handles = nvml.visible_handles() if self._handles is None else self._handles
        self._gpus = [_Gpu(index, handle) for index, handle in handles.items()]
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def summary(self) -> dict[str, Any]:
        """What was seen, as JSON values: bytes, cores, shares of 1, watts, joules.

        Raises:
            RuntimeError: Called before the ``with`` block ended.
        """
        if not self._stop.is_set():
            raise RuntimeError("expected the telemetry's with block to have ended")
        # The means are candidates for the maxima: the last bit of the block is in them only.
        own, foreign = _cores(self._clocks[0], self._clocks[-1])
        gpus = [gpu.summary() for gpu in self._gpus]
        energies = [gpu["energy_joules"] for gpu in gpus if gpu["energy_joules"] is not None]
        return {
            "seconds": self._clocks[-1].wall - self._clocks[0].wall,
            "samples": len(self._costs),
            "sample_cpu_seconds_median": statistics.median(self._costs),
            "rss_bytes_max": max(self._rss_max, host_memory_peak_bytes()),
            "cpu_cores_mean": own,
            "cpu_cores_max": max([*self._own, own]),
            "foreign_cpu_cores_mean": foreign,
            "foreign_cpu_cores_max": max([*self._foreign, foreign]),
            "gpus": gpus,
            # A sum over some of the GPUs would look like a very efficient machine.
            "gpu_energy_joules": sum(energies) if gpus and len(energies) == len(gpus) else None,
        }

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self._sample()
            # Only here: the interval before the exit may be shorter than the kernel's clock tick.
            own, foreign = _cores(self._clocks[-2], self._clocks[-1])
            self._own.append(own)
            self._foreign.append(foreign)

    def _sample(self) -> None:
        cost = time.thread_time()
        children = list(_children(os.getpid()))
        rss = psutil.Process().memory_info().rss + sum(rss for rss, _ in children)
        own = _own_seconds() + sum(seconds for _, seconds in children)
        self._rss_max = max(self._rss_max, rss)
        self._clocks.append(_Clock(time.perf_counter(), own, _busy_seconds()))
        for gpu in self._gpus:
            gpu.sample()
        self._costs.append(time.thread_time() - cost)


def together(nodes: Sequence[int], seen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the ranks of a run saw, as one: memory, cores, GPUs and energy summed.

    Maxima are summed, too, as if they had come at the same time.

    Args:
        nodes: The number of each rank's node.
        seen: The summary of each rank.
    """

    def foreign(of: str) -> float:
        """What was no rank's: the first rank of a node saw it all, and the other ranks in it."""
        total = 0.0
        for node in set(nodes):
            first, *others = (each for each, where in zip(seen, nodes, strict=True) if where == node)
            ours = sum(other[f"cpu_cores_{of}"] for other in others)
            total += max(0.0, first[f"foreign_cpu_cores_{of}"] - ours)
        return total

    energies = [each["gpu_energy_joules"] for each in seen]
    return {
        **seen[0],
        "seconds": max(each["seconds"] for each in seen),
        **{
            key: sum(each[key] for each in seen)
            for key in ("rss_bytes_max", "cpu_cores_mean", "cpu_cores_max")
        },
        "foreign_cpu_cores_mean": foreign("mean"),
        "foreign_cpu_cores_max": foreign("max"),
        "gpus": [gpu for each in seen for gpu in each["gpus"]],
        "gpu_energy_joules": None if None in energies else sum(energies),
    }


def _cores(before: _Clock, after: _Clock) -> tuple[float, float]:
    """Cores kept busy between two readings, by this process tree and by everybody else."""
    wall = after.wall - before.wall
    own = max(0.0, after.own - before.own) / wall
    # The kernel counts the machine in ticks of 10 ms and a process more finely: zero may come out negative.
    return own, max(0.0, (after.busy - before.busy) / wall - own)


def _own_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _busy_seconds() -> float:
    """CPU time of the machine that was not idle; stolen time, too, is a core that we did not have."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _children(pid: int) -> Iterator[tuple[int, float]]:
    """Resident bytes and CPU seconds of the processes that the main thread of ``pid`` started.

    From one small file, where psutil would read all of ``/proc``: tens of ms on a large node.
    """
    # No such file: the process has just ended, or the kernel was built without CONFIG_PROC_CHILDREN.
    listed = ""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    for child in map(int, listed.split()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(child)
            times = process.cpu_times()
            seconds = times.user + times.system + times.children_user + times.children_system
            yield process.memory_info().rss, seconds
        yield from _children(child)
