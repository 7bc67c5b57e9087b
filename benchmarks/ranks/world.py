"""The ranks of a run as one of them sees it; here, a process on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from benchmarks.ranks.place import ALONE, Place

T = TypeVar("T")


class World:
    """A process on its own, which costs nothing; ``distributed.join`` returns the form for several."""

    def __init__(self, place: Place = ALONE) -> None:
        self.place = place

    @property
    def rank(self) -> int:
        """From 0; rank 0 writes and shows progress."""
        return self.place.rank

    @property
    def size(self) -> int:
        """Number of ranks."""
        return self.place.size

    def rank_0_first(self, work: Callable[[], T]) -> T:
        """Does the work on rank 0 first, then on one rank of each other node, then on the rest.

        What the first one makes on a disk, with all cores of its node, the others find there. The framework
        is left alone.
        """
        return work()

    def broadcast_value(self, key: str, value: T) -> T:  # noqa: ARG002 (for ranks)
        """The value of rank 0, on every rank; the framework is left alone. Each key once."""
        return value

    def barrier(self) -> None:
        """Returns when every rank has come here."""

    def gather(self, value: T) -> list[T]:
        """The values of all ranks in their order, on every rank."""
        return [value]

    def sum_on_host(self, numbers: np.ndarray) -> np.ndarray:
        """The sum over the ranks, element by element, on the host; may be called in a thread."""
        return numbers

    def all_reduce(
        self,
        tensors: Sequence[Any],
        compression: str = "none",  # noqa: ARG002 (for ranks)
        name: str = "gradients",  # noqa: ARG002
    ) -> Sequence[Any]:
        """The tensors summed over the ranks, in one message; for use in a compiled step, outside XLA.

        Args:
            tensors: Tensors of the framework, the same shapes on every rank.
            compression: ``none`` or ``fp16``, the format on the way.
            name: Of the message; no two under way have the same.
        """
        return tensors

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Gives every rank the values of rank 0."""

    def leave(self, status: str, reason: str) -> None:
        """Says how this rank ended, for those that will miss it."""

    def explain_loss_of_rank(self, error: BaseException) -> tuple[str, str] | None:  # noqa: ARG002 (for ranks)
        """How the run ended, as (status, reason), if the error means that another rank is gone."""
        return None

    def libraries(self) -> dict[str, str]:
        """What joins the ranks."""
        return {}


LONE_WORLD = World()
