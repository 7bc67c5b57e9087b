"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from benchmarks.result import EpochRecord
from benchmarks.timing import clock

REFRESH_SECONDS = 1.0  # the loss is fetched from the device once a refresh, and only for a terminal

log = logging.getLogger("hepbench")


class Progress:
    """Lines for the run's log and for standard error.

    Args:
        visible: Write to standard error.
        terminal: Standard error is a terminal: draw a bar.
    """

    def __init__(self, visible: bool, terminal: bool) -> None:
        self._visible = visible
        self._terminal = visible and terminal
        self._bar: Any = None
        self._started = self._refreshed = 0.0
        self._done = self._events = 0

    def note(self, line: str) -> None:
        """One line of text."""
        log.info(line)
        if self._visible:
            click.echo(line, err=True)

    def epoch_begins(self, index: int, epochs: int, events: int) -> None:
        """An epoch of ``events`` events starts."""
        self._started = self._refreshed = clock()
        self._done, self._events = 0, events
        if self._terminal:
            label = f"epoch {index + 1}/{epochs}"
            self._bar = click.progressbar(
                length=events, label=label, item_show_func=lambda text: text, file=sys.stderr
            )
            self._bar.__enter__()

    def step(self, events: int, loss: Callable[[], float]) -> None:
        """A step of ``events`` events is done; ``loss`` fetches its loss from the device."""
        self._done = min(self._done + events, self._events)
        now = clock()
        if self._bar is not None and now - self._refreshed >= REFRESH_SECONDS:
            self._refreshed = now
            rate = self._done / (now - self._started)
            self._bar.update(self._done - self._bar.pos, f"{rate:.1f} events/s, loss {loss():.4g}")

    def epoch_ends(self, epochs: int, record: EpochRecord | None = None) -> None:
        """An epoch is over; without a record it was broken off."""
        if self._bar is not None:
            if record is not None:
                self._bar.update(self._done - self._bar.pos)
            self._bar.__exit__(None, None, None)
            self._bar = None
        if record is not None:
            self.note(
                f"epoch {record.index + 1}/{epochs}{' (warm-up)' if record.warmup else ''}: "
                f"{record.seconds:.2f} s, {record.throughput:.3f} events/s, loss {record.loss:.5g}, "
                f"validation loss {record.validation.get('loss', float('nan')):.5g}, "
                f"input wait {100 * record.input_wait_fraction:.1f} %"
            )
