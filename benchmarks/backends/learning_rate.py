"""Learning rates of several ranks: scaled, and with a warm-up; the same on every framework."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class Scaled(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """``factor * base(step) * min(1, (step + 1) / warmup_steps)``.

    Source of the warm-up: P. Goyal et al., arXiv:1706.02677, here from nearly 0.

    Args:
        base: A schedule, or a number.
        factor: What the learning rate is multiplied by.
        warmup_steps: Steps in which it rises; 0 for none.
    """

    def __init__(self, base: Any, factor: float, warmup_steps: int) -> None:
        self.base, self.factor, self.warmup_steps = base, factor, warmup_steps

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step, which counts from 0."""
        rate = self.base(step) if callable(self.base) else self.base
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, (ops.cast(step, "float32") + 1.0) / self.warmup_steps)
        return rate * self.factor


def scale(optimizer: Any, factor: float, warmup_steps: int) -> None:
    """Puts a factor and a warm-up, where there are any, on the learning rate of an optimiser."""
    if factor == 1.0 and not warmup_steps:
        return
    base = optimizer.get_config()["learning_rate"]
    if isinstance(base, dict):
        base = keras.optimizers.schedules.deserialize(base)
    optimizer.learning_rate = Scaled(base, factor, warmup_steps)
