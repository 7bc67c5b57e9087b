"""Ctrl-C and SIGTERM for whoever has something to tidy up first."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from benchmarks.errors import Terminated

STOPPING = (signal.SIGINT, signal.SIGTERM)
_raised: list[KeyboardInterrupt] = []


def handled_signals() -> list[signal.Signals]:
    """Ctrl-C and SIGTERM, unless whoever started this process has them ignored."""
    return [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def on_stopping(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Calls ``handler`` at Ctrl-C and SIGTERM, as far as they are handled_signals."""
    _raised.clear()
    previous = {number: signal.signal(number, handler) for number in handled_signals()}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def raise_once(number: int, _frame: FrameType | None) -> None:
    """Only the first signal: a terminal or a batch system tells every process, and a sweep passes it on."""
    ignore_further_signals()
    _raised.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
    raise _raised[0]


def signal_raised() -> KeyboardInterrupt | None:
    """Returns what ``raise_once`` raised; a library may have put an error of its own in its place."""
    return _raised[0] if _raised else None


def ignore_further_signals() -> None:
    """For a handler: no other signal gets through.

    With SIG_IGN Python would print a traceback for one that came in with the first and waits for its handler.
    """
    for number in handled_signals():
        signal.signal(number, lambda _number, _frame: None)
