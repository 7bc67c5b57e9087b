"""The kind of workload "training": warm-up, timed epochs, validation, inference."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from benchmarks.config import TrainingConfig
from benchmarks.context import Context
from benchmarks.errors import RunFailedError
from benchmarks.machine.memory import memory_available_bytes
from benchmarks.timing import EpochTimer, date
from benchmarks.training import communication, epochs, inference
from benchmarks.training.epochs import train_epoch
from benchmarks.training.kept import SHARE_OF_FREE_MEMORY, KeptEvents
from benchmarks.training.sharding import training_batches
from benchmarks.workload import Tensor, Training, Workload


def measure(context: Context, workload: Workload) -> None:
    """Builds the model, trains, validates and measures inference; fills in the fields of the result.

    Raises:
        RunFailedError: The run has no score: the loss is lost, or the ranks have different weights.
    """
    _TrainingRun(context, workload).run()


class _TrainingRun:
    """One training with its measurements."""

    def __init__(self, context: Context, workload: Workload) -> None:
        self.backend, self.progress = context.backend, context.progress
        self.world, self.fields, self.meeting = context.world, context.fields, context.meeting
        free = (memory_available_bytes() or 0) // self.world.place.local_size
        self.events = KeptEvents(context.events, free // SHARE_OF_FREE_MEMORY)
        self.requested = cast(TrainingConfig, context.requested)
        self.config = cast(TrainingConfig, context.config)
        self.workload = workload

    def run(self) -> None:
        """Does all of it; see ``measure``."""
        config, world = self.config, self.world

        # Building is timed apart. Nothing is compiled yet: that happens in the warm-up epoch.
        xla = config.xla == "on"
        with EpochTimer(self.backend.drain) as building:
            training = self.workload.build(config, np.random.default_rng(config.seed))
            factor = self.requested.learning_rate_factor(world.size)
            self.fields["distributed"]["learning_rate_factor"] = factor
            self.backend.schedule(training, factor, config.lr_warmup_steps)
            step = self.backend.train_step(training, xla, world, config.compression)
            predict = self.backend.predict_step(training.model, xla)
        seconds = self.fields["seconds"] = {"build": building.seconds}
        self.fields["model"] = parameter_counts(training.model)

        # The messages are measured before the first epoch, while all ranks are idle.
        if world.size > 1:
            self._describe_ranks(training)

        # Each epoch leaves its record, so that a run that is stopped keeps those that it finished.
        for index in range(config.epochs):
            self._run_epoch(index, step, predict, training)
        self._record_hash(training)

        self.progress.note("measuring inference")
        self.meeting.meet()
        with EpochTimer(self.backend.drain) as timer:
            self.fields["inference"] = inference.measure(
                self.backend, predict, self.events, config.batch_size, world, config.inference_seconds
            )
        seconds["inference"] = timer.seconds
        self._keep_busy(predict)

    def _keep_busy(self, predict: Callable[[Tensor], Tensor]) -> None:
        """Predicts until all copies of the run have ended the phase, so that none of them ends it alone."""
        if not self.meeting.has_copies:
            return
        batch = next(self.events.batches("validation", self.config.batch_size, purpose="inference"))
        inputs = self.backend.put(batch.inputs)

        def work() -> None:
            predict(inputs)
            self.backend.drain()

        self.meeting.keep_busy(work)

    def _describe_ranks(self, training: Training) -> None:
        """Records which ranks there are, and what their messages cost."""
        place, world = self.world.place, self.world
        self.progress.note(f"{world.size} ranks on {place.nodes} node(s), started by {place.launcher}")
        self.fields["distributed"] |= communication.describe(
            self.backend, world, training.model.trainable_variables, self.config.compression
        )

    def _run_epoch(
        self,
        index: int,
        step: Callable[[Tensor, Tensor], Tensor],
        predict: Callable[[Tensor], Tensor],
        training: Training,
    ) -> None:
        """Trains one epoch, validates and appends the record.

        Raises:
            RunFailedError: The loss is not finite.
        """
        config, world = self.config, self.world

        batches = training_batches(self.events, config.train_events, config.batch_size, world)
        self.progress.epoch_begins(index, config.epochs, config.train_events)
        try:
            self.meeting.meet()
            trained = train_epoch(self.backend, step, batches, self.progress, world)
        except BaseException:
            self.progress.epoch_ends(config.epochs)
            raise
        self._keep_busy(predict)

        # A model whose loss is lost is not validated: its figures would only repeat that.
        message = self.fields["distributed"].get("seconds_per_step", 0.0)
        record = epochs.record(index, config, trained, world, message)
        if math.isfinite(record.loss):
            started_at = date()
            validation = self._validate(predict, training)
            record = dataclasses.replace(record, validation=validation, validation_started_at=started_at)
        self.fields["epochs"] = (*self.fields.get("epochs", ()), record)
        self.progress.epoch_ends(config.epochs, record)
        if not math.isfinite(record.loss):
            first = epochs.first_lost(trained)
            raise RunFailedError(
                f"did not train: the loss is {record.loss} from step {first} of epoch {index}"
            )

    def _validate(self, predict: Callable[[Tensor], Tensor], training: Training) -> dict[str, float]:
        """Returns loss and figures of merit over the validation events; the last epoch's are the quality."""
        seconds, self.fields["quality"], self.fields["breakdown"] = epochs.validate(
            self.backend,
            predict,
            training,
            self.events,
            self.workload.metrics(),
            self.config.batch_size,
            self.world,
        )
        return {"seconds": seconds, **self.fields["quality"]}

    def _record_hash(self, training: Training) -> None:
        """Records the hash of the weights.

        Raises:
            RunFailedError: Ranks have different weights.
        """
        digest = self.fields["weights_sha256"] = weights_sha256(training.model, self.backend.fetch)
        hashes = self.world.gather(digest)
        if diverged := [rank for rank, other in enumerate(hashes) if other != hashes[0]]:
            raise RunFailedError(
                f"ranks diverged: expected the weights of rank 0 on all, got others on {diverged}"
            )


def parameter_counts(model: Any) -> dict[str, int]:
    """Returns the numbers of trainable and of frozen parameters."""

    def parameters(variables: list[Any]) -> int:
        return sum(math.prod(variable.shape) for variable in variables)

    return {
        "trainable_parameters": parameters(model.trainable_variables),
        "frozen_parameters": parameters(model.non_trainable_variables),
    }


def weights_sha256(model: Any, fetch: Callable[[Any], np.ndarray]) -> str:
    """Returns the SHA-256 of all weights in the model's order, little endian.

    Args:
        model: The model.
        fetch: Returns a variable as a numpy array.
    """
    digest = hashlib.sha256()
    for variable in model.weights:
        array = np.ascontiguousarray(fetch(variable))
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
