"""The world of a rank that is alone, and what errors of several say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import distributed
from benchmarks.distributed import join
from benchmarks.ranks import ALONE, Place
from benchmarks.world import LONE_WORLD, World


def test_a_process_alone_has_nobody_to_wait_for() -> None:
    """Nor does it need Horovod."""
    world = join(ALONE)
    assert world is LONE_WORLD
    assert (world.rank, world.size) == (0, 1)
    world.barrier()
    assert world.gather("mine") == ["mine"]
    assert world.in_turn(lambda: 42) == 42
    numbers = np.array([1.0, 2.0])
    assert world.total(numbers) is numbers
    tensors = [object()]
    assert world.summed(tensors) is tensors
    assert world.blame(RuntimeError("Horovod has been shut down")) is None
    assert world.libraries() == {}


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("Horovod has been shut down. This was caused by an exception on one of the ranks", True),
        ("[/x/horovod-0.28.1/third_party/gloo/transport/tcp/pair.cc:589] Read error: Connection reset", True),
        ("[pair.cc:589 of Gloo] Connection closed by peer", True),
        ("NCCL error: unhandled system error", True),
        ("OOM when allocating tensor with shape[16,6400,512]", False),
    ],
)
def test_errors_of_messages_are_told_from_others(text: str, ours: bool) -> None:
    """A rank other than 0 has nothing more to say of one; rank 0 then asks who is lost."""
    world = object.__new__(distributed._Ranks)
    World.__init__(world, Place(rank=1, size=2))
    assert world.blame(RuntimeError(text)) == (("failed", distributed.LOST) if ours else None)
