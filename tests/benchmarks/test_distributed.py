"""The world of a rank: alone, at its meeting point, and on its cores."""

from __future__ import annotations

import os
import socket
import threading

import numpy as np
import pytest

from benchmarks import distributed
from benchmarks.distributed import Store, join, serve
from benchmarks.errors import RunFailedError
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_rank_that_finds_nobody_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "MEETING_SECONDS", 0.3)
    port = free_port()
    with pytest.raises(RunFailedError) as caught:
        join(Place(rank=1, size=2, local_rank=1, local_size=2, port=port))
    expected = f"rank 1 of 2 found nobody at 127.0.0.1:{port} within 0 s ("
    assert str(caught.value).startswith(expected)
    assert str(caught.value).endswith("; did rank 0 start?")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RunFailedError) as caught:
            join(Place(rank=0, size=2, local_size=2, port=port, serves=True))
    assert str(caught.value) == f"rank 0 cannot listen on port {port}: Address already in use"


@pytest.fixture
def store():
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    server = serve("127.0.0.1")
    yield Store(*server.server_address)
    server.shutdown()
    server.server_close()


@pytest.mark.horovod
def test_the_store_keeps_values_until_somebody_asks(store: Store) -> None:
    assert store.get("end", 1) is None
    store.put("end", 1, ("failed", "killed by SIGKILL"))
    assert store.get("end", 1) == ("failed", "killed by SIGKILL")
    assert store.get("end", 2) is None
    threading.Timer(0.2, lambda: store.put("ready", 0, True)).start()
    assert store.wait("ready", 0) is True


@pytest.mark.horovod
def test_a_store_that_is_gone_is_said() -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    port = free_port()
    gone = Store("127.0.0.1", port)
    line = f"the ranks' meeting point at 127.0.0.1:{port} is gone: rank 0 or the launcher ended"
    for call in (lambda: gone.get("end", 1), lambda: gone.put("end", 1, True)):
        with pytest.raises(RunFailedError) as caught:
            call()
        assert str(caught.value) == line


@pytest.mark.horovod
@pytest.mark.parametrize(
    ("neighbour", "expected"),
    [
        ([0, 1, 2, 3], {2, 3}),  # nobody has bound them: the second half
        ([4, 5], {0, 1, 2, 3}),  # somebody has
    ],
)
def test_cores_are_shared_only_where_all_have_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch, neighbour: list[int], expected: set[int]
) -> None:
    """Rank 1 of two on a node, which sees the cores 0 to 3."""
    cores = {0, 1, 2, 3}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    monkeypatch.setattr(distributed, "usable_cores", lambda: 4)

    def take(_: int, new: list[int]) -> None:
        cores.clear()
        cores.update(new)

    monkeypatch.setattr(os, "sched_setaffinity", take)
    store.put("cores", "0.0", neighbour)
    distributed._take_cores(Place(rank=1, size=2, local_rank=1, local_size=2), store)
    assert cores == expected


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
