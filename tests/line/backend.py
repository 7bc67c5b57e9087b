"""The functions of ``benchmarks.backends.Backend`` in numpy: a step of gradient descent, done at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.config import RunConfig
from benchmarks.workload import Training

OUT_OF_MEMORY = (MemoryError,)
LEARNING_RATE = 0.25  # d/dw (w - 2)^2 = 2 (w - 2): a step goes half the way


def configure(config: RunConfig) -> None:
    """Nothing to set."""


def device() -> str:
    return "cpu"


def versions() -> Mapping[str, str]:
    return {"numpy": np.__version__}


def put(array: np.ndarray) -> np.ndarray:
    return array


def train_step(training: Training, xla: bool) -> Callable[[np.ndarray, np.ndarray], float]:
    assert xla is False
    weight = training.model.weight

    def step(inputs: np.ndarray, targets: np.ndarray) -> float:
        predictions = inputs * weight
        loss = training.loss(predictions, targets, inputs)
        weight[:] -= LEARNING_RATE * np.mean(2 * (predictions - targets) * inputs)
        return loss

    return step


def predict_step(model, xla: bool) -> Callable[[np.ndarray], np.ndarray]:
    assert xla is False
    return lambda inputs: inputs * model.weight


def drain() -> None:
    """Nothing is ever under way."""


def device_memory_peak_bytes() -> None:
    return None


def device_memory_total_bytes() -> None:
    return None
