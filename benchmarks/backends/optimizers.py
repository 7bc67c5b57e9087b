"""Optimisers as a run needs them, on every framework: learning rates of several ranks, and float16."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from benchmarks.workload import Training


class Scaled(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The learning rate ``factor * base(step) * min(1, (step + 1) / warmup_steps)``.

    The warm-up is that of P. Goyal et al., arXiv:1706.02677, and starts here from nearly 0.

    Args:
        base: A schedule, or a number.
        factor: Number to multiply the learning rate by.
        warmup_steps: Steps in which the learning rate rises. 0 for none.
    """

    def __init__(self, base: Any, factor: float, warmup_steps: int) -> None:
        self.base, self.factor, self.warmup_steps = base, factor, warmup_steps

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step, which counts from 0."""
        rate = self.base(step) if callable(self.base) else self.base
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, (ops.cast(step, "float32") + 1.0) / self.warmup_steps)
        return rate * self.factor


def scale_learning_rate(optimizer: Any, factor: float, warmup_steps: int) -> None:
    """Applies a factor and a warm-up to the learning rate of an optimiser, if there are any."""
    if factor == 1.0 and not warmup_steps:
        return
    base = optimizer.get_config()["learning_rate"]
    if isinstance(base, dict):
        base = keras.optimizers.schedules.deserialize(base)
    optimizer.learning_rate = Scaled(base, factor, warmup_steps)


def build_optimizer(training: Training) -> Any:
    """Returns the optimiser with its variables. In float16, which has a short range, it scales the loss."""
    optimizer = training.optimizer
    if keras.config.dtype_policy().name == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(training.model.trainable_variables)
    return optimizer
