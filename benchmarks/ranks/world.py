"""The ranks of a run as one of them sees them, and the form of that for a process on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from benchmarks.ranks.ending import Ending
from benchmarks.ranks.place import ALONE, Place

T = TypeVar("T")


class World:
    """The world of a process on its own, which costs nothing; ``horovod.join`` returns that of several."""

    def __init__(self, place: Place = ALONE) -> None:
        self.place = place

    @property
    def rank(self) -> int:
        """Returns the number of this rank, from 0. Rank 0 writes the files and shows the progress."""
        return self.place.rank

    @property
    def size(self) -> int:
        """Returns the number of ranks."""
        return self.place.size

    def rank_0_first(self, work: Callable[[], T]) -> T:
        """Does the work on rank 0 first, then on one rank of each other node, then on all other ranks.

        What the first rank of a node writes to a disk, with all cores of the node, the others read there. No
        message goes through the framework.
        """
        return work()

    def broadcast_value(self, key: str, value: T) -> T:  # noqa: ARG002 (for ranks)
        """Returns the value of rank 0, on every rank. No message goes through the framework.

        Args:
            key: Name of the value, which may be used once in a run.
            value: Value of this rank, any object that can be pickled.
        """
        return value

    def barrier(self) -> None:
        """Waits until every rank has come here."""

    def gather(self, value: T) -> list[T]:
        """Returns the values of all ranks in the order of the ranks, on every rank."""
        return [value]

    def sum_on_host(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the sum over the ranks, element by element, computed on the host.

        It may be called in a thread.
        """
        return numbers

    def all_reduce(
        self,
        tensors: Sequence[Any],
        compression: str = "none",  # noqa: ARG002 (for ranks)
        name: str = "gradients",  # noqa: ARG002
    ) -> Sequence[Any]:
        """Sums tensors over the ranks in one message, in a compiled step but outside XLA.

        Args:
            tensors: Tensors of the framework, with the same shapes on every rank.
            compression: ``none``, or ``fp16`` to send the tensors as float16.
            name: Name of the message. No two messages under way may have the same name.

        Returns:
            The sums, in the order of ``tensors`` and with their shapes.
        """
        return tensors

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Gives the variables on every rank the values of rank 0."""

    def leave(self, status: str, reason: str) -> None:
        """Tells the other ranks how this rank ended, because they will miss it."""

    def explain_loss_of_rank(self, error: BaseException) -> Ending | None:  # noqa: ARG002 (for ranks)
        """Returns how the run ended if the error means that another rank is gone, and otherwise None."""
        return None

    def libraries(self) -> dict[str, str]:
        """Returns the libraries that join the ranks, with their versions or kinds."""
        return {}


LONE_WORLD = World()
