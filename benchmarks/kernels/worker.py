"""What a process of its own does: it builds one implementation, calls it, and says how long it took."""

from __future__ import annotations

import dataclasses
import math
import os
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import backends
from benchmarks.backends import Backend
from benchmarks.config import KernelConfig
from benchmarks.errors import RunFailedError
from benchmarks.machine.memory import host_memory_peak_bytes, reset_memory_peak
from benchmarks.ranks.meeting import Meeting
from benchmarks.timing import EpochTimer
from benchmarks.workload import Implementation, Kernel
from datasets.errors import DataError

MAX_CALLS = 1_000_000  # in a repetition, however short a call is


@dataclass(frozen=True)
class Task:
    """What a process is to measure.

    Attributes:
        kernel: The workload.
        config: Of the run, without a key that is ``auto``.
        name: Of the implementation.
        events: How many events an ensemble has.
        calls: Calls of a repetition; 0 for as many as ``repetition_seconds`` takes.
        job_ensembles: Ensembles of the whole job, which is timed, too; 0 for none.
        with_memory: Whether the memory is measured, in one more call that is not timed.
    """

    kernel: Kernel
    config: KernelConfig
    name: str
    events: int
    calls: int = 0
    job_ensembles: int = 0
    with_memory: bool = False

    @property
    def implementation(self) -> Implementation:
        """Returns what the workload says of the implementation."""
        return self.kernel.implementations()[self.name]


def measure(task: Task, meeting: Meeting) -> dict[str, Any]:
    """Measures in this process.

    Args:
        task: What to measure.
        meeting: Where the processes that measure side by side meet before and after each repetition.

    Returns:
        JSON values: ``threads``, ``build_seconds``, ``compile_seconds``, ``calls`` and ``ensembles_per_call``
        of a repetition, ``started_at`` and ``seconds`` of each repetition, ``figures`` of the first
        ensembles, ``quality``, and, where they were asked for, ``peak_memory_bytes`` and ``job_seconds``.

    Raises:
        RunFailedError: A calculation went wrong, or another process did.
        DataError: The data set is damaged.
    """
    backend = _backend(task.config) if task.implementation.needs_backend else None
    drain = (lambda: None) if backend is None else backend.drain
    ensembles = task.implementation.ensembles_per_call
    replicas = range(ensembles)
    events = task.kernel.prepare(task.config, lambda _: None)

    # A framework does not say what it takes on a CPU: the process's growth stands in the place of that.
    before = reset_memory_peak()

    # The first call compiles, where there is anything to compile.
    with EpochTimer(drain) as building:
        calculate = task.kernel.build(task.config, events, task.name, task.events, backend)
    with EpochTimer(drain) as first:
        figures = calculate(replicas)
    with EpochTimer(drain) as second:
        calculate(replicas)
    calls = task.calls or min(MAX_CALLS, math.ceil(task.config.repetition_seconds / second.seconds))

    def repeat(number: int) -> None:
        for call in range(number):
            calculate(range(call * ensembles, (call + 1) * ensembles))

    started_at, seconds = _timed_repetitions(task.config.repetitions, lambda: repeat(calls), drain, meeting)
    measured = {
        "threads": 1 if backend is None else _threads(task.config),
        "build_seconds": building.seconds,
        "compile_seconds": max(0.0, first.seconds - second.seconds),
        "calls": calls,
        "ensembles_per_call": ensembles,
        "started_at": started_at,
        "seconds": seconds,
        "figures": figures[:2],
        "quality": task.kernel.quality(task.config, task.name, backend),
    }
    if task.job_ensembles:
        with EpochTimer(drain) as timer:
            repeat(math.ceil(task.job_ensembles / ensembles))
        measured["job_seconds"] = timer.seconds
    if task.with_memory:
        measured["peak_memory_bytes"] = (
            _arrays_peak(task, events)
            if backend is None
            else backend.device_memory_peak_bytes() or max(0, host_memory_peak_bytes() - before)
        )
    return measured


def measure_in_turn(tasks: Sequence[Task], meeting: Meeting) -> list[dict[str, Any]]:
    """Measures several tasks one after the other in this process.

    Returns:
        Of each task what ``measure`` returns, or ``left_out`` with the reason if the framework cannot do it.

    Raises:
        RunFailedError: A calculation went wrong.
        DataError: The data set is damaged.
    """
    return [_measure_or_reason(task, meeting) for task in tasks]


def _measure_or_reason(task: Task, meeting: Meeting) -> dict[str, Any]:
    """Measures; an implementation that the framework lacks has a reason in place of figures."""
    try:
        return measure(task, meeting)
    except (RunFailedError, DataError):
        raise
    except Exception as error:
        if not task.implementation.needs_backend:
            raise
        first_line = next(iter(str(error).strip().splitlines()), "")[:200]
        return {"left_out": f"{task.config.backend} cannot: {type(error).__name__}: {first_line}"}


_configured: list[Backend] = []  # a framework can be configured once in a process


def _backend(config: KernelConfig) -> Backend:
    """Returns the framework's runtime, on the cores that this process has."""
    if not _configured:
        backend = backends.load(config.backend)
        backend.configure(dataclasses.replace(config, threads=_threads(config)))
        _configured.append(backend)
    return _configured[0]


def _threads(config: KernelConfig) -> int:
    """Returns how many threads a framework gets in this process."""
    return min(config.threads, len(os.sched_getaffinity(0)))


def _timed_repetitions(
    count: int, work: Callable[[], None], drain: Callable[[], None], meeting: Meeting
) -> tuple[list[float], list[float]]:
    """Returns when each repetition started, in seconds since 1970 (UTC), and how long it took, in seconds."""
    started_at, seconds = [], []
    for _ in range(count):
        meeting.meet()
        with EpochTimer(drain) as timer:
            work()
        started_at.append(timer.started_at)
        seconds.append(timer.seconds)
        meeting.keep_busy(work)
    return started_at, seconds


def _arrays_peak(task: Task, events: Any) -> int:
    """Returns the most that NumPy's arrays take, in bytes: kept between calls, and added by a call."""
    replicas = range(task.implementation.ensembles_per_call)
    tracemalloc.start()
    calculate = task.kernel.build(task.config, events, task.name, task.events, None)
    calculate(replicas[:1])
    tracemalloc.reset_peak()
    calculate(replicas)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return int(peak)


def rates_of_machine() -> Mapping[str, float]:
    """Measures what one core of the machine can do at most: copying, and products of matrices.

    Returns:
        ``copy_bytes_per_second``, bytes read and written, and ``float64_operations_per_second`` and
        ``float32_operations_per_second``.
    """
    import numpy as np

    rng = np.random.default_rng(1)
    source = rng.random(1 << 24)  # 128 MiB, more than caches hold
    target = np.empty_like(source)
    rates = {"copy_bytes_per_second": 2 * source.nbytes / _best_seconds(lambda: np.copyto(target, source))}
    for number in ("float64", "float32"):
        matrix = rng.random((1536, 1536)).astype(number)
        product = np.empty_like(matrix)
        seconds = _best_seconds(partial(np.matmul, matrix, matrix, out=product))
        rates[f"{number}_operations_per_second"] = 2 * len(matrix) ** 3 / seconds
    return rates


def rates_of_device(config: KernelConfig, size: int = 4096) -> Mapping[str, float]:
    """Measures the same rates on the device of the framework, all of it.

    Args:
        config: Of the run, without a key that is ``auto``.
        size: Rows of a matrix. A copy has four times as many numbers.
    """
    import numpy as np

    backend, rng = _backend(config), np.random.default_rng(1)
    source = backend.put(rng.random(4 * size * size))

    # Nothing is certain to be computed but what is fetched.
    seconds = _best_seconds(lambda: backend.fetch((source + 1.0)[:1]))
    rates = {"copy_bytes_per_second": 2 * 8 * 4 * size * size / seconds}
    for number in ("float64", "float32"):
        matrix = backend.put(rng.random((size, size)).astype(number))
        seconds = _best_seconds(partial(_product, backend, matrix))
        rates[f"{number}_operations_per_second"] = 2 * size**3 / seconds
    return rates


def _product(backend: Backend, matrix: Any) -> Any:
    return backend.fetch((matrix @ matrix)[:1, :1])


def _best_seconds(work: Callable[[], Any]) -> float:
    """Returns the shortest time of five, in seconds."""
    work()
    seconds = []
    for _ in range(5):
        with EpochTimer(lambda: None) as timer:
            work()
        seconds.append(timer.seconds)
    return min(seconds)
