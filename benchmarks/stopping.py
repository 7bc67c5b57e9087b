"""Handlers of Ctrl-C and other signals for programs that have something to tidy up before they end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from benchmarks.errors import Terminated

# Ctrl-C, the usual wish of a program, a terminal that is gone, and the warnings that batch systems send
# before a job's time is over.
STOP_SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
_raised_stops: list[KeyboardInterrupt] = []


def handled_signals() -> list[signal.Signals]:
    """Returns ``STOP_SIGNALS`` without those that the parent of this process has it ignore, as nohup does."""
    return [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def on_stopping(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Calls ``handler`` at each of ``handled_signals`` in the ``with`` block."""
    _raised_stops.clear()
    previous_handlers = {number: signal.signal(number, handler) for number in handled_signals()}
    try:
        yield
    finally:
        for number, previous in previous_handlers.items():
            if signal.getsignal(number) is not signal.SIG_IGN:  # as after ``ignore_signals_until_exit``
                signal.signal(number, previous)


def raise_once(number: int, _frame: FrameType | None) -> None:
    """Raises ``KeyboardInterrupt`` or ``Terminated`` at the first signal only.

    A process may get the same wish twice, because a terminal or a batch system signals every process of a
    job, and a sweep passes the signal on.
    """
    ignore_further_signals()
    _raised_stops.append(KeyboardInterrupt() if number == signal.SIGINT else Terminated(number))
    raise _raised_stops[0]


def signal_raised() -> KeyboardInterrupt | None:
    """Returns what ``raise_once`` raised, which a library may have replaced by an error of its own."""
    return _raised_stops[0] if _raised_stops else None


def signal_name(stop: KeyboardInterrupt) -> str:
    """Returns what a person calls the signal behind an exception, such as ``SIGTERM`` or ``Ctrl-C``."""
    return stop.signal.name if isinstance(stop, Terminated) else "Ctrl-C"


def exit_code(name: str) -> int:
    """Returns the exit code after a signal.

    Args:
        name: Name of the signal as from ``signal_name``, or a reason that begins with it.
    """
    first_word = name.partition(" ")[0]
    return 128 + getattr(signal.Signals, first_word, signal.SIGINT)


def ignore_further_signals() -> None:
    """Lets no other signal of this kind through, also in a handler.

    With SIG_IGN, Python would print a traceback for a signal that arrived with the first one and waits for
    its handler.
    """
    for number in handled_signals():
        signal.signal(number, lambda _number, _frame: None)


def ignore_signals_until_exit() -> None:
    """Lets no signal change how this process ends, also while Python itself shuts down.

    A terminal, a shell and a batch system may each send a signal, and the kernel sends some every second.
    """
    for number in handled_signals():
        signal.signal(number, signal.SIG_IGN)
