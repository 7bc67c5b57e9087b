"""A run of any kind: ranks, machine and record around what its kind measures, and how it ended.

Names no workload and no framework.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import backends, workload
from benchmarks.backends import Backend
from benchmarks.config import RunConfig
from benchmarks.context import Context, ResultFields
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.kernels import run as _kernel
from benchmarks.machine import provenance
from benchmarks.machine.cgroup import usable_cores
from benchmarks.machine.energy import energy_of_scores
from benchmarks.machine.limits import check_threads
from benchmarks.machine.memory import host_memory_peak_bytes, memory_available_bytes
from benchmarks.machine.phases import summarise_phases
from benchmarks.machine.telemetry import Telemetry, together
from benchmarks.progress import Progress
from benchmarks.ranks import horovod
from benchmarks.ranks.meeting import Meeting, meeting_from_environment
from benchmarks.ranks.place import ALONE, Place, gpu_sensors_of, handles_of_node
from benchmarks.resolution import Resolved
from benchmarks.result import RunResult
from benchmarks.scores import account
from benchmarks.serving import run as _service
from benchmarks.stopping import signal_name, signal_raised
from benchmarks.timeline import timeline
from benchmarks.training import run as _training
from benchmarks.verdict import verdict

# A framework has a pool for operations, one for what runs inside them, and a few threads of libraries.
THREADS_PER_CORE, OTHER_THREADS = 2, 8
DOES_NOT_FIT = "does not fit"  # how the reason of a run begins that memory was too small for
KINDS: Mapping[str, Callable[[Context, Any], None]] = {
    "training": _training.measure,
    "numerical kernel": _kernel.measure,
    "inference service": _service.measure,
}

log = logging.getLogger("hepbench")


def run(
    resolved: Resolved,
    progress: Progress,
    on_start: Callable[[], None] = lambda: None,
    on_end: Callable[[], None] = lambda: None,
    *,
    place: Place = ALONE,
    gpus: int = 0,
) -> RunResult:
    """Runs and measures; a run that fails or is stopped once it has its events still has a result.

    So has one whose ranks did not come together. Every rank of a run calls this. What it returns holds all
    ranks' figures on rank 0 only.

    Args:
        resolved: What to run.
        progress: Takes what a person is to see.
        on_start: Called once the call has proved right and the events are there.
        on_end: Called once it is known how the run ended: from then on nobody may stop it any more.
        place: Which rank this is.
        gpus: How many GPUs were asked for; 0 for whatever there is.

    Raises:
        UsageError: The call cannot be carried out on this machine.
        DataError: The events are damaged, too few, or cannot be made.
        RunFailedError: This rank, not the first one, found no others, or the machine leaves too few threads.
    """
    # The ranks come first: whatever follows may be agreed among them.
    restricted = backends.restrict(resolved.config, place.size)
    backend = backends.load(restricted.backend)
    config = restricted.for_ranks(place.size)
    try:
        world = horovod.join(place, backend.device())
    except RunFailedError as error:
        if place.rank:
            raise
        on_end()
        on_start()
        return RunResult.without_figures(resolved.to_dict(), place.size, "failed", str(error))
    if gpus and backend.device() != "gpu":
        raise UsageError(
            f"--gpus {gpus}: expected a framework that can use a GPU, got one without; see hepbench doctor"
        )

    # The data come before the framework is configured, because making them may start processes.
    config = dataclasses.replace(config, threads=config.threads or usable_cores())
    check_threads(THREADS_PER_CORE * config.threads + OTHER_THREADS)
    loaded = workload.load(config.workload)
    events = world.rank_0_first(lambda: loaded.prepare(config, progress.note))
    room = world.broadcast_value("room", _room(backend, place))
    config = config.with_auto_resolved(backend.device(), room)
    backend.configure(config, place)

    fields = ResultFields(
        workload=config.workload,
        kind=config.kind,
        config=resolved.with_auto_resolved(config).to_dict(),
        seed=config.seed,
        world_size=place.size,
        distributed={},
        data_sha256=events.sha256,
        data=dict(events.description()),
        device=backend.device(),
        provenance=provenance.collect(backend.versions(), handles_of_node(place)),
    )

    def measure() -> None:
        on_start()
        _check_memory(context)
        KINDS[config.kind](context, loaded)

    # Of each copy, its first rank meets those of the others.
    meeting = Meeting() if place.rank else meeting_from_environment(os.environ)
    context = Context(backend, resolved.config, config, events, progress, world, meeting, fields)

    with Telemetry(gpus=gpu_sensors_of(place)) as telemetry:
        status, reason = _guarded(measure, context)
        if status != "ok":
            on_end()
    meeting.close()
    fields["telemetry"] = telemetry.summary()
    fields["peak_memory_bytes"] = _peak_memory(backend, config)
    if status == "ok":
        status, reason = _guarded(lambda: _finish(context), context)

    # From here on the end is known, and a signal must not cost the result any more.
    on_end()
    if status != "ok":
        world.leave(status, reason)
    result = _with_phases(RunResult(status=status, reason=reason, **fields))
    return result if status != "ok" or place.rank else _with_scores(result)


def _with_phases(result: RunResult) -> RunResult:
    """Returns the result with what the machine did in each phase, and the energy of those that are scored."""
    phases = summarise_phases(timeline(result), result.telemetry["series"])
    telemetry = {**result.telemetry, "phases": phases}
    return dataclasses.replace(result, telemetry=telemetry, energy_scored=energy_of_scores(phases))


def _with_scores(result: RunResult) -> RunResult:
    """Returns the result with its scores and the verdict on them, or a failed one that must be quiet."""
    scored = dataclasses.replace(
        result, scores=account(result).scores, verdict=(judged := verdict(result)).to_dict()
    )
    if result.config["require_quiet"] and judged.word != "quiet":
        reason = f"not quiet: {judged.word}: {'; '.join(judged.reasons)}"
        return dataclasses.replace(scored, status="failed", reason=reason)
    return scored


def _check_memory(context: Context) -> None:
    """Compares the expected memory with what there is, unless the run is to find out by itself.

    On a GPU, for which no peaks are known, it only warns.

    Raises:
        RunFailedError: The run would not fit.
    """
    if not context.config.check_memory:
        return
    room = _room(context.backend, context.world.place)
    if room is None or context.config.expected_memory_bytes() <= room:
        return
    line = _does_not_fit(context.config, f"{room / 1e9:.1f} GB are available")
    if context.backend.device() != "gpu":
        raise RunFailedError(line)
    context.progress.note(f"the formula of the memory, which was fitted on CPUs, says: {line}")


def _guarded(work: Callable[[], None], context: Context) -> tuple[str, str]:
    """Does the work and returns how it ended, as (status, reason)."""
    try:
        return _outcome(work, context)
    except KeyboardInterrupt as stop:  # maybe of a launcher that saw a rank end, as this one did
        return context.world.explain_loss_of_rank(stop) or (
            "interrupted",
            signal_name(stop),
        )


def _outcome(work: Callable[[], None], context: Context) -> tuple[str, str]:
    """Does the work and returns how it ended; lets signals through."""
    try:
        work()
        return "ok", ""
    except RunFailedError as error:
        return "failed", str(error)
    except context.backend.OUT_OF_MEMORY as error:
        log.exception("out of memory")
        return "failed", _does_not_fit(context.config, _first_line(error))
    except Exception as error:
        log.exception("unexpected error")
        if stop := signal_raised():
            raise stop from error
        return context.world.explain_loss_of_rank(error) or ("failed", unexpected(error))


def _finish(context: Context) -> None:
    """Brings the figures of all ranks together.

    Raises:
        RunFailedError: The run has no score, because its quality is too poor.
    """
    fields, world = context.fields, context.world
    rank_record = {
        "node": world.place.node,
        "cores": len(os.sched_getaffinity(0)),
        "peak_memory_bytes": fields["peak_memory_bytes"],
    }
    records, telemetries = zip(*world.gather((rank_record, fields["telemetry"])), strict=True)
    if world.rank:
        return
    if world.size > 1:
        fields["distributed"]["ranks"] = records
        fields["telemetry"] = together([record["node"] for record in records], telemetries)
        peaks = [record["peak_memory_bytes"] for record in records]
        fields["peak_memory_bytes"] = {key: max(peak[key] for peak in peaks) for key in peaks[0]}
    if failure := context.config.quality_failure(fields["quality"]):
        raise RunFailedError(f"did not train: {failure}")


def unexpected(error: BaseException) -> str:
    """Returns the reason of a run that an error ended which nobody expects."""
    return f"unexpected {type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    """Returns what an exception says first, or its name where it says nothing, as MemoryError does.

    Some frameworks put a listing of source lines into the message, before what happened.
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    listed = [index for index, line in enumerate(lines[:-1]) if line.startswith('  File "')]
    first = listed[-1] + 1 if listed else 0
    return lines[first].strip()[:300] if lines else type(error).__name__


def _does_not_fit(config: RunConfig, detail: str) -> str:
    expected = f"{config.expected_memory_bytes() / 1e9:.1f} GB"
    sizes = config.size_summary()
    return f"{DOES_NOT_FIT}: {sizes} is expected to take {expected}; {detail}; {config.how_to_shrink}"


def _room(backend: Backend, place: Place) -> int | None:
    """Returns the memory that the model of a rank may take, in bytes; None where the device does not say."""
    if backend.device() == "gpu":
        return backend.device_memory_total_bytes()
    room = memory_available_bytes()
    return None if room is None else room // place.local_size


def _peak_memory(backend: Backend, config: RunConfig) -> dict[str, int]:
    peak = {"host": host_memory_peak_bytes(), "expected": config.expected_memory_bytes()}
    device = backend.device_memory_peak_bytes()
    return peak if device is None else {**peak, "device": device}
