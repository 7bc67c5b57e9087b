"""Predicts the time of a step on many ranks from runs on few ranks and from measured all-reduces.

A step computes and then all-reduces: ``step(n, b) = serial + event b + ring(n, m)`` for ``n`` ranks with
``b`` events each and gradients of ``m`` bytes. The ring is the alpha-beta model of a ring all-reduce. Each
rank sends ``2 (n - 1)`` messages of ``m / n`` bytes, a message takes alpha and a byte takes beta. The time
that a library takes for a call on any number of ranks, such as Horovod's wait for its next cycle, is a third
term.

This module needs numpy and scipy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class AllReduce:
    """A measured all-reduce of ``size`` bytes from each of ``ranks`` ranks, which took ``seconds``."""

    ranks: int
    size: float
    seconds: float


@dataclass(frozen=True)
class Ring:
    """The time of a ring all-reduce.

    Attributes:
        alpha: Seconds of a message.
        beta: Seconds of a byte.
        call: Seconds that an all-reduce takes in any case. None if it cannot be told from ``alpha``.
    """

    alpha: float
    beta: float
    call: float | None = None

    def seconds(self, ranks: int, size: float) -> float:
        """Returns ``call + 2 (n - 1) alpha + 2 (n - 1) / n m beta``, or 0 for one rank."""
        if ranks == 1:
            return 0.0
        messages, sent_bytes = _messages_and_bytes(ranks, size)
        return (self.call or 0.0) + messages * self.alpha + sent_bytes * self.beta

    @classmethod
    def fit(cls, measured: Sequence[AllReduce]) -> Ring:
        """Fits a ring to measured all-reduces, with least squares of the relative deviations.

        Deviations are relative, so that small messages, which alone say what alpha is, count as much as
        large ones. No figure gets below 0. Several numbers of ranks tell ``call`` from ``alpha``, one number
        does not.

        Args:
            measured: All-reduces, none of them on one rank.
        """
        terms = 3 if len({reduce.ranks for reduce in measured}) > 1 else 2
        columns = np.array(
            [(*_messages_and_bytes(reduce.ranks, reduce.size), 1.0)[:terms] for reduce in measured]
        )
        relative = columns / np.array([[reduce.seconds] for reduce in measured])
        scale = np.linalg.norm(relative, axis=0)  # seconds and seconds per byte are of different size
        scaled, _ = nnls(relative / scale, np.ones(len(measured)))
        return cls(*map(float, scaled / scale))

    def deviation(self, measured: Sequence[AllReduce]) -> float:
        """Returns the root mean square of the relative deviations from measured all-reduces."""
        squares = [(self.seconds(reduce.ranks, reduce.size) / reduce.seconds - 1) ** 2 for reduce in measured]
        return math.sqrt(math.fsum(squares) / len(squares))


def _messages_and_bytes(ranks: int, size: float) -> tuple[float, float]:
    """Returns the messages and the bytes that a rank sends."""
    return 2.0 * (ranks - 1), 2.0 * (ranks - 1) / ranks * size


@dataclass(frozen=True)
class Computing:
    """The seconds that a rank computes in a step: ``serial`` in any case, and ``event`` for each event."""

    serial: float
    event: float

    def seconds(self, batch_size: float) -> float:
        """Returns the computing time of a step with ``batch_size`` events, in seconds."""
        return self.serial + self.event * batch_size

    def serial_share(self, batch_size: float) -> float:
        """Returns the share of a step with ``batch_size`` events that more ranks do not shorten."""
        seconds = self.seconds(batch_size)
        return self.serial / seconds if seconds else 0.0

    @classmethod
    def proportional(cls, batch_size: int, seconds: float) -> Computing:
        """Makes a model from a step of ``batch_size`` events, which holds for that batch size only."""
        return cls(0.0, seconds / batch_size)

    @classmethod
    def through(cls, large: tuple[int, float], small: tuple[int, float]) -> Computing:
        """Draws the line through two steps (batch size, seconds). Noise makes no part of it negative."""
        (batch_size, seconds), (other_batch, other_seconds) = large, small
        event = max(0.0, (seconds - other_seconds) / (batch_size - other_batch))
        event = min(event, seconds / batch_size)
        return cls(seconds - event * batch_size, event)


@dataclass(frozen=True)
class Model:
    """The time of steps on any number of ranks.

    Attributes:
        computing: The part in which ranks compute.
        ring: The part in which they all-reduce.
        size: Bytes of the gradients between the ranks.
    """

    computing: Computing
    ring: Ring
    size: float

    def step_seconds(self, ranks: int, batch_size: int) -> float:
        """Returns the time of a step with ``batch_size`` events on each rank, in seconds."""
        return self.computing.seconds(batch_size) + self.ring.seconds(ranks, self.size)

    def throughput(self, ranks: int, batch_size: int) -> float:
        """Returns the throughput of all ranks together, in events/s."""
        return ranks * batch_size / self.step_seconds(ranks, batch_size)

    def communication_share(self, ranks: int, batch_size: int) -> float:
        """Returns the share of a step in which ranks exchange gradients."""
        return self.ring.seconds(ranks, self.size) / self.step_seconds(ranks, batch_size)
