"""The rendezvous of the ranks: which ranks there are, and on which cores.

It takes place before a framework starts its threads, because a thread that runs already would keep all cores.
"""

from __future__ import annotations

import os
import socket
import time

from benchmarks.errors import RunFailedError
from benchmarks.machine.cgroup import usable_cores
from benchmarks.machine.topology import assign_shares, cores_of_gpu, ordered_cores
from benchmarks.ranks.ending import read_ending
from benchmarks.ranks.place import LOOPBACK, Place, address_towards, handles_of, share
from benchmarks.ranks.store import POLL_SECONDS, KeyValueStore
from benchmarks.stopping import signal_name

RENDEZVOUS_SECONDS = 120.0  # for the ranks to start, because nodes of a large job do not start at once


def wait_for_store(place: Place) -> None:
    """Waits until the store of the run can be reached.

    Raises:
        RunFailedError: It cannot be reached within ``RENDEZVOUS_SECONDS``.
    """
    until = time.monotonic() + RENDEZVOUS_SECONDS
    while True:
        try:
            socket.create_connection((place.host, place.port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise RunFailedError(
                    f"rank {place.rank} of {place.size} found nobody at {place.host}:{place.port} within "
                    f"{RENDEZVOUS_SECONDS:.0f} s ({error}); did rank 0 start?"
                ) from None
            time.sleep(0.2)


def wait_for_all_ranks(place: Place, store: KeyValueStore) -> None:
    """Says that this rank has started, and waits until all ranks have.

    Raises:
        RunFailedError: Some have not. The error says which, and why where that is known.
    """
    store.put("here", place.rank, True)
    if place.rank == 0:
        _check_off_ranks(store, place.size)
        store.put("here", "all", True)
    store.wait("here", "all")


def _check_off_ranks(store: KeyValueStore, size: int) -> None:
    """Waits on rank 0 until every other rank has started; raises as ``wait_for_all_ranks``."""
    started = time.monotonic()
    missing = list(range(1, size))
    try:
        while missing := [rank for rank in missing if store.get("here", rank) is None]:
            seconds = time.monotonic() - started

            # A rank that has failed will never come, and its reason says more than its absence.
            for rank in missing:
                if (ending := read_ending(store, rank)) is not None:
                    raise RunFailedError(ending.of_rank(rank, seconds).reason)

            if seconds > RENDEZVOUS_SECONDS:
                raise RunFailedError(_absence(missing, size, f"within {seconds:.0f} s"))
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt as stop:
        until = f"until {signal_name(stop)} after {time.monotonic() - started:.0f} s"
        raise RunFailedError(_absence(missing, size, until)) from None


def _absence(missing: list[int], size: int, until: str) -> str:
    """Returns one line that names the missing ranks, at most eight of them."""
    ranks = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
    return f"expected {size} ranks, got {size - len(missing)} {until}; without rank {ranks}"


def exchange_addresses(place: Place, store: KeyValueStore) -> str:
    """Returns the address of this node on the way to the other nodes, and lets them know it."""
    if place.nodes == 1:
        return LOOPBACK
    if place.node == 0:  # where the node's own name may lead to the loopback
        return address_towards(store.wait("address", 1))
    address = address_towards(place.host)
    store.put("address", place.node, address)
    return address


def take_cores(place: Place, store: KeyValueStore) -> set[int]:
    """Limits this rank to its share of the cores where all ranks of a node may use the same ones.

    Returns:
        The cores that this rank could use before.
    """
    cores = sorted(os.sched_getaffinity(0))
    near_cores = [core for gpu in handles_of(place).values() for core in sorted(cores_of_gpu(gpu))]
    store.put("cores", f"{place.node}.{place.local_rank}", cores)
    store.put("near", f"{place.node}.{place.local_rank}", near_cores)

    # Ranks with different cores have been bound by their launcher, and stay where they are.
    keys = [f"{place.node}.{local}" for local in range(place.local_size)]
    cores_of_ranks = [store.wait("cores", key) for key in keys]
    if any(other_cores != cores for other_cores in cores_of_ranks):
        return set(cores)

    # A control group may leave less than the cores that are listed. Each rank gets the share that is nearest
    # to its GPU, and all ranks arrive at the same assignment on their own.
    usable = ordered_cores(cores[: usable_cores()])
    shares = [share(usable, local, place.local_size) for local in range(place.local_size)]
    near_cores_of_ranks = [store.wait("near", key) for key in keys]
    os.sched_setaffinity(0, assign_shares(shares, near_cores_of_ranks)[place.local_rank])
    return set(cores)
