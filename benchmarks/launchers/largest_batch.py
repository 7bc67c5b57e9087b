"""The largest batch that really fits, found by trying: each try is a short run under a memory limit."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.config import as_training
from benchmarks.errors import RunFailedError, Terminated
from benchmarks.fit import Room, largest_batch, most_events, search_largest, with_batch
from benchmarks.launchers.memory_limit import limited_group
from benchmarks.launchers.sweep import PlannedRun, SignalRelay, run_one
from benchmarks.machine.memory import memory_available_bytes
from benchmarks.resolution import Resolved
from benchmarks.result import RunResult
from benchmarks.runner import DOES_NOT_FIT
from benchmarks.stopping import on_stopping
from benchmarks.timing import clock
from benchmarks.workload import make_events, presets

# As much more than the formula says is tried, because the events of the tries are made once for all of them.
_REACH = 4
# A try is as short as a run can be. What it computes is not judged, only whether it comes to its end.
_SHORT_RUN: dict[str, Any] = {
    "epochs": 2,
    "warmup_epochs": 1,
    "min_steps": 1,
    "max_loss": 0.0,
    "inference_seconds": 0.0,
    "require_quiet": False,
    "check_memory": False,
}
# At the limit the kernel may take the pages of a program's own code, again and again, and kill nobody.
_PATIENCE, _LEAST_SECONDS, _FIRST_SECONDS = 5.0, 60.0, 900.0
_SWITCHES = ["--quiet", "--force"]


def measure_largest_batch(resolved: Resolved, room: Room, tell: Callable[[str], None]) -> str:
    """Tries batches and returns a line with the largest that fits.

    Args:
        resolved: The configuration.
        room: Memory that a try may take. Of a GPU, the device itself refuses what does not fit.
        tell: Takes a line about each try.

    Raises:
        UsageError: This process may not limit memory, or the configuration is not that of a training.
        RunFailedError: A try ended for another reason than memory, or the data are wrong.
        Terminated: A signal came.
        DataError: The events cannot be made.
    """
    config = as_training(resolved.config, "fit --measure")
    predicted, _ = largest_batch(config.with_auto_resolved(room.device, room.size), room.size)
    bound = min(most_events(config), max(_REACH * predicted, config.batch_size))
    short = dataclasses.replace(config, train_events=bound, **_SHORT_RUN)
    short = dataclasses.replace(short, validation_events=min(bound, config.validation_events))

    relay = SignalRelay()
    with tempfile.TemporaryDirectory(prefix="hepbench-fit-") as scratch:
        # The events are made outside the limit, which is for the training.
        if not config.data:
            folder = make_events(config.workload, with_batch(short, 1), Path(scratch) / "data", tell)
            short = dataclasses.replace(short, data=str(folder))
        fits = partial(_fits, Resolved(resolved.preset, short, resolved.origins), room, Path(scratch), relay)
        durations: list[float] = []  # of the tries that fit, in seconds

        def try_batch(batch: int) -> bool:
            patience = max(_LEAST_SECONDS, _PATIENCE * max(durations)) if durations else _FIRST_SECONDS
            started_at = clock()
            does_fit, words = fits(batch, patience)
            if does_fit:
                durations.append(clock() - started_at)
            tell(f"batch {batch}: {words}")
            return does_fit

        with on_stopping(relay):
            largest = search_largest(try_batch, predicted, bound)
    if not largest:
        return f"no batch fits into {room.size / 1e9:.1f} GB; {config.how_to_shrink}"
    more = f", and none larger than {bound} was tried" if largest == bound else ""
    heading = f"largest batch that fits into {room.size / 1e9:.1f} GB"
    return f"{heading}: {largest}{more} (by the formula: {predicted})"


def _fits(
    resolved: Resolved, room: Room, scratch: Path, relay: SignalRelay, batch: int, patience: float
) -> tuple[bool, str]:
    """Runs a try, and returns whether it fits and how it ended in words.

    Args:
        resolved: The configuration of all tries.
        room: Memory that a try may take.
        scratch: Folder of the tries.
        relay: Passes signals on to the try.
        batch: The batch.
        patience: Seconds after which a try is ended.

    Raises:
        RunFailedError: It ended for another reason than memory, which says nothing about the batch.
    """
    config = with_batch(as_training(resolved.config, "fit"), batch)
    base = presets(config.workload)[resolved.preset]
    keys = (field.name for field in dataclasses.fields(config))
    changed = tuple(key for key in keys if getattr(config, key) != getattr(base, key))
    tried = dataclasses.replace(resolved, config=config, changed=changed)
    log = scratch / f"batch-{batch}.log"
    with limited_group(_host_limit(room)) as group:
        planned = PlannedRun(tried, prefix=group.prefix(log))
        timer = threading.Timer(patience, group.end)
        timer.start()
        try:
            result = run_one(planned, scratch / f"batch-{batch}", _SWITCHES, relay)
            is_out_of_time = timer.finished.is_set()
        finally:
            timer.cancel()
        kills, reached_limit = group.kills(), group.reached_limit()
    if relay.signal:
        raise Terminated(relay.signal)
    if is_out_of_time and reached_limit:
        return False, f"does not fit: ended after {patience:.0f} s of hardly any progress at the limit"
    if is_out_of_time:
        raise RunFailedError(f"--measure: batch {batch}: not at its end after {patience:.0f} s")
    last_lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:] if log.exists() else []
    return _outcome(result, kills, batch, *last_lines)


def _outcome(result: RunResult, kills: int, batch: int, last_line: str = "") -> tuple[bool, str]:
    """Returns whether a try fits, and how it ended in words.

    Args:
        result: Of the try.
        kills: How many of its processes the kernel has killed for memory.
        batch: The batch.
        last_line: Of what the try wrote to standard error. It says why there is no result.

    Raises:
        RunFailedError: It ended for another reason than memory.
    """
    # Inference comes last, so a run that has reached it has had all the memory that it needs.
    if result.inference:
        peak = result.peak_memory_bytes
        return True, f"fits, peak {peak.get('device', peak['host']) / 1e9:.2f} GB"
    if kills:
        return False, "does not fit: killed for memory"
    if result.reason.startswith(DOES_NOT_FIT):
        return False, f"{DOES_NOT_FIT}: the framework is out of memory"
    reason = f"{result.reason}: {last_line}" if result.reason.startswith("no result") else result.reason
    raise RunFailedError(f"--measure: batch {batch}: {result.status}: {reason}")


def _host_limit(room: Room) -> int:
    """Returns the host memory that a try may take, in bytes."""
    return room.size if room.device == "cpu" else memory_available_bytes()
