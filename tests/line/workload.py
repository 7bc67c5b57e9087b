"""The line as the runner sees it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Batch, Purpose, Training
from datasets.errors import DataError
from tests.line import LineConfig

PADDED = 4


@dataclass
class LineEvents:
    config: LineConfig
    epochs_read: int = 0
    sha256: str = "ab" * 32

    def description(self) -> dict[str, Any]:
        return {"generator": "by hand"}

    def batches(
        self,
        split: str,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        *,
        purpose: Purpose = "validation",
    ) -> Iterator[Batch]:
        count = self.config.train_events if split == "train" else self.config.validation_events
        epoch = self.epochs_read
        self.epochs_read += split == "train"
        for step, start in enumerate(range(rank * batch_size, count, ranks * batch_size)):
            events = min(batch_size, count - start)
            time.sleep(self.config.wait)
            targets = None if purpose == "inference" else np.full((events, 1), 2.0)
            if split == "train" and (epoch, step) == (1, 1):
                self._go_wrong(targets)
            elements = sum(1 + event for event in range(start, start + events))
            ballast = np.ones(events * self.config.held_bytes, np.uint8)
            yield Batch(np.ones((events, 1)), targets, events, elements, PADDED * events)
            del ballast

    def _go_wrong(self, targets: np.ndarray) -> None:
        match self.config.trouble:
            case "nan":
                targets[0] = np.nan
            case "reader":
                raise OSError(5, "Input/output error")
            case "memory":
                raise MemoryError  # as Python's own, without a word


class Accuracy:
    """Share of the events whose prediction is right to a tenth."""

    def __init__(self) -> None:
        self.met: list[bool] = []

    def update(self, predictions: np.ndarray, batch: Batch) -> None:
        self.met.extend((np.abs(predictions - batch.targets) < 0.1).ravel().tolist())

    def merge(self, other: Accuracy) -> None:
        self.met.extend(other.met)

    def result(self) -> dict[str, float]:
        return {"accuracy": sum(self.met) / len(self.met)}

    def breakdown(self) -> dict[str, Any]:
        return {"events": len(self.met)}


@dataclass
class Model:
    weight: np.ndarray = field(default_factory=lambda: np.zeros(1))

    @property
    def weights(self) -> list[np.ndarray]:
        return [self.weight]

    trainable_variables = weights
    non_trainable_variables: tuple[np.ndarray, ...] = ()


def squared(predictions: np.ndarray, targets: np.ndarray, _inputs: np.ndarray) -> float:
    return float(np.mean((predictions - targets) ** 2))


class LineWorkload:
    def prepare(self, config: LineConfig, note: Callable[[str], None]) -> LineEvents:
        if config.data and not Path(config.data).exists():
            raise DataError(f"{config.data} has no manifest.json")
        if config.trouble == "rank 1" and os.environ["HOROVOD_RANK"] == "1":
            raise RuntimeError("no such device")
        if config.trouble == "broken":
            raise RuntimeError("no such device")
        if config.trouble == "prepare":
            note("making events")
            # Python looks for signals before a call that waits, and one that comes between that look and the
            # wait itself is only seen after it. Short waits make that late by a moment, not by a minute.
            for _ in range(1200):
                time.sleep(0.05)
        return LineEvents(config)

    def build(self, config: LineConfig, rng: np.random.Generator) -> Training:  # noqa: ARG002
        return Training(Model(), squared, optimizer=None)

    def metrics(self) -> Accuracy:
        return Accuracy()


WORKLOAD = LineWorkload()
