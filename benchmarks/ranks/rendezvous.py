"""Where the ranks of a run meet before a framework may start its threads: who is there, on which cores.

The meeting point is a small store of keys and values that Horovod's own rendezvous needs anyway. When the
ranks have lost each other, it carries how each of them ended.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Protocol

from benchmarks.errors import RunFailedError, Terminated, UsageError
from benchmarks.machine.cgroup import usable_cores
from benchmarks.ranks.place import LOOPBACK, Place, address_towards, share
from datasets.errors import DataError

MEETING_SECONDS = 120.0  # for the ranks to start; nodes of a large job do not start at once


class Store(Protocol):
    """The keys and values at which ranks meet; ``distributed.Store``."""

    def put(self, scope: str, key: object, value: object) -> None:
        """Stores a value."""

    def get(self, scope: str, key: object) -> Any:
        """A value, or None where there is none yet."""

    def wait(self, scope: str, key: object) -> Any:
        """A value, as soon as there is one."""


def end(error: BaseException) -> tuple[str, str]:
    """How an error ends a rank, as (status, reason)."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", _name(error)
    if isinstance(error, (UsageError, DataError, RunFailedError)):
        return "failed", str(error)
    return "failed", f"unexpected {type(error).__name__}: {error}"


def _name(stop: KeyboardInterrupt) -> str:
    return "SIGTERM" if isinstance(stop, Terminated) else "Ctrl-C"


def assemble(place: Place, store: Store) -> None:
    """Returns when all ranks are at the store.

    Raises:
        RunFailedError: They are not; it says which, and why where that is known.
    """
    store.put("here", place.rank, True)
    if place.rank == 0:
        _wait_for_all(store, place.size)
        store.put("here", "all", True)
    store.wait("here", "all")


def find(place: Place) -> None:
    """Returns when the meeting point answers.

    Raises:
        RunFailedError: It does not.
    """
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
                if (ended := store.get("end", rank)) is not None:
                    raise RunFailedError(f"{ended[1]} (rank {rank}, {seconds:.0f} s after the start)")
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
