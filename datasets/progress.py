"""How far long work has come: a bar with the remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, TextIO

import click

from datasets.parallel import Progress


class _Bars:
    """One bar after another on a terminal."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._bar: Any = None

    def show(self, what: str, done_count: int, total: int) -> None:
        """Draws the bar of one piece of work, which begins with its first call and ends with the total."""
        with suppress(OSError):  # a terminal that hangs up does not end the work
            if self._bar is None:
                self._bar = click.progressbar(length=total, label=what, file=self._terminal, show_pos=True)
                self._bar.__enter__()
            self._bar.update(done_count - self._bar.pos)
        if done_count >= total:
            self.finish()

    def finish(self) -> None:
        """Ends the line of a bar that is under way."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.__exit__(None, None, None)
            self._bar = None


_bars: ContextVar[_Bars | None] = ContextVar("bars", default=None)


@contextmanager
def bars_on(terminal: TextIO | None) -> Iterator[None]:
    """Draws bars for the work that is begun in the ``with`` block.

    Args:
        terminal: Where to; None for lines in place of bars.
    """
    if terminal is None:
        yield
        return
    bars = _Bars(terminal)
    token = _bars.set(bars)
    try:
        yield
    finally:
        _bars.reset(token)
        bars.finish()


def bar_or_lines(what: str, lines: Progress) -> Progress:
    """Returns a progress that draws a bar where ``bars_on`` asks for bars, and ``lines`` elsewhere.

    Args:
        what: Label of the bar, such as "generated".
        lines: Progress that writes lines.
    """
    bars = _bars.get()
    return lines if bars is None else partial(bars.show, what)


def bar_or_tenths(tell: Callable[[str], None], what: str) -> Progress:
    """Returns a progress that draws a bar, or writes a line for each tenth of the work, once.

    Args:
        tell: Function that takes a line.
        what: Label of the bar and beginning of each line, such as "generated".
    """
    last_tenth = 0

    def lines(done_count: int, total: int) -> None:
        nonlocal last_tenth
        tenth = 10 * done_count // total
        if tenth > last_tenth:
            last_tenth = tenth
            tell(f"{what} {10 * tenth} %")

    return bar_or_lines(what, lines)
