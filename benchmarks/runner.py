"""Seed, data, warm-up, timed epochs, validation, inference: from a configuration to a ``RunResult``.

Names no workload and no framework.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import backends, inference, provenance, workload
from benchmarks.backends import Backend
from benchmarks.cgroup import usable_cores
from benchmarks.config import Resolved, RunConfig
from benchmarks.errors import RunFailedError, Terminated
from benchmarks.feed import Feed
from benchmarks.memory import host_memory_peak_bytes, memory_available_bytes
from benchmarks.progress import Progress
from benchmarks.result import EpochRecord, RunResult
from benchmarks.telemetry import Telemetry
from benchmarks.timing import EpochTimer
from benchmarks.workload import Batch, Events, Tensor, Training, Workload

log = logging.getLogger("hepbench")


def run(resolved: Resolved, progress: Progress, begins: Callable[[], None] = lambda: None) -> RunResult:
    """Trains and measures; a run that fails or is stopped once it has its events still has a result.

    Args:
        resolved: What to run.
        progress: Takes what a person is to see.
        begins: Called once the call has proved right and the events are there.

    Raises:
        UsageError: The call cannot be carried out on this machine.
        DataError: The events are damaged, too few, or cannot be made.
    """
    backend = backends.load()
    config = dataclasses.replace(resolved.config, threads=resolved.config.threads or usable_cores())
    suite = workload.load(config.workload)
    events = suite.prepare(config, progress.note)
    backend.configure(config)
    config = config.settled(backend.device(), _room(backend))
    measured = _Measured(
        workload=config.workload,
        config=dataclasses.replace(resolved, config=config).to_dict(),
        seed=config.seed,
        data_sha256=events.sha256,
        data=dict(events.description()),
        provenance=provenance.collect(backend.versions()),
    )

    def work() -> None:
        begins()
        _Run(backend, suite, config, events, progress, measured).everything()

    with Telemetry() as telemetry:
        status, reason = _guarded(work, backend, config)
    measured["peak_memory_bytes"] = _peak_memory(backend, config)
    return RunResult(status=status, reason=reason, telemetry=telemetry.summary(), **measured)


class _Measured(dict[str, Any]):
    """Fields of the result, filled in as they become known, so that a broken run keeps what it has."""


def _guarded(work: Callable[[], None], backend: Backend, config: RunConfig) -> tuple[str, str]:
    """Does the work; says how it ended as (status, reason)."""
    try:
        work()
        return "ok", ""
    except KeyboardInterrupt as stop:
        return "interrupted", "SIGTERM" if isinstance(stop, Terminated) else "Ctrl-C"
    except RunFailedError as error:
        return "failed", str(error)
    except backend.OUT_OF_MEMORY as error:
        log.exception("out of memory")
        return "failed", _does_not_fit(config, _first_line(error))
    except Exception as error:
        log.exception("unexpected error")
        return "failed", f"unexpected {type(error).__name__}: {_first_line(error)}"


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
    return f"does not fit: {config.sizes()} is expected to take {expected}; {detail}; {config.smaller}"


def _room(backend: Backend) -> int | None:
    """Bytes of memory that the model may take; None where the device does not say."""
    on_gpu = backend.device() == "gpu"
    return backend.device_memory_total_bytes() if on_gpu else memory_available_bytes()


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
    ) -> None:
        self.backend, self.suite, self.config = backend, suite, config
        self.events, self.progress, self.measured = events, progress, measured

    def everything(self) -> None:
        """Builds, trains, validates, measures inference; raises RunFailedError where there is no score."""
        self._check_memory()
        xla = self.config.xla == "on"
        with EpochTimer(self.backend.drain) as building:
            training = self.suite.build(self.config, np.random.default_rng(self.config.seed))
            step = self.backend.train_step(training, xla)
            predict = self.backend.predict_step(training.model, xla)
        seconds = self.measured["seconds"] = {"build": building.seconds}
        self.measured["model"] = _count(training.model)
        for index in range(self.config.epochs):
            self._epoch(index, step, predict, training)
        self.measured["weights_sha256"] = weights_sha256(training.model)
        self.progress.note("measuring inference")
        with EpochTimer(self.backend.drain) as timer:
            self.measured["inference"] = inference.measure(
                self.backend, predict, self.events, self.config.batch_size
            )
        seconds["inference"] = timer.seconds
        below = self.config.below_floor(self.measured["quality"])
        if below:
            raise RunFailedError(f"did not train: {below}")

    def _check_memory(self) -> None:
        room = _room(self.backend)
        if room is not None and self.config.expected_memory_bytes() > room:
            raise RunFailedError(_does_not_fit(self.config, f"{room / 1e9:.1f} GB are available"))

    def _epoch(
        self,
        index: int,
        step: Callable[[Tensor, Tensor], Tensor],
        predict: Callable[[Tensor], Tensor],
        training: Training,
    ) -> None:
        """Trains one epoch, validates, appends the record; raises RunFailedError if the loss is lost."""
        epochs = self.config.epochs
        batches = self.events.batches("train", self.config.batch_size)
        self.progress.epoch_begins(index, epochs, self.config.train_events)
        try:
            trained = train_epoch(self.backend, step, batches, self.progress)
        except BaseException:
            self.progress.epoch_ends(epochs)
            raise
        events, elements, padded = (sum(column) for column in zip(*trained.sizes, strict=True))
        if events != self.config.train_events:
            raise RunFailedError(f"expected {self.config.train_events} events in epoch {index}, got {events}")
        weighted = [size[0] * float(loss) for size, loss in zip(trained.sizes, trained.losses, strict=True)]
        record = EpochRecord(
            index=index,
            warmup=index < self.config.warmup_epochs,
            seconds=trained.seconds,
            events=events,
            elements=elements,
            padded_elements=padded,
            steps=len(weighted),
            throughput=events / trained.seconds,
            loss=math.fsum(weighted) / events,
            input_wait_fraction=trained.wait_seconds / trained.seconds,
        )
        if math.isfinite(record.loss):
            record = dataclasses.replace(record, validation=self._validate(predict, training))
        self.measured["epochs"] = (*self.measured.get("epochs", ()), record)
        self.progress.epoch_ends(epochs, record)
        if not math.isfinite(record.loss):
            first = next(i for i, value in enumerate(weighted) if not math.isfinite(value))
            raise RunFailedError(
                f"did not train: the loss is {record.loss} from step {first} of epoch {index}"
            )

    def _validate(self, predict: Callable[[Tensor], Tensor], training: Training) -> dict[str, float]:
        """Loss and figures of merit over the validation events; the last call's become the quality."""
        metrics = self.suite.metrics()
        losses, events = [], []
        with EpochTimer(self.backend.drain) as timer:
            for batch in self.events.batches("validation", self.config.batch_size):
                inputs = self.backend.put(batch.inputs)
                predictions = predict(inputs)
                loss = training.loss(predictions, self.backend.put(batch.targets), inputs)
                losses.append(float(loss) * batch.events)
                events.append(batch.events)
                metrics.update(np.asarray(predictions), batch)
        self.measured["quality"] = {"loss": math.fsum(losses) / sum(events), **metrics.result()}
        self.measured["breakdown"] = metrics.breakdown()
        return {"seconds": timer.seconds, **self.measured["quality"]}


@dataclass(frozen=True)
class Trained:
    """What one pass over the training events took.

    Attributes:
        seconds: From an idle to a drained device.
        wait_seconds: Of these, without a batch to work on.
        sizes: Events, elements and padded elements of each step.
        losses: Loss of each step, still on the device.
    """

    seconds: float
    wait_seconds: float
    sizes: list[tuple[int, int, int]]
    losses: list[Tensor]


def train_epoch(
    backend: Backend,
    step: Callable[[Tensor, Tensor], Tensor],
    batches: Iterator[Batch],
    progress: Progress,
) -> Trained:
    """Trains on the batches; everything in here is on the clock."""
    losses: list[Tensor] = []
    sizes: list[tuple[int, int, int]] = []
    feed = Feed(batches, backend.put)
    with EpochTimer(backend.drain) as timer, feed:
        for batch, inputs, targets in feed:
            losses.append(step(inputs, targets))
            sizes.append((batch.events, batch.elements, batch.padded_elements))
            progress.step(batch.events, lambda: float(losses[-1]))
    return Trained(timer.seconds, feed.wait_seconds, sizes, losses)


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
