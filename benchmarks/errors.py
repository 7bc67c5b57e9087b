"""The errors that end a run. Each has one line for the person who started it."""

from __future__ import annotations

import signal


class UsageError(Exception):
    """An error of the call. Says what was expected, what came and what to do. Exit code 2."""


class RunFailedError(Exception):
    """A failure of the run itself, such as NaN, a lack of memory, or a poor quality. Exit code 1."""


class Terminated(KeyboardInterrupt):
    """The arrival of SIGTERM or another signal that ends a run. Exit code 128 plus its number.

    Attributes:
        signal: The signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.signal = signal.Signals(number)
