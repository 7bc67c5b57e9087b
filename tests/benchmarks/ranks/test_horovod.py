"""The world of a rank that is alone, and what errors of several say."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.errors import Terminated
from benchmarks.ranks import horovod
from benchmarks.ranks.horovod import Store, join, serve
from benchmarks.ranks.place import ALONE, Place
from benchmarks.ranks.world import LONE_WORLD, World


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    """A rank that lost others has little for the rest of its life; this process has more to do."""
    before = socket.getdefaulttimeout()
    yield
    socket.setdefaulttimeout(before)


def test_a_process_alone_has_nobody_to_wait_for() -> None:
    """Nor does it need Horovod."""
    world = join(ALONE)
    assert world is LONE_WORLD
    assert (world.rank, world.size) == (0, 1)
    world.barrier()
    assert world.gather("mine") == ["mine"]
    assert world.rank_0_first(lambda: 42) == 42
    numbers = np.array([1.0, 2.0])
    assert world.sum_on_host(numbers) is numbers
    tensors = [object()]
    assert world.all_reduce(tensors) is tensors
    assert world.explain_loss_of_rank(RuntimeError("Horovod has been shut down")) is None
    assert world.libraries() == {}


@pytest.mark.horovod
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
def test_errors_of_messages_are_told_from_others(store: Store, text: str, ours: bool) -> None:
    """A rank other than 0 has nothing more to say of one; rank 0 then asks who is lost."""
    world = rank(1, 2, store)
    assert world.explain_loss_of_rank(RuntimeError(text)) == (("failed", horovod.LOST) if ours else None)
    for stop in (Terminated(), KeyboardInterrupt()):
        assert world.explain_loss_of_rank(stop) is None
        assert world.explain_loss_of_rank(after(stop, text)) == (("failed", horovod.LOST) if ours else None)


def rank(number: int, size: int, store: Store) -> horovod._Ranks:
    """A rank of a world, of which there is nothing but the store."""
    world = object.__new__(horovod._Ranks)
    host, port = store.address
    World.__init__(world, Place(rank=number, size=size, host=host, port=port))
    world._started, world._store = time.monotonic(), store
    return world


def after(stop: KeyboardInterrupt, text: str) -> KeyboardInterrupt:
    """A signal that came while the framework was passing on what Horovod said."""
    try:
        try:
            raise RuntimeError(text)
        except RuntimeError as error:
            raise ValueError("step 3") from error
    except ValueError:
        try:
            raise stop
        except KeyboardInterrupt as caught:
            return caught


MESSAGE = "Horovod has been shut down"
SILENT = ("failed", "does not answer (rank 1, N s after the start)")


@pytest.mark.horovod
@pytest.mark.parametrize(
    ("ends", "noticed", "stopped"),
    [
        ({1: ("failed", "out of paper")}, *2 * [("failed", "out of paper (rank 1, N s after the start)")]),
        ({2: ("interrupted", "SIGTERM")}, *2 * [("interrupted", "SIGTERM (rank 2, N s after the start)")]),
        ({2: ("failed", horovod.LOST)}, SILENT, SILENT),
        ({}, SILENT, None),  # a launcher that stops the ranks leaves no time to hear all that are there
        (
            dict.fromkeys((1, 2), ("failed", horovod.LOST)),
            ("failed", f"the ranks lost each other: {MESSAGE}"),
            None,
        ),
    ],
)
def test_rank_0_says_who_is_lost(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    ends: dict[int, tuple[str, str]],
    noticed: tuple[str, str],
    stopped: tuple[str, str] | None,
) -> None:
    """By its own error, or by the signal of a launcher that was as fast."""
    monkeypatch.setattr("benchmarks.ranks.horovod.ROLL_CALL_SECONDS", 0.3)
    for number, end in ends.items():
        store.put("end", number, end)
    world = rank(0, 3, store)
    assert timeless(world.explain_loss_of_rank(RuntimeError(MESSAGE))) == noticed
    assert timeless(world.explain_loss_of_rank(after(Terminated(), MESSAGE))) == stopped


def timeless(end: tuple[str, str] | None) -> tuple[str, str] | None:
    return end and (end[0], re.sub(r"\d+ s after", "N s after", end[1]))


@pytest.mark.horovod
def test_a_launcher_that_has_ended_costs_no_result() -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    server = serve("127.0.0.1")
    host, port = server.server_address
    world, other = rank(0, 2, Store(host, port)), rank(1, 2, Store(host, port))
    server.shutdown()
    server.server_close()
    gone = f"the ranks' meeting point at {host}:{port} is gone: rank 0 or the launcher ended"
    assert world.explain_loss_of_rank(RuntimeError(MESSAGE)) == ("failed", gone)
    assert timeless(other.explain_loss_of_rank(RuntimeError(MESSAGE))) == (
        "failed",
        f"{gone} (N s after the start)",
    )
    assert world.explain_loss_of_rank(after(Terminated(), MESSAGE)) is None
    world.leave("interrupted", "SIGTERM")
