"""The doubles as the runner sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.workload import Batch, Purpose, Training
from tests.doubles import DoublesConfig
from tests.line.workload import squared


def preprocess(raw: np.ndarray) -> np.ndarray:
    """Returns numbers, (patches, 1) float32, of stored ones, (patches,) int16."""
    return raw[:, None].astype(np.float32)


@dataclass
class Numbers:
    config: DoublesConfig
    sha256: str = "ef" * 32

    def description(self) -> dict[str, Any]:
        return {"generator": "by hand"}

    def raw(self) -> np.ndarray:
        return np.arange(self.config.event_patches, dtype=np.int16)

    def batches(
        self,
        split: str,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        *,
        purpose: Purpose = "validation",  # noqa: ARG002
    ) -> Iterator[Batch]:
        """Yields ones to train on, which should become 2, and the patches of the event."""
        raw = np.ones(self.config.train_patches, np.int16) if split == "train" else self.raw()
        wrong = split == "train" and self.config.trouble == "nan"
        for start in range(rank * batch_size, len(raw), ranks * batch_size):
            inputs = preprocess(raw[start : start + batch_size])
            targets = np.full_like(inputs, np.nan) if wrong else 2 * inputs
            yield Batch(inputs, targets, len(inputs), len(inputs), len(inputs))


class Accuracy:
    """Share of the patches whose answer is within a tenth of its double."""

    def __init__(self) -> None:
        self.met: list[bool] = []

    def update(self, predictions: Sequence[np.ndarray], batch: Batch) -> None:
        (doubles,) = predictions
        self.met.extend((np.abs(doubles - batch.targets) <= 0.1 * batch.targets).ravel().tolist())

    def merge(self, other: Accuracy) -> None:
        self.met.extend(other.met)

    def result(self) -> dict[str, float]:
        return {"accuracy": sum(self.met) / len(self.met)}

    def breakdown(self) -> dict[str, Any]:
        return {}


@dataclass
class Model:
    factor: float = 1.0
    weight: np.ndarray = field(default_factory=lambda: np.zeros(1))
    non_trainable_variables: tuple[np.ndarray, ...] = ()

    @property
    def weights(self) -> list[np.ndarray]:
        return [self.weight]

    @property
    def trainable_variables(self) -> list[np.ndarray]:
        return self.weights

    def get_weights(self) -> list[np.ndarray]:
        return [self.weight.copy()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        self.weight[:] = self.factor * weights[0]


class DoublesWorkload:
    preprocess = staticmethod(preprocess)

    def prepare(self, config: DoublesConfig, note: Callable[[str], None]) -> Numbers:  # noqa: ARG002
        return Numbers(config)

    def build(self, config: DoublesConfig, rng: np.random.Generator) -> Training:  # noqa: ARG002
        wrong = config.trouble == "other format" and config.precision != "float32"
        return Training(Model(10.0 if wrong else 1.0), squared, optimizer=None)

    def outputs(self) -> Mapping[str, int]:
        return {"double": 1}

    def metrics(self) -> Accuracy:
        return Accuracy()


WORKLOAD = DoublesWorkload()
