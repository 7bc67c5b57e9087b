"""What fits into memory, by the formula of each configuration, without a framework."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import backends
from benchmarks.config import PRECISIONS, RunConfig, TrainingConfig
from benchmarks.errors import UsageError
from benchmarks.machine import nvml
from benchmarks.machine.memory import memory_available_bytes
from benchmarks.report import align
from benchmarks.resolution import Resolved

_MODE = "memory_mode"  # the key of workloads that can trade memory for time
_TRAINING_LEGEND = """\
up to N    the batch of the preset fits, and N events a step are the most that do
up to N+   more would fit, but the preset has no events for more
only N     a smaller batch fits
no         one event a step is expected to take as much as it says"""
_KERNEL_LEGEND = "An implementation that takes more is left out of a run, which says so."


@dataclass(frozen=True)
class Room:
    """Memory that a run may take.

    Attributes:
        size: In bytes.
        device: ``gpu`` or ``cpu``, where the model runs.
        origin: In words, where the size comes from.
    """

    size: int
    device: str
    origin: str


def room_for_runs(size: int | None = None) -> Room:
    """Returns the memory of the device that a run would use on this machine.

    Args:
        size: Memory to take in place of the machine's, in bytes.
    """
    gpus = nvml.visible_handles()
    device = "gpu" if gpus else "cpu"
    if size is not None:
        return Room(size, device, f"as asked for, on a {device.upper()}")
    for gpu in gpus.values():
        if (memory := nvml.read("nvmlDeviceGetMemoryInfo", gpu)) is not None:
            return Room(int(memory.total), device, "the memory of the first GPU of this machine")
    return Room(memory_available_bytes(), device, "the memory that is available on this machine")


def table_of_fits(candidates: Sequence[Resolved], room: Room) -> str:
    """Returns a table of what fits: a line for each preset and memory mode, a column for each precision.

    Args:
        candidates: Configurations of one workload, one for each preset.
        room: Memory that there is.
    """
    precisions = _choices(candidates[0].config, "precision", PRECISIONS)
    has_modes = bool(_modes(candidates[0].config))
    rows = [("preset", *(("memory mode",) if has_modes else ()), "batch", *precisions)]
    for candidate in candidates:
        config = candidate.config.with_auto_resolved(room.device, room.size)
        batch = str(config.batch_size) if isinstance(config, TrainingConfig) else "-"
        for mode in _modes(config) or [""]:
            changes: dict[str, Any] = {_MODE: mode} if mode else {}
            cells = (
                _cell(dataclasses.replace(config, precision=precision, **changes), room.size)
                for precision in precisions
            )
            rows.append((candidate.preset, *((mode,) if has_modes else ()), batch, *cells))

    heading = f"{candidates[0].config.workload} in {room.size / 1e9:.1f} GB ({room.origin}):"
    is_training = isinstance(candidates[0].config, TrainingConfig)
    return "\n".join([heading, "", *align(rows), "", _TRAINING_LEGEND if is_training else _KERNEL_LEGEND])


def largest_batch(config: TrainingConfig, room: int) -> tuple[int, bool]:
    """Returns the largest batch that is expected to fit, and whether it is the largest that can be asked for.

    Args:
        config: Of one rank.
        room: Memory that there is, in bytes.

    Returns:
        Events of a step, 0 if not even one fits, and whether the events of an epoch allow no more.
    """
    most = _last(lambda batch: _is_allowed(with_batch(config, batch)), most_events(config))
    largest = _last(lambda batch: with_batch(config, batch).expected_memory_bytes() <= room, most)
    return largest, largest == most


def with_batch(config: TrainingConfig, batch: int) -> TrainingConfig:
    """Returns the configuration with another batch."""
    return dataclasses.replace(config, batch_size=batch, global_batch_size=0)


def most_events(config: TrainingConfig) -> int:
    """Returns the largest batch that the configuration takes, whether or not it fits."""
    (field,) = (field for field in dataclasses.fields(config) if field.name == "batch_size")
    return min(config.train_events, int(field.metadata["high"]))


def _cell(config: RunConfig, room: int) -> str:
    """Returns in words whether a configuration fits, and what would."""
    expected = config.expected_memory_bytes()
    if not isinstance(config, TrainingConfig):
        return f"{'yes' if expected <= room else 'no'}, {expected / 1e9:.1f} GB"
    largest, is_limited = largest_batch(config, room)
    if expected <= room:
        return f"up to {largest}{'+' if is_limited else ''}"
    if largest:
        return f"only {largest}"
    return f"no, {with_batch(config, 1).expected_memory_bytes() / 1e9:.1f} GB"


def _modes(config: RunConfig) -> list[str]:
    """Returns the memory modes that a workload offers, none for most workloads."""
    return [mode for mode in _choices(config, _MODE, ()) if mode != "auto"]


def _choices(config: RunConfig, key: str, default: Sequence[str]) -> tuple[str, ...]:
    """Returns the values that a key can have, on the backend of the configuration."""
    fields = {field.name: field for field in dataclasses.fields(config)}
    choices = fields[key].metadata["choices"] if key in fields else default
    allowed = backends.limited_choices(config).get(key, choices)
    return tuple(choice for choice in choices if choice in allowed)


def _is_allowed(config: TrainingConfig) -> bool:
    """Says whether a run takes the configuration, which has too few events for a batch that is too large."""
    try:
        config.for_ranks(1)
    except UsageError:
        return False
    return True


def _last(holds: Callable[[int], bool], high: int) -> int:
    """Returns the last number from 1 to ``high`` for which something holds that stops once; 0 for none."""
    return bisect_left(range(1, high + 1), True, key=lambda number: not holds(number))


def search_largest(fits: Callable[[int], bool], guess: int, bound: int) -> int:
    """Returns the largest number from 1 to ``bound`` that fits, or 0. A good guess needs few tries.

    Args:
        fits: Tries a number. Whatever is smaller than a number that fits has to fit, too.
        guess: First number to try.
        bound: Largest number to try.
    """
    low, high = 0, bound + 1
    probe = max(1, min(guess, bound))
    step = max(1, probe // 4)
    while high - low > 1:
        if fits(probe):
            low = probe
        else:
            high = probe

        # Away from the guess in growing steps until the limit lies between two tries, then by halves.
        if low and high <= bound:
            probe = (low + high) // 2
        else:
            probe = min(bound, low + step) if low else max(1, high - step)
            step *= 2
    return low
