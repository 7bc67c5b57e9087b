"""The functions of ``benchmarks.backends.Backend`` in numpy: a step of gradient descent, done at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.config import RunConfig
from benchmarks.ranks.place import ALONE, Place
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.workload import Training

OUT_OF_MEMORY = (MemoryError,)
LEARNING_RATE = 0.25  # d/dw (w - 2)^2 = 2 (w - 2): a step goes half the way


def configure(config: RunConfig, place: Place = ALONE) -> None:
    """Does nothing, because there is nothing to set."""


def device() -> str:
    return "cpu"


def versions() -> Mapping[str, str]:
    return {"numpy": np.__version__}


def put(array: np.ndarray) -> np.ndarray:
    return array


def fetch(array: np.ndarray) -> np.ndarray:
    return np.asarray(array)


def schedule(training: Training, factor: float, warmup_steps: int) -> None:
    assert (training.optimizer, factor, warmup_steps) == (None, 1.0, 0)


def train_step(
    training: Training, xla: bool, world: World = LONE_WORLD, compression: str = "none"
) -> Callable[[np.ndarray, np.ndarray], float]:
    assert xla is False
    weight = training.model.weight

    def step(inputs: np.ndarray, targets: Any) -> float:
        targets, (share,) = targets if world.size > 1 else (targets, (1.0,))
        predictions = inputs * weight
        loss = training.loss(predictions, targets, inputs)
        gradient = np.mean(2 * (predictions - targets) * inputs)
        loss, gradient = (
            float(number) for number in world.all_reduce([share * loss, share * gradient], compression)
        )
        weight[:] -= LEARNING_RATE * gradient
        return loss

    return step


def exchange(world: World, compression: str) -> Callable[[Any], Any]:
    return lambda arrays: world.all_reduce(arrays, compression)


def predict_step(model, xla: bool) -> Callable[[np.ndarray], np.ndarray]:
    assert xla is False
    return lambda inputs: inputs * model.weight


def value_and_gradient(function, xla: bool):  # noqa: ARG001
    raise AssertionError("a training asks for no gradient of a kernel")


def drain() -> None:
    """Returns at once, because nothing is ever under way."""


def device_memory_peak_bytes() -> None:
    return None


def device_memory_total_bytes() -> None:
    return None
