"""Where the ranks of a run meet before a framework may start its threads: who is there, on which cores.

The meeting point is a small store of keys and values that Horovod's own rendezvous needs anyway. When the
ranks have lost each other, it carries how each of them ended.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.error import HTTPError

from benchmarks.cgroup import usable_cores
from benchmarks.errors import RunFailedError, Terminated, UsageError
from benchmarks.ranks import LOOPBACK, Place, address_towards, share
from datasets.errors import DataError

MEETING_SECONDS = 120.0  # for the ranks to start; nodes of a large job do not start at once


class Store:
    """The keys and values at which ranks meet; values are any that can be pickled."""

    def __init__(self, host: str, port: int) -> None:
        self.address = host, port

    def put(self, scope: str, key: object, value: object) -> None:
        """Stores a value.

        Raises:
            RunFailedError: There is no store any more.
        """
        from horovod.runner.http.http_client import put_data_into_kvstore

        try:
            put_data_into_kvstore(*self.address, scope, key, value)
        except (RuntimeError, OSError):
            raise self._gone() from None

    def get(self, scope: str, key: object) -> Any:
        """A value, or None where there is none yet.

        Raises:
            RunFailedError: There is no store any more.
        """
        from horovod.runner.http.http_client import read_data_from_kvstore

        try:
            return read_data_from_kvstore(*self.address, scope, key)
        except (RuntimeError, OSError) as error:
            if isinstance(error.args[-1], HTTPError):
                return None
            raise self._gone() from None

    def wait(self, scope: str, key: object) -> Any:
        """A value, as soon as there is one."""
        while (value := self.get(scope, key)) is None:
            time.sleep(0.1)
        return value

    def _gone(self) -> RunFailedError:
        host, port = self.address
        return RunFailedError(
            f"the ranks' meeting point at {host}:{port} is gone: rank 0 or the launcher ended"
        )


def serve(host: str, port: int = 0) -> Any:
    """Opens a store in threads of this process; ``server_address`` of what it returns is where.

    Raises:
        OSError: The address cannot be used.
    """
    from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

    server = RendezvousHTTPServer((host, port), RendezvousHandler, 0)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="rendezvous", daemon=True).start()
    return server


@contextmanager
def telling(place: Place) -> Iterator[None]:
    """Lets the other ranks know of an error in here, if they can be reached."""
    try:
        yield
    except BaseException as error:
        if place.size > 1:
            with suppress(RunFailedError, ImportError):
                Store(place.host, place.port).put("end", place.rank, _end(error))
        raise


def _end(error: BaseException) -> tuple[str, str]:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", _name(error)
    if isinstance(error, (UsageError, DataError, RunFailedError)):
        return "failed", str(error)
    return "failed", f"unexpected {type(error).__name__}: {error}"


def _name(stop: KeyboardInterrupt) -> str:
    return "SIGTERM" if isinstance(stop, Terminated) else "Ctrl-C"


def assemble(place: Place) -> Store:
    """Returns the store when all ranks are at it.

    Raises:
        RunFailedError: They are not; it says which, and why where that is known.
    """
    if place.serves:
        try:
            serve(LOOPBACK if place.nodes == 1 else "", place.port)
        except OSError as error:
            raise RunFailedError(f"rank 0 cannot listen on port {place.port}: {error.strerror}") from None
    _find(place)
    store = Store(place.host, place.port)
    store.put("here", place.rank, True)
    if place.rank == 0:
        _wait_for_all(store, place.size)
        store.put("here", "all", True)
    store.wait("here", "all")
    return store


def _find(place: Place) -> None:
    """Returns when the meeting point answers."""
    until = time.monotonic() + MEETING_SECONDS
    while True:
        try:
            socket.create_connection((place.host, place.port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise RunFailedError(
                    f"rank {place.rank} of {place.size} found nobody at {place.host}:{place.port} within "
                    f"{MEETING_SECONDS:.0f} s ({error}); did rank 0 start?"
                ) from None
            time.sleep(0.2)


def _wait_for_all(store: Store, size: int) -> None:
    started = time.monotonic()
    missing = list(range(1, size))
    try:
        while missing := [rank for rank in missing if store.get("here", rank) is None]:
            seconds = time.monotonic() - started
            for rank in missing:
                if (end := store.get("end", rank)) is not None:
                    raise RunFailedError(f"{end[1]} (rank {rank}, {seconds:.0f} s after the start)")
            if seconds > MEETING_SECONDS:
                raise RunFailedError(_not_there(missing, size, f"within {seconds:.0f} s"))
            time.sleep(0.1)
    except KeyboardInterrupt as stop:
        after = f"until {_name(stop)} after {time.monotonic() - started:.0f} s"
        raise RunFailedError(_not_there(missing, size, after)) from None


def _not_there(missing: list[int], size: int, until: str) -> str:
    which = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
    return f"expected {size} ranks, got {size - len(missing)} {until}; without rank {which}"


def own_address(place: Place, store: Store) -> str:
    """The address of this node on the way to the others."""
    if place.nodes == 1:
        return LOOPBACK
    if place.node == 0:  # where its own name may lead to the loopback
        return address_towards(store.wait("address", 1))
    own = address_towards(place.host)
    store.put("address", place.node, own)
    return own


def take_cores(place: Place, store: Store) -> set[int]:
    """Keeps to a share of the cores where the ranks of a node were all given the same ones; returns those."""
    mine = sorted(os.sched_getaffinity(0))
    store.put("cores", f"{place.node}.{place.local_rank}", mine)
    given = [store.wait("cores", f"{place.node}.{local}") for local in range(place.local_size)]
    if all(cores == mine for cores in given):
        # A control group may leave less than the cores that are listed.
        os.sched_setaffinity(0, share(mine[: usable_cores()], place.local_rank, place.local_size))
    return set(mine)
