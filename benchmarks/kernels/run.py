"""The kind of workload "numerical kernel": implementations, several processes, and more events.

The result has ``kernel`` with ``rows``, one for each implementation, ``node``, one for each number of
processes, ``series``, one for each implementation and number of events, ``environment``, the variables that
all processes had, and ``machine``, the rates that a roofline needs. An entry that was left out has
``left_out``, which says why, in place of figures.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from benchmarks.config import KernelConfig
from benchmarks.context import Context
from benchmarks.errors import RunFailedError
from benchmarks.kernels import worker
from benchmarks.kernels.processes import ENVIRONMENT, process_counts, run_alone, run_side_by_side
from benchmarks.kernels.worker import Task
from benchmarks.machine.memory import memory_available_bytes
from benchmarks.ranks.meeting import Meeting
from benchmarks.scores import ensemble_seconds, ensembles_per_hour, is_quotable
from benchmarks.workload import Kernel

SERIES_EVENTS = (100, 300, 1_000, 3_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000)
SERIES_SHARE = 0.1  # of the length of a repetition, for points of the series
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
        self.fields: dict[str, Any] = {"environment": ENVIRONMENT, "rows": [], "node": [], "series": []}
        context.fields["kernel"] = self.fields

    def run(self) -> None:
        """Does all of it; see ``measure``."""
        if reason := self._obstacle(self.scored, self.config.events):
            raise RunFailedError(f"implementation {self.scored}: {reason}")

        # The rates come first, because the rows are compared with them.
        self.fields["machine"] = dict(run_alone(worker.rates_of_machine))
        for names in self._groups():
            for name, entries in self._measure_implementations(names).items():
                row = self._row(name, entries[self.config.events])
                self.fields["rows"].append(row)
                self.fields["series"] += [{"implementation": name, **entry} for entry in entries.values()]
                self.progress.note(_row_line(row))
        self._check_figures()
        scored = self._scored_row()
        self.context.fields["quality"] = dict(scored["quality"])

        for count in process_counts(len(os.sched_getaffinity(0))):
            node = self._with_copies(partial(self._node, count, scored))
            self.fields["node"].append(node)
            self.progress.note(_node_line(node))

    def _groups(self) -> Iterator[list[str]]:
        """Yields the names that share a process: each alone, but for those that need the framework."""
        with_backend = [name for name, item in self.implementations.items() if item.needs_backend]
        for name, implementation in self.implementations.items():
            if not implementation.needs_backend:
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
            # The row comes first, so that its first call is the one that compiles.
            for count in dict.fromkeys((self.config.events, *counts)):
                expected = self.implementations[name].expected_bytes(count)
                entry = entries[name][count] = {"events": count, "expected_memory_bytes": expected}
                if reason := self._obstacle(name, count):
                    entry["left_out"] = reason
                else:
                    tasks.append(self._task(name, count))

        def alone() -> Any:
            return run_alone(worker.measure_in_turn, tasks, Meeting())

        if tasks:
            measured = self._with_copies(alone) if self.scored in names else alone()
            for task, figures in zip(tasks, measured, strict=True):
                entries[task.name][task.events] |= figures
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
            **entry,
        }
        return row if "left_out" in row else {**row, "roofline_share": self._roofline_share(row)}

    def _node(self, count: int, scored: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what several processes measured side by side, repetition by repetition.

        Raises:
            RunFailedError: One of them calculated something else than the implementation did alone.
        """
        task = Task(self.kernel, self.config, self.scored, self.config.events, calls=scored["calls"])
        measured = run_side_by_side(count, worker.measure, task)
        for figures in (one["figures"] for one in measured):
            for ours, alone in zip(figures, scored["figures"], strict=True):
                if not math.isclose(ours, alone, rel_tol=self._allowed_difference(self.scored)):
                    raise RunFailedError(
                        f"{count} processes: expected the loss {alone!r} of one process, got {ours!r}"
                    )
        first = measured[0]
        return {
            "processes": count,
            "calls": first["calls"],
            "ensembles_per_call": first["ensembles_per_call"],
            "started_at": [
                list(times) for times in zip(*(one["started_at"] for one in measured), strict=True)
            ],
            "seconds": [list(times) for times in zip(*(one["seconds"] for one in measured), strict=True)],
        }

    def _obstacle(self, name: str, events: int) -> str:
        """Says why an implementation cannot run here with a number of events; empty if it can."""
        implementation = self.implementations[name]
        if implementation.missing:
            return implementation.missing
        expected, room = implementation.expected_bytes(events), self._room(implementation.needs_backend)
        if room is None or expected <= room:
            return ""
        return (
            f"{events} events are expected to take {expected / 1e9:.1f} GB; {room / 1e9:.1f} GB are available"
        )

    def _room(self, on_device: bool) -> int | None:
        """Returns the memory for an implementation, in bytes; None where it is not known."""
        if on_device and self.context.backend.device() == "gpu":
            return self.context.backend.device_memory_total_bytes()
        return memory_available_bytes()

    def _with_copies(self, work: Callable[[], T]) -> T:
        """Does the work beside all copies of the run, and keeps the machine busy until the last has ended."""
        meeting = self.context.meeting
        meeting.meet()
        result = work()
        meeting.keep_busy(work)
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

    def _roofline_share(self, row: dict[str, Any]) -> float | None:
        """Returns the least time that the rates of the cores allow over the measured time; None on a GPU."""
        implementation, machine = self.implementations[row["implementation"]], self.fields["machine"]
        if implementation.needs_backend and self.context.backend.device() == "gpu":
            return None
        least = max(
            implementation.operations_per_event / machine["operations_per_second"],
            implementation.bytes_per_event / machine["copy_bytes_per_second"],
        )
        return float(least * self.config.events / ensemble_seconds(row) / row["threads"])


def _row_line(row: dict[str, Any]) -> str:
    name = row["implementation"]
    if "left_out" in row:
        return f"{name}: left out: {row['left_out']}"
    return f"{name}: {1000 * ensemble_seconds(row):.4g} ms for an ensemble of {row['events']} events"


def _node_line(node: dict[str, Any]) -> str:
    if not is_quotable(node):
        return f"{node['processes']} processes: not quoted, because they did not start and end together"
    rates = sorted(ensembles_per_hour(node))
    return f"{node['processes']} processes: {rates[len(rates) // 2]:.4g} ensembles/h"
