"""``hepbench scale``: a series of runs on several numbers of ranks, each rank with the same resources."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import click

from benchmarks import report
from benchmarks.config import Resolved
from benchmarks.errors import UsageError
from benchmarks.launchers.sweep import Planned, run_series
from benchmarks.machine.cgroup import usable_cores
from benchmarks.output import default_folder
from benchmarks.ranks.horovod import NEEDS_HOROVOD
from benchmarks.ranks.place import found
from benchmarks.result import write_json
from benchmarks.scaling.figures import plot, scaling, table

FILE = "scaling.json"


def numbers(text: str) -> list[int]:
    """Reads ``--ranks``: several numbers of ranks, sorted.

    Raises:
        UsageError: They are fewer than two, one stands there twice, or one is none.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts) or len(set(map(int, parts))) < len(parts):
        raise UsageError(f"--ranks: expected different whole numbers A,B,... from 1, got {text!r}")
    if len(parts) < 2:
        raise UsageError(f"--ranks: expected at least two numbers A,B,..., got {text!r}")
    return sorted(map(int, parts))


def run_scale(
    resolved: Resolved,
    ranks: Sequence[int],
    mode: str,
    output: Path | None,
    *,
    picture: Path | None,
    force: bool,
    quiet: bool,
    debug: bool,
) -> int:
    """Runs on each number of ranks, one after another; writes and prints how it scales.

    Args:
        resolved: What to run.
        ranks: Numbers of ranks, from the smallest.
        mode: ``weak`` (the batch of each rank stays) or ``strong`` (that of all ranks together).
        output: Folder of ``scaling.json`` and of the runs' folders; None for one with the time in its name.
        picture: File to draw into; None for none.
        force: Replace results that are there.
        quiet: Nothing on the terminal but a line for each run that did not end well.
        debug: Tracebacks on the terminal, too.

    Returns:
        Exit code: 0, 1 if a run failed, 130 or 143 after a signal.

    Raises:
        UsageError: The call cannot be carried out on this machine.
    """
    if (launcher := found(os.environ).launcher) != "":
        raise UsageError(f"scale: started by {launcher}; it starts its ranks itself, on one machine")
    runs = plan(resolved, ranks, mode, usable_cores())
    if find_spec("horovod") is None:
        raise UsageError(NEEDS_HOROVOD)
    folder = output or default_folder(resolved)
    file = folder / FILE
    if file.exists() and not force:
        raise UsageError(f"{file} exists; choose another --output or give --force to replace it")
    if picture is not None:  # an empty one: what is wrong with the call shows now, and not in hours
        report.draw(picture, lambda _upper, _lower: None)
        picture.unlink()
    code, results = run_series(runs, folder, force=force, quiet=quiet, debug=debug)
    file.unlink(missing_ok=True)
    fine = {name: result for name, result in results.items() if result.status == "ok"}
    measured = {count: fine[name] for count in ranks if (name := f"ranks={count}") in fine}
    fewer = next((result for name, result in fine.items() if not name.startswith("ranks=")), None)
    if len(measured) < 2 or ranks[0] not in measured or (mode == "strong" and fewer is None):
        click.echo(f"hepbench: no {FILE}: the runs that it compares are not there", err=True)
        return code
    content = scaling(mode, measured, fewer)
    write_json(file, content)
    if not quiet:
        click.echo(f"\n{table(content)}")
    if picture is not None:
        plot(content, picture)
    return code


def plan(resolved: Resolved, ranks: Sequence[int], mode: str, cores: int) -> dict[str, Planned]:
    """The runs of a series: one for each number of ranks, each rank with as many cores as any other.

    Strong scaling gets one more, on the fewest ranks with the batch that each has on the most: it tells the
    time of the events of a step from the time that a step takes in any case.

    Args:
        resolved: What to run.
        ranks: Numbers of ranks, from the smallest.
        mode: ``weak`` or ``strong``.
        cores: That there are for all ranks.

    Raises:
        UsageError: There are too few cores, or batches and events do not suit all numbers of ranks.
    """
    fewest, most = ranks[0], ranks[-1]
    if cores < most:
        raise UsageError(f"--ranks: expected at most the {cores} cores that may be used, got {most}")
    config = resolved.config
    if mode == "weak" and config.global_batch_size:
        raise UsageError("--mode weak keeps the batch of each rank: give --batch-size, not global_batch_size")
    if mode == "strong" and "batch_size" in resolved.changed:
        raise UsageError(
            "--mode strong keeps the batch of all ranks: give --global-batch-size, not batch_size"
        )
    if mode == "strong":
        resolved = _with_whole_batch(resolved, config.global_batch_size or config.batch_size)
    wanted = {f"ranks={count}": (resolved, count) for count in ranks}
    if mode == "strong":
        part = resolved.config.for_ranks(most).batch_size * fewest
        wanted[f"global_batch_size={part}"] = (_with_whole_batch(resolved, part), fewest)
    steps = [each.config.for_ranks(count).global_batch_size for each, count in wanted.values()]
    if config.train_events % (common := math.lcm(*steps)):
        suitable = max(1, config.train_events // common) * common
        raise UsageError(
            f"train_events: expected a multiple of {common}, so that no step is short on any of these ranks, "
            f"got {config.train_events}; --set train_events={suitable}"
        )
    return {
        name: Planned(each, (f"--ranks={count}",), cores // most * count)
        for name, (each, count) in wanted.items()
    }


def _with_whole_batch(resolved: Resolved, events: int) -> Resolved:
    changed = tuple(dict.fromkeys((*resolved.changed, "global_batch_size")))
    return replace(resolved, config=replace(resolved.config, global_batch_size=events), changed=changed)
