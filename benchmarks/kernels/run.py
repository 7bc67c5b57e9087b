"""The kind of workload "numerical kernel": implementations, several processes, and more events.

The result has ``kernel`` with ``rows``, one for each implementation, ``node``, one for each number of
processes, ``series``, one for each implementation and number of events, ``environment``, the variables that
all processes had, ``machine`` and, with a GPU, ``device``, the rates that a roofline needs, and
``published``, a table of figures from elsewhere. An entry that was left out has ``left_out``, which says why,
in place of figures.

Of several ranks, rank 0 measures the implementations, and all of them run processes side by side. Times in
``node`` are those of rank 0's clock then, and ``clock_offsets`` has what was subtracted for each rank.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from benchmarks import backends
from benchmarks.config import KernelConfig
from benchmarks.context import Context
from benchmarks.errors import RunFailedError
from benchmarks.kernels import figures, worker
from benchmarks.kernels.processes import ENVIRONMENT, process_counts, run_alone, run_side_by_side
from benchmarks.kernels.worker import Task
from benchmarks.machine.memory import memory_available_bytes
from benchmarks.ranks.clocks import clock_offsets
from benchmarks.ranks.meeting import Meeting
from benchmarks.ranks.place import device_of
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.workload import Implementation, Kernel

SERIES_EVENTS = (100, 300, 1_000, 3_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000)
SERIES_SHARE = 0.1  # of the length of a repetition, for points of the series
PROCESS_BYTES = 600_000_000  # of a process for its libraries, or for a context on a GPU
SAME_FIGURES = 1e-6  # relative difference between implementations of one calculation

T = TypeVar("T")


def measure(context: Context, workload: Kernel) -> None:
    """Measures all implementations, the best number of processes, and the time against the number of events.

    Raises:
        RunFailedError: The run has no score: an implementation is wrong, or the scored one cannot run here.
    """
    _KernelRun(context, workload).run()


class _KernelRun:
    """One kernel with its measurements."""

    def __init__(self, context: Context, kernel: Kernel) -> None:
        self.context, self.kernel, self.progress = context, kernel, context.progress
        self.config = cast(KernelConfig, context.config)
        self.scored = self.config.implementation
        self.implementations = kernel.implementations()
        self.variables = self._variables()
        environment = {**ENVIRONMENT, **self.variables}
        self.fields: dict[str, Any] = {"environment": environment, "rows": [], "node": [], "series": []}
        context.fields["kernel"] = self.fields

    def run(self) -> None:
        """Does all of it; see ``measure``."""
        # The other ranks are idle meanwhile, and wait for what they need of the scored row.
        world = self.context.world
        scored = world.broadcast_value("scored", {} if world.rank else self._measure_rows())

        # What one process does comes first, because all efficiencies refer to it.
        counts = process_counts(min(world.gather(self._most_processes())))
        if world.size > 1:
            place = world.place
            self.context.fields["distributed"] |= {"launcher": place.launcher, "nodes": place.nodes}
            self.context.fields["distributed"]["libraries"] = world.libraries()
            self.fields["clock_offsets"] = clock_offsets(world)
            if not world.rank:
                self._measure_node(1, scored, LONE_WORLD)
            world.barrier()
        for count in counts:
            self._measure_node(count, scored, world)

    def _measure_rows(self) -> dict[str, Any]:
        """Measures all implementations, and returns the row of the one that is scored.

        Raises:
            RunFailedError: See ``measure``.
        """
        if reason := self._obstacle(self.scored, self.config.events):
            raise RunFailedError(f"implementation {self.scored}: {reason}")

        # The rates come first, because the rows are compared with them.
        self.fields["machine"] = dict(run_alone(worker.rates_of_machine))
        if self.context.backend.device() == "gpu":
            rates = run_alone(worker.rates_of_device, self.config, variables=self.variables)
            self.fields["device"] = dict(rates)
        for names in self._groups():
            for name, entries in self._measure_implementations(names).items():
                row = self._row(name, entries[self.config.events])
                self.fields["rows"].append(row)
                self.fields["series"] += [{"implementation": name, **entry} for entry in entries.values()]
                self.progress.note(figures.row_line(row))
        self._check_figures()
        self.fields["published"] = self.kernel.published_rows(
            figures.speed_ups(self.fields["rows"]), self.context.backend.device()
        )
        scored = self._scored_row()
        self.context.fields["quality"] = dict(scored["quality"])
        return scored

    def _variables(self) -> dict[str, str]:
        """Returns what all processes of this rank need to use its GPU, and no other; nothing on a CPU."""
        device = device_of(self.context.world.place) if self.context.backend.device() == "gpu" else None
        return {} if device is None else {"CUDA_VISIBLE_DEVICES": device}

    def _most_processes(self) -> int:
        """Returns how many processes this rank has cores and memory for, at least one."""
        implementation, cores = self.implementations[self.scored], len(os.sched_getaffinity(0))
        room = self._room(self._is_on_gpu(implementation))
        if room is None:
            return cores
        size = PROCESS_BYTES + implementation.expected_bytes(self.config.events)
        return min(cores, max(1, room // size))

    def _measure_node(self, count: int, scored: Mapping[str, Any], world: World) -> None:
        """Measures a number of processes on each rank of a world, which is this one or all."""
        node = self._with_copies(partial(self._node, count, scored, world))
        self.fields["node"].append(node)
        self.progress.note(figures.node_line(node))

    def _groups(self) -> Iterator[list[str]]:
        """Yields the names that share a process: each alone, but for those that need the framework on a CPU.

        A framework takes seconds to load. On a GPU they are apart all the same, because it says the peak of
        the device since the process started.
        """
        with_backend = [name for name, item in self.implementations.items() if item.needs_backend]
        for name, implementation in self.implementations.items():
            if not implementation.needs_backend or self.context.backend.device() == "gpu":
                yield [name]
            elif name == with_backend[0]:
                yield with_backend

    def _measure_implementations(self, names: Sequence[str]) -> dict[str, dict[int, dict[str, Any]]]:
        """Measures some implementations in one process, each with every number of events.

        Returns:
            By name and number of events, what was measured or why it was left out.
        """
        counts = [count for count in SERIES_EVENTS if count <= self.config.series_events]
        entries: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in names}
        tasks = []
        for name in names:
            # The row comes first, so that its first call is the one that compiles. On a GPU the order is that
            # of the peaks.
            order = dict.fromkeys((self.config.events, *counts))
            if self._is_on_gpu(self.implementations[name]):
                order = dict.fromkeys(sorted(order))
            for count in order:
                expected = self.implementations[name].expected_bytes(count)
                entry = entries[name][count] = {"events": count, "expected_memory_bytes": expected}
                if reason := self._obstacle(name, count):
                    entry["left_out"] = reason
                else:
                    tasks.append(self._task(name, count))

        def alone() -> Any:
            return run_alone(worker.measure_in_turn, tasks, Meeting(), variables=self.variables)

        if tasks:
            measured = self._with_copies(alone) if self.scored in names else alone()
            for task, of_task in zip(tasks, measured, strict=True):
                entries[task.name][task.events] |= of_task
        return entries

    def _task(self, name: str, count: int) -> Task:
        """Returns what a process does; points of the series are shorter than the row of an implementation."""
        config = self.config
        if count != config.events:
            seconds = SERIES_SHARE * config.repetition_seconds
            config = dataclasses.replace(config, repetition_seconds=seconds)
            return Task(self.kernel, config, name, count, with_memory=True)
        job = config.bootstraps if config.measure_job else 0
        return Task(self.kernel, config, name, count, job_ensembles=job, with_memory=True)

    def _row(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        """Returns the row of an implementation."""
        implementation = self.implementations[name]
        row = {
            "implementation": name,
            "description": implementation.description,
            "algorithm": implementation.algorithm,
            "device": self.context.backend.device() if implementation.needs_backend else "cpu",
            **entry,
        }
        if "left_out" in row:
            return row
        on_gpu = self._is_on_gpu(implementation)
        rates, units = self.fields["device" if on_gpu else "machine"], 1 if on_gpu else row["threads"]
        return {**row, "roofline_share": figures.roofline_share(row, implementation, rates, units)}

    def _is_on_gpu(self, implementation: Implementation) -> bool:
        return implementation.needs_backend and self.context.backend.device() == "gpu"

    def _node(self, count: int, scored: Mapping[str, Any], world: World) -> dict[str, Any]:
        """Returns what several processes measured side by side, repetition by repetition.

        Args:
            count: Processes on each rank.
            scored: Row of what they do.
            world: The ranks that take part.

        Raises:
            RunFailedError: One of them calculated something else than the implementation did alone.
        """
        task = Task(self.kernel, self.config, self.scored, self.config.events, calls=scored["calls"])
        measured = run_side_by_side(
            count, worker.measure, task, variables=self.variables, barrier=world.barrier
        )
        for losses in (one["figures"] for one in measured):
            for ours, alone in zip(losses, scored["figures"], strict=True):
                if not math.isclose(ours, alone, rel_tol=self._allowed_difference(self.scored)):
                    raise RunFailedError(
                        f"{count} processes: expected the loss {alone!r} of one process, got {ours!r}"
                    )

        # The times of all ranks become those of one clock.
        offsets = self.fields.get("clock_offsets", [0.0])
        processes = [
            {**one, "started_at": [start - offset for start in one["started_at"]]}
            for of_rank, offset in zip(world.gather(measured), offsets, strict=False)
            for one in of_rank
        ]
        return {
            "processes": len(processes),
            "ranks": world.size,
            "calls": processes[0]["calls"],
            "ensembles_per_call": processes[0]["ensembles_per_call"],
            **{
                key: [list(times) for times in zip(*(one[key] for one in processes), strict=True)]
                for key in ("started_at", "seconds")
            },
        }

    def _obstacle(self, name: str, events: int) -> str:
        """Says why an implementation cannot run here with a number of events; empty if it can."""
        implementation = self.implementations[name]
        if implementation.missing:
            return implementation.missing
        if reason := backends.missing_compiler(self.config.backend, implementation.compiler):
            return reason
        expected, room = implementation.expected_bytes(events), self._room(self._is_on_gpu(implementation))
        if room is None or expected <= room:
            return ""
        return (
            f"{events} events are expected to take {expected / 1e9:.1f} GB; {room / 1e9:.1f} GB are available"
        )

    def _room(self, on_gpu: bool) -> int | None:
        """Returns the memory for an implementation, in bytes; None where it is not known."""
        if on_gpu:
            return self.context.backend.device_memory_total_bytes()
        room = memory_available_bytes()
        return None if room is None else room // self.context.world.place.local_size

    def _with_copies(self, work: Callable[[], T]) -> T:
        """Does the work beside all copies of the run, and keeps the machine busy until the last has ended."""
        meeting = self.context.meeting
        meeting.meet()
        result = work()
        if self.context.world.size == 1:
            meeting.keep_busy(work)
        else:  # the other ranks would have to work along, and do not know how often
            meeting.meet()
        return result

    def _scored_row(self) -> dict[str, Any]:
        """Returns the row of the implementation that is scored.

        Raises:
            RunFailedError: The framework cannot carry it out.
        """
        (row,) = (row for row in self.fields["rows"] if row["implementation"] == self.scored)
        if "left_out" in row:
            raise RunFailedError(f"implementation {self.scored}: {row['left_out']}")
        return cast(dict[str, Any], row)

    def _check_figures(self) -> None:
        """Compares the implementations with the check values and with each other.

        Raises:
            RunFailedError: One calculates something else.
        """
        rows = [row for row in self.fields["rows"] if "seconds" in row]
        for row in rows:
            name, deviation = row["implementation"], row["quality"]["deviation"]
            tolerance = self.implementations[name].tolerance
            if name != self.scored and not deviation <= tolerance:
                raise RunFailedError(
                    f"implementation {name}: expected a deviation of at most {tolerance:g} from the check "
                    f"values, got {deviation:.3g}"
                )
            allowed = self._allowed_difference(name)
            for ours, first in zip(row["figures"], rows[0]["figures"], strict=False):
                if not math.isclose(ours, first, rel_tol=allowed):
                    raise RunFailedError(
                        f"implementation {name}: expected the loss {first!r} of {rows[0]['implementation']}, "
                        f"got {ours!r}"
                    )

    def _allowed_difference(self, name: str) -> float:
        """Returns the relative difference that the losses of an implementation may have from others."""
        return max(SAME_FIGURES, 100 * self.implementations[name].tolerance)
