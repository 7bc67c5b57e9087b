"""What a step takes on many ranks, foretold from few ranks and from all-reduces. numpy and scipy only.

A step computes, then all-reduces: ``step(n, b) = serial + event b + ring(n, m)`` for ``n`` ranks with ``b``
events each and gradients of ``m`` bytes. The ring is the alpha-beta model of a ring all-reduce: each rank
sends ``2 (n - 1)`` messages of ``m / n`` bytes; alpha is what a message takes, beta what a byte takes. What
a library takes for a call on any number of ranks, such as Horovod's wait for its next cycle, is apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class AllReduce:
    """A measured all-reduce: ``size`` bytes from each of ``ranks``, in ``seconds``."""

    ranks: int
    size: float
    seconds: float


@dataclass(frozen=True)
class Ring:
    """A ring all-reduce.

    Attributes:
        alpha: Seconds of a message.
        beta: Seconds of a byte.
        call: Seconds that an all-reduce takes in any case; None where it cannot be told from ``alpha``.
    """

    alpha: float
    beta: float
    call: float | None = None

    def seconds(self, ranks: int, size: float) -> float:
        """``call + 2 (n - 1) alpha + 2 (n - 1) / n m beta``; nothing for one rank."""
        if ranks == 1:
            return 0.0
        messages, sent = _ring(ranks, size)
        return (self.call or 0.0) + messages * self.alpha + sent * self.beta

    @classmethod
    def fit(cls, measured: Sequence[AllReduce]) -> Ring:
        """The ring nearest to all-reduces, none of them on one rank: least squares of relative deviations.

        Relative, so that small messages, which alone say what alpha is, count as much as large ones.
        Nothing gets below 0. Several numbers of ranks tell ``call`` from ``alpha``, one number does not.
        """
        several = len({each.ranks for each in measured}) > 1
        columns = np.array([(*_ring(each.ranks, each.size), 1.0)[: 3 if several else 2] for each in measured])
        relative = columns / np.array([[each.seconds] for each in measured])
        scale = np.linalg.norm(relative, axis=0)  # seconds and seconds per byte are of different size
        scaled, _ = nnls(relative / scale, np.ones(len(measured)))
        return cls(*map(float, scaled / scale))

    def deviation(self, measured: Sequence[AllReduce]) -> float:
        """Root mean square of the relative deviations from all-reduces."""
        squares = [(self.seconds(each.ranks, each.size) / each.seconds - 1) ** 2 for each in measured]
        return math.sqrt(math.fsum(squares) / len(squares))


def _ring(ranks: int, size: float) -> tuple[float, float]:
    """Messages and bytes that a rank sends."""
    return 2.0 * (ranks - 1), 2.0 * (ranks - 1) / ranks * size


@dataclass(frozen=True)
class Computing:
    """Seconds that a rank computes in a step: ``serial`` in any case, and ``event`` for each event."""

    serial: float
    event: float

    def seconds(self, batch_size: float) -> float:
        """Of a step with so many events."""
        return self.serial + self.event * batch_size

    def serial_share(self, batch_size: float) -> float:
        """Share of a step with so many events that more ranks do not shorten."""
        seconds = self.seconds(batch_size)
        return self.serial / seconds if seconds else 0.0

    @classmethod
    def proportional(cls, batch_size: int, seconds: float) -> Computing:
        """From one batch size; holds for that one only."""
        return cls(0.0, seconds / batch_size)

    @classmethod
    def through(cls, large: tuple[int, float], small: tuple[int, float]) -> Computing:
        """The line through two steps (batch size, seconds); no part of it is below 0, whatever the noise."""
        (batch_size, seconds), (other_batch, other_seconds) = large, small
        event = max(0.0, (seconds - other_seconds) / (batch_size - other_batch))
        event = min(event, seconds / batch_size)
        return cls(seconds - event * batch_size, event)


@dataclass(frozen=True)
class Model:
    """Steps on any number of ranks; ``size`` is the bytes of the gradients on their way."""

    computing: Computing
    ring: Ring
    size: float

    def step_seconds(self, ranks: int, batch_size: int) -> float:
        """A step with so many events on each rank."""
        return self.computing.seconds(batch_size) + self.ring.seconds(ranks, self.size)

    def throughput(self, ranks: int, batch_size: int) -> float:
        """Of all ranks together, in events/s."""
        return ranks * batch_size / self.step_seconds(ranks, batch_size)

    def communication_share(self, ranks: int, batch_size: int) -> float:
        """Share of the step in which gradients are on their way."""
        return self.ring.seconds(ranks, self.size) / self.step_seconds(ranks, batch_size)
