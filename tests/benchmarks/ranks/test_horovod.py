"""The world of a rank that is alone, and a rank of several whose launcher has ended."""

from __future__ import annotations

import builtins
import os
import socket
import time
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.errors import UsageError
from benchmarks.ranks import horovod
from benchmarks.ranks.horovod import join, serve_store, store_of
from benchmarks.ranks.place import ALONE, Place
from benchmarks.ranks.world import LONE_WORLD, World


@pytest.fixture(autouse=True)
def _default_timeout() -> Iterator[None]:
    """Restores the timeout that a rank sets for the short rest of its life."""
    before = socket.getdefaulttimeout()
    yield
    socket.setdefaulttimeout(before)


def test_a_process_alone_has_nobody_to_wait_for() -> None:
    """It does not need Horovod either."""
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
def test_a_launcher_that_has_ended_costs_no_result() -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    server = serve_store("127.0.0.1")
    host, port = server.server_address
    world = object.__new__(horovod._HorovodWorld)  # of which there is nothing but the store
    World.__init__(world, Place(rank=0, size=2, host=host, port=port))
    world._started, world._store = time.monotonic(), store_of(world.place)
    server.shutdown()
    server.server_close()
    assert world.explain_loss_of_rank(RuntimeError("Horovod has been shut down")) == (
        "failed",
        f"the ranks' meeting point at {host}:{port} is gone: rank 0 or the launcher ended",
    )
    world.leave("interrupted", "SIGTERM")


@pytest.mark.horovod
def test_ranks_on_gpus_are_refused_where_their_messages_would_go_through_the_host() -> None:
    hvd = pytest.importorskip("horovod.tensorflow", reason="several ranks need Horovod (make horovod)")
    if hvd.nccl_built():
        pytest.skip("this Horovod has GPU operations")
    with pytest.raises(
        UsageError, match=r"^ranks on GPUs need a Horovod with GPU operations, got one whose "
    ):
        horovod.join(Place(rank=1, size=2), "gpu")


def test_a_horovod_that_cannot_be_loaded_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that was built for another TensorFlow, whose error is no ImportError."""

    class NotFoundError(Exception):
        """That of TensorFlow has this name."""

    def fail(name: str, *arguments: object, **options: object) -> object:
        if name == "horovod.tensorflow":
            raise NotFoundError("mpi_lib.so: undefined symbol\n in a second line")
        return importing(name, *arguments, **options)

    importing = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(UsageError) as caught:
        horovod.join(Place(rank=1, size=2))
    assert str(caught.value) == (
        f"{horovod.NEEDS_HOROVOD}; it cannot be imported: mpi_lib.so: undefined symbol"
    )


@pytest.mark.horovod
@pytest.mark.parametrize("exceptions", [None, "localhost,.example.org"])
def test_ranks_meet_without_the_proxy_of_the_site(
    exceptions: str | None, store: horovod.HorovodStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")  # so that it is restored
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    if exceptions is not None:
        monkeypatch.setenv("NO_PROXY", exceptions)
    client = horovod.HorovodStore(*store.address)
    client.put("here", 0, True)
    assert client.get("here", 0) is True
    assert os.environ["no_proxy"] == ",".join([*([exceptions] if exceptions else []), "127.0.0.1"])
