"""Seed, data, warm-up, timed epochs, validation, inference: from a configuration to a ``RunResult``.

Names no workload and no framework.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import backends, workload
from benchmarks.backends import Backend
from benchmarks.config import Resolved, RunConfig
from benchmarks.errors import RunFailedError, Terminated, UsageError
from benchmarks.machine import provenance
from benchmarks.machine.cgroup import usable_cores
from benchmarks.machine.memory import host_memory_peak_bytes, memory_available_bytes
from benchmarks.machine.telemetry import Telemetry, together
from benchmarks.progress import Progress
from benchmarks.ranks import horovod
from benchmarks.ranks.place import ALONE, Place, handles_of
from benchmarks.ranks.world import World
from benchmarks.result import RunResult
from benchmarks.stopping import signal_raised
from benchmarks.timing import EpochTimer
from benchmarks.training import communication, epochs, inference
from benchmarks.training.epochs import train_epoch
from benchmarks.training.sharding import training_batches
from benchmarks.workload import Events, Tensor, Training, Workload

log = logging.getLogger("hepbench")


def run(
    resolved: Resolved,
    progress: Progress,
    begins: Callable[[], None] = lambda: None,
    ends: Callable[[], None] = lambda: None,
    *,
    place: Place = ALONE,
    gpus: int = 0,
) -> RunResult:
    """Trains and measures; a run that fails or is stopped once it has its events still has a result.

    So has one whose ranks did not come together.

    Every rank of a run calls this. What it returns holds all ranks' figures on rank 0 only.

    Args:
        resolved: What to run.
        progress: Takes what a person is to see.
        begins: Called once the call has proved right and the events are there.
        ends: Called once it is known how the run ended: from then on nobody may stop it any more.
        place: Which rank this is.
        gpus: How many GPUs were asked for; 0 for whatever there is.

    Raises:
        UsageError: The call cannot be carried out on this machine.
        DataError: The events are damaged, too few, or cannot be made.
        RunFailedError: This rank, not the first one, found no others.
    """
    backend = backends.load()
    config = resolved.config.for_ranks(place.size)
    try:
        world = horovod.join(place, backend.device())
    except RunFailedError as error:
        if place.rank:
            raise
        ends()
        begins()
        return RunResult.without_figures(resolved.to_dict(), place.size, "failed", str(error))
    config = dataclasses.replace(config, threads=config.threads or usable_cores())
    suite = workload.load(config.workload)
    events = world.rank_0_first(lambda: suite.prepare(config, progress.note))
    if gpus and backend.device() != "gpu":
        raise UsageError(
            f"--gpus {gpus}: expected a framework that can use a GPU, got one without; see hepbench doctor"
        )
    config = config.with_auto_resolved(backend.device(), world.broadcast_value("room", _room(backend, place)))
    backend.configure(config, place)
    factor = resolved.config.learning_rate_factor(place.size)
    measured = _Measured(
        workload=config.workload,
        config=dataclasses.replace(resolved, config=config).to_dict(),
        seed=config.seed,
        world_size=place.size,
        distributed={"learning_rate_factor": factor},
        data_sha256=events.sha256,
        data=dict(events.description()),
        provenance=provenance.collect(backend.versions()),
    )

    def work() -> None:
        begins()
        _Run(backend, suite, config, events, progress, measured, world).everything()

    with Telemetry(gpus=handles_of(place)) as telemetry:
        status, reason = _guarded(work, backend, config, world)
        if status != "ok":
            ends()
    measured["telemetry"] = telemetry.summary()
    measured["peak_memory_bytes"] = _peak_memory(backend, config)
    if status == "ok":
        status, reason = _guarded(lambda: _finish(config, measured, world), backend, config, world)
    ends()
    if status != "ok":
        world.leave(status, reason)
    return RunResult(status=status, reason=reason, **measured)


class _Measured(dict[str, Any]):
    """Fields of the result, filled in as they become known, so that a broken run keeps what it has."""


def _guarded(work: Callable[[], None], backend: Backend, config: RunConfig, world: World) -> tuple[str, str]:
    """Does the work; says how it ended as (status, reason)."""
    try:
        return _outcome(work, backend, config, world)
    except KeyboardInterrupt as stop:  # maybe of a launcher that saw a rank end, as this one did
        return world.explain_loss_of_rank(stop) or (
            "interrupted",
            "SIGTERM" if isinstance(stop, Terminated) else "Ctrl-C",
        )


def _outcome(work: Callable[[], None], backend: Backend, config: RunConfig, world: World) -> tuple[str, str]:
    try:
        work()
        return "ok", ""
    except RunFailedError as error:
        return "failed", str(error)
    except backend.OUT_OF_MEMORY as error:
        log.exception("out of memory")
        return "failed", _does_not_fit(config, _first_line(error))
    except Exception as error:
        log.exception("unexpected error")
        if stop := signal_raised():
            raise stop from error
        return world.explain_loss_of_rank(error) or (
            "failed",
            f"unexpected {type(error).__name__}: {_first_line(error)}",
        )


def _finish(config: RunConfig, measured: _Measured, world: World) -> None:
    """Brings the figures of all ranks together; raises RunFailedError where the run has no score."""
    own = {
        "node": world.place.node,
        "cores": len(os.sched_getaffinity(0)),
        "peak_memory_bytes": measured["peak_memory_bytes"],
    }
    ranks, seen = zip(*world.gather((own, measured["telemetry"])), strict=True)
    if world.rank:
        return
    if world.size > 1:
        measured["distributed"]["ranks"] = ranks
        measured["telemetry"] = together([rank["node"] for rank in ranks], seen)
        peaks = [rank["peak_memory_bytes"] for rank in ranks]
        measured["peak_memory_bytes"] = {key: max(peak[key] for peak in peaks) for key in peaks[0]}
    if below := config.quality_failure(measured["quality"]):
        raise RunFailedError(f"did not train: {below}")


def _first_line(error: BaseException) -> str:
    """What an exception says first; its name where it says nothing, as Python's own MemoryError does.

    Some frameworks put a listing of source lines into the message, before what happened.
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    listed = [index for index, line in enumerate(lines[:-1]) if line.startswith('  File "')]
    first = listed[-1] + 1 if listed else 0
    return lines[first].strip()[:300] if lines else type(error).__name__


def _does_not_fit(config: RunConfig, detail: str) -> str:
    expected = f"{config.expected_memory_bytes() / 1e9:.1f} GB"
    sizes = config.size_summary()
    return f"does not fit: {sizes} is expected to take {expected}; {detail}; {config.how_to_shrink}"


def _room(backend: Backend, place: Place) -> int | None:
    """Bytes of memory that the model of a rank may take; None where the device does not say."""
    if backend.device() == "gpu":
        return backend.device_memory_total_bytes()
    room = memory_available_bytes()
    return None if room is None else room // place.local_size


def _peak_memory(backend: Backend, config: RunConfig) -> dict[str, int]:
    peak = {"host": host_memory_peak_bytes(), "expected": config.expected_memory_bytes()}
    device = backend.device_memory_peak_bytes()
    return peak if device is None else {**peak, "device": device}


class _Run:
    """One training with its measurements; fills ``measured`` as it goes."""

    def __init__(
        self,
        backend: Backend,
        suite: Workload,
        config: RunConfig,
        events: Events,
        progress: Progress,
        measured: _Measured,
        world: World,
    ) -> None:
        self.backend, self.suite, self.config = backend, suite, config
        self.events, self.progress, self.measured, self.world = events, progress, measured, world

    def everything(self) -> None:
        """Builds, trains, validates, measures inference; raises RunFailedError where there is no score."""
        self._check_memory()
        config, world = self.config, self.world
        xla = config.xla == "on"
        with EpochTimer(self.backend.drain) as building:
            training = self.suite.build(config, np.random.default_rng(config.seed))
            self.backend.schedule(
                training, self.measured["distributed"]["learning_rate_factor"], config.lr_warmup_steps
            )
            step = self.backend.train_step(training, xla, world, config.compression)
            predict = self.backend.predict_step(training.model, xla)
        seconds = self.measured["seconds"] = {"build": building.seconds}
        self.measured["model"] = _count(training.model)
        if world.size > 1:
            self._join_up(training)
        for index in range(config.epochs):
            self._epoch(index, step, predict, training)
        self._hash(training)
        self.progress.note("measuring inference")
        with EpochTimer(self.backend.drain) as timer:
            self.measured["inference"] = inference.measure(
                self.backend, predict, self.events, config.batch_size, world
            )
        seconds["inference"] = timer.seconds

    def _check_memory(self) -> None:
        room = _room(self.backend, self.world.place)
        if room is not None and self.config.expected_memory_bytes() > room:
            raise RunFailedError(_does_not_fit(self.config, f"{room / 1e9:.1f} GB are available"))

    def _join_up(self, training: Training) -> None:
        """Says who is there, and measures what the ranks' messages cost."""
        place, world = self.world.place, self.world
        self.progress.note(f"{world.size} ranks on {place.nodes} node(s), started by {place.launcher}")
        self.measured["distributed"] |= communication.describe(
            self.backend, world, training.model.trainable_variables, self.config.compression
        )

    def _epoch(
        self,
        index: int,
        step: Callable[[Tensor, Tensor], Tensor],
        predict: Callable[[Tensor], Tensor],
        training: Training,
    ) -> None:
        """Trains one epoch, validates, appends the record; raises RunFailedError if the loss is lost."""
        config, world = self.config, self.world
        batches = training_batches(self.events, config.train_events, config.batch_size, world)
        self.progress.epoch_begins(index, config.epochs, config.train_events)
        try:
            trained = train_epoch(self.backend, step, batches, self.progress, world)
        except BaseException:
            self.progress.epoch_ends(config.epochs)
            raise
        message = self.measured["distributed"].get("seconds_per_step", 0.0)
        record = epochs.record(index, config, trained, world, message)
        if math.isfinite(record.loss):
            record = dataclasses.replace(record, validation=self._validate(predict, training))
        self.measured["epochs"] = (*self.measured.get("epochs", ()), record)
        self.progress.epoch_ends(config.epochs, record)
        if not math.isfinite(record.loss):
            first = epochs.first_lost(trained)
            raise RunFailedError(
                f"did not train: the loss is {record.loss} from step {first} of epoch {index}"
            )

    def _validate(self, predict: Callable[[Tensor], Tensor], training: Training) -> dict[str, float]:
        """Loss and figures of merit over the validation events; the last call's become the quality."""
        seconds, self.measured["quality"], self.measured["breakdown"] = epochs.validate(
            self.backend,
            predict,
            training,
            self.events,
            self.suite.metrics(),
            self.config.batch_size,
            self.world,
        )
        return {"seconds": seconds, **self.measured["quality"]}

    def _hash(self, training: Training) -> None:
        """Records the hash of the weights; raises RunFailedError where ranks have different ones."""
        own = self.measured["weights_sha256"] = weights_sha256(training.model)
        hashes = self.world.gather(own)
        if others := [rank for rank, each in enumerate(hashes) if each != hashes[0]]:
            raise RunFailedError(
                f"ranks diverged: expected the weights of rank 0 on all, got others on {others}"
            )


def _count(model: Any) -> dict[str, int]:
    def parameters(variables: list[Any]) -> int:
        return sum(math.prod(variable.shape) for variable in variables)

    return {
        "trainable_parameters": parameters(model.trainable_variables),
        "frozen_parameters": parameters(model.non_trainable_variables),
    }


def weights_sha256(model: Any) -> str:
    """SHA-256 of all weights in the model's order, little endian."""
    digest = hashlib.sha256()
    for variable in model.weights:
        array = np.ascontiguousarray(np.asarray(variable))
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
