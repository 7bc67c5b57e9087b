"""Where ranks meet: who is there, who is not, and on which cores."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable

import pytest

from benchmarks.errors import RunFailedError, Terminated, UsageError
from benchmarks.ranks.ending import announce_error
from benchmarks.ranks.horovod import HorovodStore, join
from benchmarks.ranks.place import Place
from benchmarks.ranks.rendezvous import take_cores, wait_for_all_ranks, wait_for_store
from benchmarks.stopping import on_stopping, raise_once


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_rank_that_finds_nobody_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.ranks.rendezvous.RENDEZVOUS_SECONDS", 0.3)
    port = free_port()
    with pytest.raises(RunFailedError) as caught:
        wait_for_store(Place(rank=1, size=2, local_rank=1, local_size=2, port=port))
    expected = f"rank 1 of 2 found nobody at 127.0.0.1:{port} within 0 s ("
    assert str(caught.value).startswith(expected)
    assert str(caught.value).endswith("; did rank 0 start?")


@pytest.mark.horovod
def test_a_port_that_is_taken_is_named() -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RunFailedError) as caught:
            join(Place(rank=0, size=2, local_size=2, port=port, serves_store=True))
    assert str(caught.value) == f"rank 0 cannot listen on port {port}: Address already in use"


@pytest.mark.horovod
def test_the_store_keeps_values_until_somebody_asks(store: HorovodStore) -> None:
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
    dead_store = HorovodStore("127.0.0.1", port)
    line = f"the ranks' meeting point at 127.0.0.1:{port} is gone: rank 0 or the launcher ended"
    for call in (lambda: dead_store.get("end", 1), lambda: dead_store.put("end", 1, True)):
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
    store: HorovodStore, monkeypatch: pytest.MonkeyPatch, neighbour: list[int], expected: set[int]
) -> None:
    """Rank 1 of two on a node sees the cores 0 to 3."""
    cores = {0, 1, 2, 3}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    monkeypatch.setattr("benchmarks.ranks.rendezvous.usable_cores", lambda: 4)
    monkeypatch.setattr("benchmarks.ranks.rendezvous.ordered_cores", sorted)
    monkeypatch.setattr("benchmarks.ranks.rendezvous.handles_of", lambda _: {})

    def take(_: int, new: list[int]) -> None:
        cores.clear()
        cores.update(new)

    monkeypatch.setattr(os, "sched_setaffinity", take)
    store.put("cores", "0.0", neighbour)
    store.put("near", "0.0", [])
    take_cores(Place(rank=1, size=2, local_rank=1, local_size=2), store)
    assert cores == expected


def places(port: int, size: int = 2) -> list[Place]:
    return [Place(rank=rank, size=size, local_rank=rank, local_size=size, port=port) for rank in range(size)]


def failure_of(call: Callable[[], object]) -> str:
    with pytest.raises(RunFailedError) as caught:
        call()
    return str(caught.value)


@pytest.mark.horovod
def test_ranks_wait_for_the_last_one(store: HorovodStore) -> None:
    first, last = places(store.address[1])
    late = threading.Timer(0.3, wait_for_all_ranks, [last, store])
    late.start()
    wait_for_all_ranks(first, store)
    assert store.get("here", 1) is True
    late.join()


@pytest.mark.horovod
def test_ranks_that_do_not_come_are_named(store: HorovodStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.ranks.rendezvous.RENDEZVOUS_SECONDS", 0.3)
    store.put("here", 2, True)
    assert failure_of(lambda: wait_for_all_ranks(places(store.address[1], 4)[0], store)) == (
        "expected 4 ranks, got 2 within 0 s; without rank 1, 3"
    )


@pytest.mark.horovod
def test_a_stop_while_ranks_are_missing_says_which(store: HorovodStore) -> None:
    """srun stops the ranks some time after a rank has ended."""
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM])
    timer.start()
    with on_stopping(raise_once):
        line = failure_of(lambda: wait_for_all_ranks(places(store.address[1])[0], store))
    assert line == "expected 2 ranks, got 1 until SIGTERM after 0 s; without rank 1"


@pytest.mark.horovod
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UsageError("no such device"), "no such device"),
        (OSError("no such device"), "unexpected OSError: no such device"),
        (Terminated(), "SIGTERM"),
    ],
)
def test_a_rank_that_fails_before_it_comes_says_why(
    store: HorovodStore, error: BaseException, said: str
) -> None:
    first, last = places(store.address[1])
    with pytest.raises(type(error)), announce_error(store, last.rank):
        raise error
    assert failure_of(lambda: wait_for_all_ranks(first, store)) == f"{said} (rank 1, 0 s after the start)"
