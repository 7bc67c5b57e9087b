"""Clocks of a run; nothing else in the suite reads one."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType


class EpochTimer:
    """Times what stands in its ``with`` block, from an idle device to a drained device.

    Args:
        drain: Returns when the device has finished.
        barrier: Returns when every rank has come so far; the clock starts after it.

    Attributes:
        seconds: Elapsed time, known after the block.
    """

    def __init__(self, drain: Callable[[], None], barrier: Callable[[], None] = lambda: None) -> None:
        self._drain, self._barrier = drain, barrier
        self.seconds = 0.0

    def __enter__(self) -> EpochTimer:
        self._drain()
        self._barrier()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._drain()
        self.seconds = time.perf_counter() - self._start


def clock() -> float:
    """Monotonic seconds with an arbitrary start."""
    return time.perf_counter()
