"""A straight line through the origin: a workload and a backend whose every figure is checked by hand.

Every event is x = 1, y = 2. The weight starts at 0, and a step halves its distance to 2, so the losses
of the steps are 4, 1, 1/4, 1/16, ... exactly. Event i has i + 1 real elements of 4.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest

from benchmarks import backends
from benchmarks.config import TrainingConfig, option
from benchmarks.ranks.place import place_from_environment
from benchmarks.resolution import Resolved, resolve
from benchmarks.workload import REGISTRY

BACKEND = "by_hand"


@dataclass(frozen=True)
class LineConfig(TrainingConfig):
    """Three training events in steps of two and one. ``trouble`` comes in epoch 1, after a step."""

    workload: ClassVar[str] = "line"

    # Horovod brings TensorFlow, and then the backend has its name.
    backend: str = option(BACKEND, "framework", choices=(BACKEND, "tensorflow"))
    epochs: int = option(3, "passes", low=2, high=1000)
    batch_size: int = option(2, "events per step", low=1, high=100)
    train_events: int = option(3, "events", low=1, high=100)
    validation_events: int = option(3, "events", low=1, high=1000)
    trouble: str = option(
        "none", "goes wrong", choices=("none", "nan", "reader", "memory", "prepare", "broken", "rank 1")
    )
    wait: float = option(0.0, "seconds to read a batch", low=0, high=60)
    event_bytes: int = option(1000, "memory of an event", low=0, high=10**18)
    held_bytes: int = option(0, "memory that an event really takes", low=0, high=10**9)
    min_accuracy: float = option(0.0, "floor", low=0, high=1)
    inference_seconds: float = option(0.0, "seconds of inference", low=0, high=60)
    quiet_epoch_seconds: float = option(0.0, "seconds of an epoch", low=0, high=60)
    min_steps: int = option(1, "steps of an epoch", low=1, high=100)

    def expected_memory_bytes(self) -> int:
        return self.batch_size * self.event_bytes

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        if quality["accuracy"] >= self.min_accuracy:
            return ""
        return f"accuracy: expected at least {self.min_accuracy}, got {quality['accuracy']}"


PRESETS = {
    "smoke": LineConfig(),
    "eight": LineConfig(train_events=8),
    "slow": LineConfig(train_events=8, wait=1.0, epochs=100),
    "steady": LineConfig(train_events=4, wait=0.5, epochs=3, inference_seconds=3.5),
    "nan": LineConfig(train_events=8, trouble="nan"),
    "floor": LineConfig(min_accuracy=1.0, epochs=2),
}


def configured(*assignments: str) -> Resolved:
    return resolve("smoke", PRESETS["smoke"], sweep=assignments)


def register(patch: pytest.MonkeyPatch) -> None:
    """Makes the workload and the backend known, as a line in the registry and an installed module do."""
    from tests.line import backend

    patch.setitem(REGISTRY, "line", "tests.line")
    # No batch is kept, because reading them is what takes time and goes wrong here.
    patch.setattr("benchmarks.training.run.SHARE_OF_FREE_MEMORY", 10**18)
    patch.setitem(sys.modules, f"benchmarks.backends.{BACKEND}", backend)
    requirement = backends.Requirement("Numpy", ("numpy",), (2, 1), "pip install numpy", several_ranks=True)
    patch.setitem(backends.REGISTRY, BACKEND, requirement)
    if place_from_environment(os.environ).size > 1:
        # Horovod brings TensorFlow and Keras, which has to know the name.
        patch.setitem(sys.modules, "benchmarks.backends.tensorflow", backend)
        patch.setenv("KERAS_BACKEND", "tensorflow")
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    elif os.environ.get("KERAS_BACKEND") is None:
        patch.setenv("KERAS_BACKEND", BACKEND)
