"""The squares as the runner sees them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.errors import RunFailedError
from benchmarks.workload import Implementation
from tests.squares import NAMES, SquaresConfig


@dataclass
class SquareEvents:
    sha256: str = "cd" * 32

    def description(self) -> dict[str, Any]:
        return {"generator": "by hand"}


class SquaresWorkload:
    def prepare(self, config: SquaresConfig, note: Callable[[str], None]) -> SquareEvents:  # noqa: ARG002
        return SquareEvents()

    def implementations(self) -> Mapping[str, Implementation]:
        return {
            name: Implementation(
                description=name,
                algorithm="the same operations",
                expected_bytes=lambda events: 10**13 if events > 1000 else 8 * events,
                operations_per_event=3.0,
                ensembles_per_call=2 if name == "vectorised" else 1,
                missing="the shop is closed" if name == "spare" and "SHOP_CLOSED" in os.environ else "",
            )
            for name in NAMES
        }

    def build(
        self, config: SquaresConfig, events: SquareEvents, name: str, count: int, backend: Any
    ) -> Callable[[Sequence[int]], list[float]]:
        assert (backend, events.sha256) == (None, "cd" * 32)
        trouble = config.trouble if name == "spare" else "none"

        def figures(replicas: Sequence[int]) -> list[float]:
            match trouble:
                case "fails":
                    raise RunFailedError("cross section of event 7: expected a finite number, got nan")
                case "breaks":
                    raise ValueError("a shape is wrong")
                case "dies":
                    os._exit(9)
                case "wrong":
                    return [0.0 for _ in replicas]
            if config.trouble == "one of two" and min(os.sched_getaffinity(0)) > 0:
                raise RunFailedError("the second core is tired")
            if config.trouble == "side by side" and min(os.sched_getaffinity(0)) > 0:
                return [-1.0 for _ in replicas]
            if name == "vectorised":
                return [float(np.mean((np.arange(count) + replica) ** 2.0)) for replica in replicas]
            return [sum((i + replica) ** 2 for i in range(count)) / count for replica in replicas]

        return figures

    def quality(self, config: SquaresConfig, name: str, backend: Any) -> dict[str, float]:  # noqa: ARG002
        inexact = config.trouble == "inexact" and name == "spare"
        return {"deviation": 0.05 if inexact else 0.0}

    def published_rows(self, speed_ups: Mapping[str, float], device: str) -> list[list[str]]:
        return [["book", "here"], ["1 square", f"{', '.join(speed_ups)} on {device}"]]


WORKLOAD = SquaresWorkload()
