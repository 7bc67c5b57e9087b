"""The keys that every training has."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from benchmarks.config.run import RunConfig, option
from benchmarks.errors import UsageError


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """What every training has."""

    kind: ClassVar[str] = "training"

    epochs: int = option(5, "passes over the training events, warm-up included", low=2, high=100_000)
    warmup_epochs: int = option(1, "first epochs, which compile and are never scored", low=1, high=1000)
    batch_size: int = option(1, "events per step of each rank", low=1, high=65_536)
    global_batch_size: int = option(
        0, "events per step of all ranks together; 0: batch_size of each", low=0, high=2**31 - 1
    )
    train_events: int = option(1, "training events", low=1, high=100_000_000)
    validation_events: int = option(1, "validation events", low=1, high=100_000_000)
    lr_scaling: str = option(
        "none",
        "learning rate times the ratio of all ranks' batch to batch_size (linear), or its root (sqrt)",
        choices=("none", "linear", "sqrt"),
    )
    lr_warmup_steps: int = option(
        0, "first steps, in which the learning rate rises from nearly 0", low=0, high=2**31 - 1
    )
    compression: str = option("none", "number format of gradients between ranks", choices=("none", "fp16"))
    inference_seconds: float = option(
        10.0, "seconds for which inference is repeated, at least", low=0.0, high=86_400.0
    )
    min_steps: int = option(20, "steps of an epoch, at least", low=1, high=100_000_000)
    max_loss: float = option(
        0.0, "validation loss above which a run has no score; 0: any", low=0.0, high=1e12
    )
    quiet_epoch_seconds: float = option(
        10.0, "seconds that a timed epoch of a quiet run takes, at least", low=0.0, high=86_400.0
    )
    max_input_wait: float = option(
        0.1, "share of an epoch, or of inference, that a quiet run waits for input", low=0.0, high=1.0
    )

    def check(self) -> None:
        """Checks keys that depend on each other.

        Raises:
            UsageError: They do not fit together.
        """
        if self.epochs <= self.warmup_epochs:
            raise UsageError(
                f"epochs: expected more than the {self.warmup_epochs} warm-up epoch(s), got {self.epochs}; "
                f"warm-up is never scored, so ask for at least {self.warmup_epochs + 1}"
            )
        if self.batch_size > self.train_events:
            raise UsageError(
                f"batch_size: expected at most the {self.train_events} training events, "
                f"got {self.batch_size}; lower --batch-size or raise --set train_events"
            )

    def for_ranks(self, ranks: int) -> Self:
        """Returns the configuration of each rank, with the batch sizes that the ranks come to.

        Raises:
            UsageError: The events of a step do not divide among the ranks, are more than there are, or leave
                too few steps to an epoch.
        """
        total = self.events_per_step(ranks)
        if total % ranks:
            raise UsageError(f"global_batch_size: expected a multiple of the {ranks} ranks, got {total}")
        if total > self.train_events:
            raise UsageError(
                f"global_batch_size: expected at most the {self.train_events} training events, got {total} "
                f"on {ranks} rank(s); lower --batch-size or --global-batch-size, or raise --set train_events"
            )
        config = dataclasses.replace(self, batch_size=total // ranks, global_batch_size=total)
        config.check()

        # An epoch of a few steps measures how it begins and ends, more than it measures steps.
        steps = -(-self.train_events // total)
        if steps < self.min_steps:
            raise UsageError(
                f"train_events: expected at least {self.min_steps} steps in an epoch (min_steps), "
                f"got {steps} of {total} events on {ranks} rank(s); "
                f"--set train_events={self.min_steps * total}"
            )
        return config

    def events_per_step(self, ranks: int) -> int:
        """Returns the number of events in a step of ``ranks`` ranks together."""
        return self.global_batch_size or self.batch_size * ranks

    def learning_rate_factor(self, ranks: int) -> float:
        """Returns what ``lr_scaling`` multiplies the learning rate by, which is meant for ``batch_size``."""
        ratio = self.events_per_step(ranks) / self.batch_size
        return {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.lr_scaling]

    def operations_per_event(self) -> float:
        """Returns the floating-point operations of the products of one training event, padding included.

        They are those of the model as published, forward once and backward twice. What a step leaves out or
        computes again does not count, so that a share of a machine's rate compares implementations.
        """
        raise NotImplementedError

    def size_summary(self) -> str:
        """Describes in words what decides how much memory a training takes."""
        return f"batch_size {self.batch_size} in {self.precision}"

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        """Returns a line that says whether the loss is above ``max_loss``, or an empty string."""
        if not self.max_loss or quality["loss"] <= self.max_loss:
            return ""
        return f"loss: expected at most {self.max_loss:g}, got {quality['loss']:.6g}"


def as_training(config: RunConfig, what: str) -> TrainingConfig:
    """Returns the configuration itself, which has to be that of a training.

    Args:
        config: Of a run.
        what: What asks for a training, such as ``scale``.

    Raises:
        UsageError: It is of another kind.
    """
    if not isinstance(config, TrainingConfig):
        raise UsageError(f"{what}: expected a training, got {config.workload}, whose kind is {config.kind}")
    return config
