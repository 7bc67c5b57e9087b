"""Handlers of Ctrl-C and SIGTERM for programs that have something to tidy up before they end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from benchmarks.errors import Terminated

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_raised_stops: list[KeyboardInterrupt] = []


def handled_signals() -> list[signal.Signals]:
    """Returns Ctrl-C and SIGTERM, but not those that the parent of this process has it ignore."""
    return [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def on_stopping(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Calls ``handler`` at Ctrl-C and SIGTERM in the ``with`` block, except for signals that are ignored."""
    _raised_stops.clear()
    previous_handlers = {number: signal.signal(number, handler) for number in handled_signals()}
    try:
        yield
    finally:
        for number, previous in previous_handlers.items():
            signal.signal(number, previous)


def raise_once(number: int, _frame: FrameType | None) -> None:
    """Raises ``KeyboardInterrupt`` or ``Terminated`` at the first signal only.

    A process may get the same wish twice, because a terminal or a batch system signals every process of a
    job, and a sweep passes the signal on.
    """
    ignore_further_signals()
    _raised_stops.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
    raise _raised_stops[0]


def signal_raised() -> KeyboardInterrupt | None:
    """Returns what ``raise_once`` raised, which a library may have replaced by an error of its own."""
    return _raised_stops[0] if _raised_stops else None


def ignore_further_signals() -> None:
    """Lets no other signal of this kind through, also in a handler.

    With SIG_IGN, Python would print a traceback for a signal that arrived with the first one and waits for
    its handler.
    """
    for number in handled_signals():
        signal.signal(number, lambda _number, _frame: None)
