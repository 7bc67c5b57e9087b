"""The progress of a run as a person sees it: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from benchmarks.result import EpochRecord
from benchmarks.streams import say
from benchmarks.timing import clock

REFRESH_SECONDS = 1.0  # the loss is fetched from the device once a refresh, and only for a terminal

log = logging.getLogger("hepbench")


class Progress:
    """Lines for the run's log and for standard error.

    Args:
        visible: Write to standard error.
        terminal: Draw a bar, because standard error is a terminal.
    """

    def __init__(self, visible: bool, terminal: bool) -> None:
        self._visible = visible
        self._terminal = visible and terminal
        self._bar: Any = None
        self._started = self._refreshed = 0.0
        self._events_done = self._events = 0

    def note(self, line: str) -> None:
        """Writes a line of text."""
        log.info(line)
        if self._visible:
            say(line, err=True)

    def epoch_begins(self, index: int, epochs: int, events: int) -> None:
        """Starts the bar of an epoch of ``events`` events."""
        self._started = self._refreshed = clock()
        self._events_done, self._events = 0, events
        if self._terminal:
            label = f"epoch {index + 1}/{epochs}"
            self._bar = click.progressbar(
                length=events, label=label, item_show_func=lambda text: text, file=sys.stderr
            )
            with suppress(OSError):
                self._bar.__enter__()

    def step(self, events: int, loss: Callable[[], float]) -> None:
        """Advances the bar by a step.

        Args:
            events: Events of the step.
            loss: Fetches the step's loss from the device, which is done only when the bar is drawn.
        """
        self._events_done = min(self._events_done + events, self._events)
        now = clock()
        if self._bar is not None and now - self._refreshed >= REFRESH_SECONDS:
            self._refreshed = now
            rate = self._events_done / (now - self._started)
            text = f"{rate:.1f} events/s, loss {loss():.4g}"
            with suppress(OSError):
                self._bar.update(self._events_done - self._bar.pos, text)

    def epoch_ends(self, epochs: int, record: EpochRecord | None = None) -> None:
        """Ends the bar of an epoch, and writes a line about its record. None if the epoch did not finish."""
        if self._bar is not None:
            with suppress(OSError):
                if record is not None:
                    self._bar.update(self._events_done - self._bar.pos)
                self._bar.__exit__(None, None, None)
            self._bar = None
        if record is not None:
            self.note(
                f"epoch {record.index + 1}/{epochs}{' (warm-up)' if record.warmup else ''}: "
                f"{record.seconds:.2f} s, {record.throughput:.3f} events/s, loss {record.loss:.5g}, "
                f"validation loss {record.validation.get('loss', float('nan')):.5g}, "
                f"input wait {100 * record.input_wait_fraction:.1f} %"
            )
