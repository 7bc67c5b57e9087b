"""``hepbench scale``: a series of runs on several numbers of ranks, each rank with the same resources."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from benchmarks import report
from benchmarks.config import TrainingConfig, as_training
from benchmarks.errors import UsageError
from benchmarks.files import write_json
from benchmarks.launchers.sweep import PlannedRun, run_series
from benchmarks.machine.cgroup import usable_cores
from benchmarks.output import RunOptions, output_folder
from benchmarks.ranks.horovod import NEEDS_HOROVOD
from benchmarks.ranks.place import place_from_environment
from benchmarks.ranks.variables import unknown_launcher
from benchmarks.resolution import Resolved
from benchmarks.scaling.figures import FILE, plot, scaling, table
from benchmarks.streams import say


def parse_rank_counts(text: str) -> list[int]:
    """Returns the numbers of ranks in a value of ``--ranks`` such as ``1,2,4``, sorted.

    Raises:
        UsageError: There are fewer than two numbers, one is given twice, or a part is no number from 1.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts) or len(set(map(int, parts))) < len(parts):
        raise UsageError(f"--ranks: expected different whole numbers A,B,... from 1, got {text!r}")
    if len(parts) < 2:
        raise UsageError(f"--ranks: expected at least two numbers A,B,..., got {text!r}")
    return sorted(map(int, parts))


def run_scale(
    resolved: Resolved, ranks: Sequence[int], mode: str, options: RunOptions, picture: Path | None
) -> int:
    """Runs on each number of ranks, one after another, then writes and prints how the workload scales.

    Args:
        resolved: What to run.
        ranks: Numbers of ranks, from the smallest.
        mode: ``weak`` keeps the batch of each rank, and ``strong`` that of all ranks together.
        options: Where ``scaling.json`` and the folders of the runs go, and what is printed.
        picture: File to draw the scaling into, or None for no picture.

    Returns:
        Exit code: 0, 1 if a run failed, 128 plus its number after a signal.

    Raises:
        UsageError: The call cannot be carried out on this machine.
    """
    if launcher := place_from_environment(os.environ).launcher or unknown_launcher(os.environ):
        raise UsageError(f"scale: started by {launcher}; it starts its ranks itself, on one machine")
    runs = plan_runs(resolved, ranks, mode, usable_cores())
    if find_spec("horovod") is None:
        raise UsageError(NEEDS_HOROVOD)
    with output_folder(replace(options, force=True), resolved) as folder:
        return _run_in_folder(runs, folder, ranks, mode, options, picture)


def _run_in_folder(
    runs: Mapping[str, PlannedRun],
    folder: Path,
    ranks: Sequence[int],
    mode: str,
    options: RunOptions,
    picture: Path | None,
) -> int:
    """Runs and compares as ``run_scale`` does, in a folder that is there, and returns the exit code."""
    file = folder / FILE
    if file.exists() and not options.force:
        raise UsageError(f"{file} exists; choose another --output or give --force to replace it")

    # An empty picture shows what is wrong with the call now, and not after hours of runs.
    if picture is not None:
        report.draw(picture, lambda _upper, _lower: None)
        picture.unlink()

    # An older file goes, because it would pass for that of this series if a run fails.
    code, results = run_series(runs, folder, options)
    file.unlink(missing_ok=True)

    # The comparison needs the fewest ranks, and for strong scaling the run with the smaller batch.
    good = {name: result for name, result in results.items() if result.status == "ok"}
    measured = {count: good[name] for count in ranks if (name := f"ranks={count}") in good}
    smaller_batch = next((result for name, result in good.items() if not name.startswith("ranks=")), None)
    if len(measured) < 2 or ranks[0] not in measured or (mode == "strong" and smaller_batch is None):
        say(f"hepbench: no {FILE}: the runs that it compares are not there", err=True)
        return code

    content = scaling(mode, measured, smaller_batch)
    write_json(file, content)
    if not options.quiet:
        say(f"\n{table(content)}")
    if picture is not None:
        plot(content, picture)
    return code


def plan_runs(resolved: Resolved, ranks: Sequence[int], mode: str, cores: int) -> dict[str, PlannedRun]:
    """Returns the runs of a series by name: one for each number of ranks, with as many cores for each rank.

    Strong scaling gets one run more, on the fewest ranks with the batch that each rank has on the most ranks.
    It separates the time of the events of a step from the time that a step takes in any case.

    Args:
        resolved: What to run.
        ranks: Numbers of ranks, from the smallest.
        mode: ``weak`` or ``strong``, see ``run_scale``.
        cores: Number of cores for all ranks.

    Raises:
        UsageError: There are too few cores, or batches and events do not suit all numbers of ranks.
    """
    fewest, most = ranks[0], ranks[-1]
    if cores < most:
        raise UsageError(f"--ranks: expected at most the {cores} cores that may be used, got {most}")
    config = _training_config(resolved)

    # Each mode keeps one batch size, so that the other one cannot be set.
    if mode == "weak" and config.global_batch_size:
        raise UsageError("--mode weak keeps the batch of each rank: give --batch-size, not global_batch_size")
    if mode == "strong" and "batch_size" in resolved.changed:
        raise UsageError(
            "--mode strong keeps the batch of all ranks: give --global-batch-size, not batch_size"
        )

    # A configuration and a number of ranks make a run.
    if mode == "strong":
        resolved = _with_global_batch(resolved, config.global_batch_size or config.batch_size)
    runs = {f"ranks={count}": (resolved, count) for count in ranks}
    if mode == "strong":
        batch_size = _training_config(resolved).for_ranks(most).batch_size * fewest
        runs[f"global_batch_size={batch_size}"] = (_with_global_batch(resolved, batch_size), fewest)

    # A short step at the end of an epoch would take another time for each event than the others. Whatever is
    # wrong with the number of events, the line names one that suits all of the runs.
    step_sizes = [_training_config(run).events_per_step(count) for run, count in runs.values()]
    common = math.lcm(*step_sizes)
    fewest_events = math.ceil(config.min_steps * max(step_sizes) / common) * common
    suitable = max(fewest_events, config.train_events // common * common)
    if config.train_events % common:
        raise UsageError(
            f"train_events: expected a multiple of {common}, so that no step is short on any of these ranks, "
            f"got {config.train_events}; --set train_events={suitable}"
        )
    if config.train_events < fewest_events:
        raise UsageError(
            f"train_events: expected at least {config.min_steps} steps in an epoch (min_steps) on any of "
            f"these ranks, got {config.train_events // max(step_sizes)}; --set train_events={suitable}"
        )
    for run, count in runs.values():
        _training_config(run).for_ranks(count)
    return {
        name: PlannedRun(run, (f"--ranks={count}",), cores // most * count)
        for name, (run, count) in runs.items()
    }


def _training_config(resolved: Resolved) -> TrainingConfig:
    return as_training(resolved.config, "scale")


def _with_global_batch(resolved: Resolved, events: int) -> Resolved:
    """Returns a configuration with another number of events in a step of all ranks together."""
    changed = tuple(dict.fromkeys((*resolved.changed, "global_batch_size")))
    config = replace(_training_config(resolved), global_batch_size=events)
    return replace(resolved, config=config, changed=changed)
