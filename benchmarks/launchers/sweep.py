"""A series of runs, a fresh process each, one by one, and their comparison: one for each value of a key."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import click

from benchmarks import report
from benchmarks.config import Resolved
from benchmarks.errors import UsageError
from benchmarks.output import EXIT_FAILED, check_folder, default_folder, this_program
from benchmarks.result import RunResult, file_stamp, read_result
from benchmarks.stopping import on_stopping


def configurations(
    sweeps: Sequence[str],
    assignments: Iterable[str],
    flags: Mapping[str, Any],
    resolve: Callable[[str], Resolved],
) -> dict[str, Resolved]:
    """The runs of a sweep under their names ``KEY=VALUE``.

    Args:
        sweeps: What ``--sweep`` got: one ``KEY=A,B,...``.
        assignments: ``KEY=VALUE`` texts that every run gets, too.
        flags: Values of command-line flags that every run gets; None means not given.
        resolve: Makes a configuration with one more ``KEY=VALUE``.

    Raises:
        UsageError: Not one key with values, a key that is given elsewhere as well, a value that
            stands there twice, or one that the configuration does not take.
    """
    if len(sweeps) > 1:
        raise UsageError(f"--sweep: expected one key, got {len(sweeps)}: {' '.join(sweeps)}")
    key, values = _split(sweeps[0])
    elsewhere = {item.partition("=")[0].strip(): "--set" for item in assignments}
    elsewhere |= {name: f"--{name.replace('_', '-')}" for name, value in flags.items() if value is not None}
    if key in elsewhere:
        raise UsageError(f"{key}: --sweep and {elsewhere[key]} contradict each other; leave one of them out")
    runs: dict[str, Resolved] = {}
    for name in (f"{key}={value}" for value in values):
        resolved = resolve(name)
        for other, earlier in runs.items():
            if earlier.config == resolved.config:
                raise UsageError(f"--sweep: expected each value once, got {other} and {name}")
        runs[name] = resolved
    return runs


def _split(text: str) -> tuple[str, list[str]]:
    key, _, listed = text.partition("=")
    values = [value.strip() for value in listed.split(",")]
    if not key.strip() or not all(values):
        raise UsageError(f"--sweep: expected KEY=A,B,..., got {text!r}")
    return key.strip(), values


def run_sweep(
    runs: Mapping[str, Resolved],
    output: Path | None,
    *,
    force: bool,
    quiet: bool,
    debug: bool,
    ranks: Sequence[str] = (),
) -> int:
    """Runs them all, whether or not one fails, until a signal comes; prints the comparison.

    Args:
        runs: What to run, see ``configurations``.
        output: Folder of the runs' folders ``KEY-VALUE``; None for one with the time in its name.
        force: Replace results that are there.
        quiet: Nothing on the terminal but a line for each run that did not end well.
        debug: Tracebacks on the terminal, too.
        ranks: Options of a run that say how many ranks it has.

    Returns:
        Exit code: 0, 1 if a run failed, 130 or 143 after a signal.

    Raises:
        UsageError: A folder cannot be used, or holds a result and ``force`` is not given.
    """
    planned = {name: Planned(resolved, tuple(ranks)) for name, resolved in runs.items()}
    parent = output or default_folder(next(iter(runs.values())))
    code, _ = run_series(planned, parent, force=force, quiet=quiet, debug=debug)
    return code


@dataclass(frozen=True)
class Planned:
    """A run of a series.

    Attributes:
        options: Of ``hepbench run``, beside those that say the configuration.
        cores: How many of the cores it gets; 0 for all.
    """

    resolved: Resolved
    options: tuple[str, ...] = ()
    cores: int = 0


def run_series(
    runs: Mapping[str, Planned], parent: Path, *, force: bool, quiet: bool, debug: bool
) -> tuple[int, dict[str, RunResult]]:
    """Runs what is planned, in folders of its names below ``parent``; else as ``run_sweep``.

    Returns:
        Exit code and what the runs measured, of those that were started.
    """
    folders = {name: parent / folder_name(name) for name in runs}
    switches = [f"--{name}" for name, on in {"force": force, "quiet": quiet, "debug": debug}.items() if on]
    relay, results = _Relay(), dict[str, RunResult]()
    made = check_folder(parent, force=True)  # whatever else lies there stays
    try:
        for folder in folders.values():
            if check_folder(folder, force):
                folder.rmdir()  # its run makes it
        with on_stopping(relay):
            for number, (name, planned) in enumerate(runs.items(), start=1):
                if relay.signal:
                    break
                if not quiet:
                    click.echo(f"run {number} of {len(runs)}: {name}", err=True)
                results[name] = _run(planned, folders[name], switches, relay)
    finally:
        if made:
            with suppress(OSError):  # not empty, unless no run came as far as a result
                parent.rmdir()
    if len(results) > 1 and not quiet:
        click.echo(f"\n{report.comparison(list(results.items()))}")
    bad = [name for name in runs if name not in results or results[name].status != "ok"]
    for name in bad:
        outcome = f"{results[name].status}: {results[name].reason}" if name in results else "not run"
        click.echo(f"hepbench: {name}: {outcome}", err=True)
    if relay.signal:
        return 128 + relay.signal, results
    return (EXIT_FAILED if bad else 0), results


def folder_name(name: str) -> str:
    """``KEY-VALUE``, with %2F for a slash and its like: another name for every other value."""
    key, _, value = name.partition("=")
    return f"{key}-{quote(value, safe='')}"


class _Relay:
    """Hands signals on to the run under way, which heeds the first: a terminal may have told it already."""

    def __init__(self) -> None:
        self.signal = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.signal = self.signal or number
        if self._process is not None:
            self._process.send_signal(number)

    def run(self, command: Sequence[str]) -> int:
        """Runs a command to its end; returns its exit code, or minus the signal that ended it."""
        self._process = subprocess.Popen(command)
        if self.signal:  # it came before there was a process to tell
            self._process.send_signal(self.signal)
        return self._process.wait()


def _run(planned: Planned, folder: Path, switches: Sequence[str], relay: _Relay) -> RunResult:
    """One run as a person starts it; what it left, or else a record of how it ended."""
    resolved = planned.resolved
    settings = [f"--set={key}={getattr(resolved.config, key)}" for key in resolved.changed]
    wanted = ["run", resolved.config.workload, f"--preset={resolved.preset}", *settings]
    file = folder / "result.json"
    before = file_stamp(file)
    with on_cores(planned.cores):
        code = relay.run([*this_program(), *wanted, f"--output={folder}", *switches, *planned.options])
    if file_stamp(file) != before:
        return read_result(file)
    return RunResult(
        workload=resolved.config.workload,
        status="interrupted" if relay.signal else "failed",
        reason=f"no result, {signal.Signals(-code).name if code < 0 else f'exit code {code}'}",
        config=resolved.to_dict(),
        seed=resolved.config.seed,
    )


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """What starts in here may use the first so many cores of this process; 0 for all."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[: count or None])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
