"""Doubles of numbers: an inference service whose every figure is checked by hand, the template of its kind.

Patch i of the event is the number i. The model multiplies by a weight, which starts at 0 and should become
2. A step of training halves its distance to 2, so it is 2 - 2/16 after four steps, and the answer to patch i
is 1.875 i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest

from benchmarks.config import ServingConfig, option
from benchmarks.resolution import Resolved, resolve
from benchmarks.workload import REGISTRY
from tests import line

WEIGHT = 1.875


@dataclass(frozen=True)
class DoublesConfig(ServingConfig):
    """Six patches, and four steps of two to train with."""

    workload: ClassVar[str] = "doubles"
    patch_bytes: ClassVar[int] = 4

    backend: str = option(line.BACKEND, "framework", choices=(line.BACKEND, "tensorflow"))
    event_patches: int = option(6, "patches", low=1, high=1000)
    train_patches: int = option(8, "patches", low=1, high=1000)
    train_batch: int = option(2, "patches", low=1, high=1000)
    batch_size: int = option(2, "patches", low=1, high=1000)
    other_batches: str = option("3", "batch sizes")
    repetitions: int = option(2, "repetitions", low=1, high=100)
    repetition_seconds: float = option(0.001, "seconds", low=0, high=60)
    clients: str = option("1", "loads")
    request_batches: str = option("4", "patches of a request")
    window_seconds: float = option(0.1, "seconds", low=0.01, high=60)
    trouble: str = option("none", "goes wrong", choices=("none", "nan", "other format"))
    min_accuracy: float = option(0.0, "floor", low=0, high=1)

    def expected_memory_bytes(self) -> int:
        return 100_000_001 + self.event_patches

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        if quality["accuracy"] >= self.min_accuracy:
            return ""
        return f"accuracy: expected at least {self.min_accuracy}, got {quality['accuracy']}"


PRESETS = {"smoke": DoublesConfig()}


def configured(*assignments: str) -> Resolved:
    return resolve("smoke", PRESETS["smoke"], sweep=assignments)


def register(patch: pytest.MonkeyPatch) -> None:
    """Makes the workload known, as a line in the registry does, and the backend of the line.

    Its model is none of Keras, which a Triton could load, and so there is no Triton for it.
    """
    line.register(patch)
    patch.setenv("HEPBENCH_TRITON", "/nowhere")
    patch.setitem(REGISTRY, "doubles", "tests.doubles")
