"""A series of runs, one after another and each in a process of its own, and their comparison."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

from benchmarks.errors import UsageError
from benchmarks.files import file_stamp
from benchmarks.machine.cgroup import usable_cores
from benchmarks.machine.topology import ordered_cores
from benchmarks.output import EXIT_FAILED, RunOptions, check_folder, output_folder, this_program
from benchmarks.resolution import Resolved
from benchmarks.result import RunResult, read_result
from benchmarks.side_by_side import Side, side_by_side
from benchmarks.stopping import on_stopping
from benchmarks.streams import say


def configurations(
    sweeps: Sequence[str],
    assignments: Iterable[str],
    flags: Mapping[str, Any],
    resolve: Callable[[str], Resolved],
) -> dict[str, Resolved]:
    """Returns the runs of a sweep under their names ``KEY=VALUE``.

    Args:
        sweeps: Values of ``--sweep``, of which there has to be one: ``KEY=A,B,...``.
        assignments: ``KEY=VALUE`` texts that every run gets, too.
        flags: Values of command-line flags that every run gets, None for a flag that is not given.
        resolve: Returns a configuration with one more ``KEY=VALUE``.

    Raises:
        UsageError: There is not one key with values, the key is given elsewhere, too, a value is given
            twice, or the configuration does not take a value.
    """
    if len(sweeps) > 1:
        raise UsageError(f"--sweep: expected one key, got {len(sweeps)}: {' '.join(sweeps)}")
    key, values = _split(sweeps[0])

    # A key has one origin: a sweep over a key that is set otherwise is a mistake.
    origins = {item.partition("=")[0].strip(): "--set" for item in assignments}
    origins |= {name: f"--{name.replace('_', '-')}" for name, value in flags.items() if value is not None}
    if key in origins:
        raise UsageError(f"{key}: --sweep and {origins[key]} contradict each other; leave one of them out")

    # Two spellings of one value, such as on and true, make the same configuration.
    runs: dict[str, Resolved] = {}
    for name in (f"{key}={value}" for value in values):
        resolved = resolve(name)
        for earlier_name, earlier in runs.items():
            if earlier.config == resolved.config:
                raise UsageError(f"--sweep: expected each value once, got {earlier_name} and {name}")
        runs[name] = resolved
    return runs


def _split(text: str) -> tuple[str, list[str]]:
    key, _, listed = text.partition("=")
    values = [value.strip() for value in listed.split(",")]
    if not key.strip() or not all(values):
        raise UsageError(f"--sweep: expected KEY=A,B,..., got {text!r}")
    return key.strip(), values


def run_sweep(runs: Mapping[str, Resolved], options: RunOptions, rank_options: Sequence[str] = ()) -> int:
    """Runs a sweep, whether or not one of the runs fails, until a signal comes, and prints the comparison.

    Args:
        runs: What to run, see ``configurations``.
        options: Where the folders ``KEY-VALUE`` of the runs go, and what is printed.
        rank_options: Options of a run that say how many ranks it has, such as ``--ranks=2``.

    Returns:
        Exit code: 0, 1 if a run failed, 128 plus its number after a signal.

    Raises:
        UsageError: A folder cannot be used, or holds a result and ``force`` is not given.
    """
    planned_runs = {name: PlannedRun(resolved, tuple(rank_options)) for name, resolved in runs.items()}
    with output_folder(replace(options, force=True), next(iter(runs.values()))) as folder:
        code, _ = run_series(planned_runs, folder, options)
    return code


def compare_several(results: Mapping[str, RunResult]) -> str:
    """Returns the results side by side, or an empty string where there is nothing to compare."""
    if len(results) < 2:
        return ""
    return side_by_side([Side(name, (result,)) for name, result in results.items()])


@dataclass(frozen=True)
class PlannedRun:
    """A run of a series.

    Attributes:
        resolved: The configuration.
        rank_options: Options of ``hepbench run`` that say how many ranks it has.
        cores: How many cores the run gets, or 0 for all.
        prefix: Words before the command, such as those of a program that limits it.
    """

    resolved: Resolved
    rank_options: tuple[str, ...] = ()
    cores: int = 0
    prefix: tuple[str, ...] = ()


def run_series(
    runs: Mapping[str, PlannedRun],
    parent: Path,
    options: RunOptions,
    describe: Callable[[Mapping[str, RunResult]], str] = compare_several,
) -> tuple[int, dict[str, RunResult]]:
    """Runs a series as ``run_sweep`` does.

    Args:
        runs: What to run, by names ``KEY=VALUE``.
        parent: Folder for the folders ``KEY-VALUE`` of the runs, in place of ``options.output``.
        options: What may be replaced, and what is printed.
        describe: Returns what is printed of the results at the end, or an empty string for nothing.

    Returns:
        Exit code, and the results of the runs that were started, by their names.

    Raises:
        UsageError: A folder cannot be used, or holds a result and ``force`` is not given.
    """
    folders = {name: parent / folder_name(name) for name in runs}
    relay, results = SignalRelay(), dict[str, RunResult]()
    is_new = check_folder(parent, force=True)  # whatever else is in it stays
    try:
        # All folders are checked before the first run starts.
        for folder in folders.values():
            if check_folder(folder, options.force):
                folder.rmdir()  # its run makes it

        with on_stopping(relay):
            for number, (name, planned) in enumerate(runs.items(), start=1):
                if relay.signal:
                    break
                if not options.quiet:
                    say(f"run {number} of {len(runs)}: {name}", err=True)
                results[name] = run_one(planned, folders[name], options.switches(), relay)
    finally:
        if is_new:
            with suppress(OSError):  # the folder is empty only if no run came as far as a result
                parent.rmdir()

    # One line for each bad run comes last, where a person sees it.
    if not options.quiet and (text := describe(results)):
        say(f"\n{text}")
    bad_runs = [name for name in runs if name not in results or results[name].status != "ok"]
    for name in bad_runs:
        outcome = f"{results[name].status}: {results[name].reason}" if name in results else "not run"
        say(f"hepbench: {name}: {outcome}", err=True)
    if relay.signal:
        return 128 + relay.signal, results
    return (EXIT_FAILED if bad_runs else 0), results


def folder_name(name: str) -> str:
    """Returns ``KEY-VALUE`` for ``KEY=VALUE``, with a slash and its like encoded as in ``%2F``."""
    key, _, value = name.partition("=")
    return f"{key}-{quote(value, safe='')}"


class SignalRelay:
    """Passes signals on to the run under way, which acts on the first one only.

    A terminal may have sent the same signal to the run already.

    Attributes:
        signal: First signal that this process has got, or 0.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Notes the first signal and passes each one on."""
        self.signal = self.signal or number
        if self._process is not None:
            self._process.send_signal(number)

    def run(self, command: Sequence[str]) -> int:
        """Runs a command to its end and returns its exit code, or minus the signal that ended it."""
        self._process = subprocess.Popen(command)
        if self.signal:  # it came before there was a process to send it to
            self._process.send_signal(self.signal)
        return self._process.wait()


def run_one(planned: PlannedRun, folder: Path, switches: Sequence[str], relay: SignalRelay) -> RunResult:
    """Runs one run as a person starts it, and returns its result, or a record of how it ended without one."""
    resolved = planned.resolved
    settings = [f"--set={key}={getattr(resolved.config, key)}" for key in resolved.changed]
    call = ["run", resolved.config.workload, f"--preset={resolved.preset}", *settings]
    call += [f"--output={folder}", *switches, *planned.rank_options]
    command = [*planned.prefix, *this_program(), *call]

    # The folder may hold an older result, which is not that of this run.
    file = folder / "result.json"
    stamp = file_stamp(file)
    with on_cores(planned.cores):
        code = relay.run(command)
    if file_stamp(file) != stamp:
        return read_result(file)

    status = "interrupted" if relay.signal else "failed"
    reason = f"no result, {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"
    return RunResult.without_figures(resolved.to_dict(), 1, status, reason)


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Limits this process and what it starts to ``count`` cores in the ``with`` block, or to all for 0."""
    cores = os.sched_getaffinity(0)
    # A control group may leave less than the cores that are listed.
    usable = ordered_cores(sorted(cores)[: usable_cores()])
    os.sched_setaffinity(0, usable[:count] if count else cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
