"""Means of squares: a numerical kernel whose every figure is checked by hand, the template of its kind.

Ensemble r of n events is the mean of (i + r)^2 over i = 0 ... n - 1. With 3 events, the
figure of ensemble 0 is 5/3, and that of ensemble 1 is 14/3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import pytest

from benchmarks.config import KernelConfig, option
from benchmarks.kernels import worker
from benchmarks.resolution import Resolved, resolve
from benchmarks.workload import REGISTRY
from tests import line

NAMES = ("loop", "vectorised", "spare")


@dataclass(frozen=True)
class SquaresConfig(KernelConfig):
    """Three events. ``trouble`` comes to the implementation ``spare``, unless it says otherwise."""

    workload: ClassVar[str] = "squares"

    backend: str = option(line.BACKEND, "framework", choices=(line.BACKEND, "tensorflow"))
    events: int = option(3, "events", low=1, high=10**9)
    series_events: int = option(100, "events", low=1, high=10**9)
    repetitions: int = option(2, "repetitions", low=1, high=100)
    repetition_seconds: float = option(0.01, "seconds", low=0, high=60)
    bootstraps: int = option(10, "ensembles", low=1, high=1000)
    implementation: str = option("auto", "scored", choices=("auto", *NAMES))
    event_bytes: int = option(8, "memory of an event", low=0, high=10**18)
    trouble: str = option(
        "none",
        "goes wrong",
        choices=("none", "wrong", "inexact", "fails", "breaks", "dies", "one of two", "side by side"),
    )
    max_deviation: float = option(0.1, "floor", low=0, high=1)

    def with_auto_resolved(self, device: str, room: int | None) -> Self:
        config = super().with_auto_resolved(device, room)
        name = "vectorised" if config.implementation == "auto" else config.implementation
        return dataclasses.replace(config, implementation=name)

    def expected_memory_bytes(self) -> int:
        return 100_000_001 + self.events

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        if quality["deviation"] <= self.max_deviation:
            return ""
        return f"deviation: expected at most {self.max_deviation}, got {quality['deviation']}"


PRESETS = {"smoke": SquaresConfig()}


def rates() -> dict[str, float]:
    """Returns rates of a machine that nobody has to measure."""
    operations = {f"{number}_operations_per_second": 1e10 for number in ("float64", "float32")}
    return {"copy_bytes_per_second": 1e10, **operations}


def configured(*assignments: str) -> Resolved:
    return resolve("smoke", PRESETS["smoke"], sweep=assignments)


def register(patch: pytest.MonkeyPatch) -> None:
    """Makes the workload known, as a line in the registry does, and the backend of the line."""
    line.register(patch)
    patch.setitem(REGISTRY, "squares", "tests.squares")
    patch.setattr(worker, "rates_of_machine", rates)
