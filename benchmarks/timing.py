"""The clocks of a run. Nothing else in the suite reads a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType


class EpochTimer:
    """Times its ``with`` block, from an idle device to a drained device.

    Args:
        drain: Returns when the device has finished.
        barrier: Returns when every rank has called it. The clock starts afterwards.

    Attributes:
        seconds: Elapsed time, which is set at the end of the block.
        started_at: When the clock started, in seconds since 1970 (UTC), to set it beside other clocks.
    """

    def __init__(self, drain: Callable[[], None], barrier: Callable[[], None] = lambda: None) -> None:
        self._drain, self._barrier = drain, barrier
        self.seconds = self.started_at = 0.0

    def __enter__(self) -> EpochTimer:
        self._drain()
        self._barrier()
        self.started_at = time.time()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._drain()
        self.seconds = time.perf_counter() - self._start


def clock() -> float:
    """Returns monotonic seconds with an arbitrary start."""
    return time.perf_counter()


def date_text(seconds: float) -> str:
    """Returns a date in words, such as ``2026-01-31 13:05 UTC``, of seconds since 1970 (UTC)."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def date() -> float:
    """Returns the seconds since 1970 (UTC), to set a run beside the clocks of others."""
    return time.time()
