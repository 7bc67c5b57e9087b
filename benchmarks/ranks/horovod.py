"""The ranks of a run joined by Horovod. This is the only module that imports horovod.

What the ranks have to agree on before a framework starts its threads goes through the key-value store of
Horovod's rendezvous, and so does how each rank ended. Everything else is a message of Horovod.
"""

from __future__ import annotations

import importlib.metadata
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.error import HTTPError

import numpy as np

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.ranks import ending, rendezvous
from benchmarks.ranks.ending import Ending
from benchmarks.ranks.place import LOCAL_LAUNCHER, LOOPBACK, Place, die_with_launcher, interface_of
from benchmarks.ranks.store import KeyValueStore
from benchmarks.ranks.world import LONE_WORLD, World

T = TypeVar("T")

SILENT_SECONDS = 20.0  # a rank is lost when its Horovod thread, which no step keeps busy, is silent this long
NEEDS_HOROVOD = "several ranks need Horovod: make horovod, or use an image"


class HorovodStore(KeyValueStore):
    """The key-value store of Horovod's rendezvous, as a client sees it.

    Args:
        host: Name or address of the host that serves it.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.address = host, port
        _bypass_proxies(host)

    def put(self, scope: str, key: object, value: object) -> None:
        """Stores a value; raises as ``KeyValueStore.put``."""
        from horovod.runner.http.http_client import put_data_into_kvstore

        try:
            put_data_into_kvstore(*self.address, scope, key, value)
        except (RuntimeError, OSError):
            raise self._loss() from None

    def get(self, scope: str, key: object) -> Any:
        """Returns a value or None; raises as ``KeyValueStore.get``."""
        from horovod.runner.http.http_client import read_data_from_kvstore

        try:
            return read_data_from_kvstore(*self.address, scope, key)
        except (RuntimeError, OSError) as error:
            if isinstance(error.args[-1], HTTPError):
                return None
            raise self._loss() from None

    def _loss(self) -> RunFailedError:
        host, port = self.address
        return RunFailedError(
            f"the ranks' meeting point at {host}:{port} is gone: rank 0 or the launcher ended"
        )


def _bypass_proxies(host: str) -> None:
    """Lets requests to a host pass by the proxies of ``http_proxy``, which know nothing of the ranks."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [name.strip() for name in listed.split(",") if name.strip()]
    if host not in hosts and hosts != ["*"]:
        os.environ["no_proxy"] = ",".join([*hosts, host])


def store_of(place: Place) -> HorovodStore:
    """Returns the store of the run that a place belongs to, without a connection to it yet."""
    return HorovodStore(place.host, place.port)


def serve_store(host: str, port: int = 0) -> Any:
    """Serves a key-value store in threads of this process.

    Args:
        host: Address to listen on, or an empty text for all addresses of this host.
        port: Port to listen on, or 0 for any that is free.

    Returns:
        Horovod's server. Its ``server_address`` is the host and the port.

    Raises:
        OSError: The address cannot be used.
    """
    from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

    server = RendezvousHTTPServer((host, port), RendezvousHandler, 0)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="rendezvous", daemon=True).start()
    return server


def join(place: Place, device: str = "cpu") -> World:
    """Joins the ranks of a run, and gives each rank of a node its own cores.

    Args:
        place: Which rank this process is.
        device: ``gpu`` or ``cpu``, where the model runs.

    Returns:
        The world of this rank, once all ranks have joined.

    Raises:
        UsageError: Horovod is missing.
        RunFailedError: Some ranks could not join.
    """
    if place.size == 1:
        return LONE_WORLD

    # Horovod is imported before any rank waits for this one, so that a missing one costs nobody time.
    try:
        import horovod.tensorflow as hvd
    # One that was built for another TensorFlow fails with an error of TensorFlow's.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{NEEDS_HOROVOD}; it cannot be imported: {reason}") from None
    if device == "gpu" and not hvd.nccl_built():
        raise UsageError(
            "ranks on GPUs need a Horovod with GPU operations, got one whose messages go through the host; "
            "build it with HOROVOD_GPU_OPERATIONS=NCCL, or hide the GPUs with CUDA_VISIBLE_DEVICES="
        )
    if place.launcher == LOCAL_LAUNCHER:
        die_with_launcher()

    # The ranks meet and share out the cores before a framework starts a thread.
    if place.serves_store:
        try:
            serve_store(LOOPBACK if place.nodes == 1 else "", place.port)
        except OSError as error:
            raise RunFailedError(f"rank 0 cannot listen on port {place.port}: {error.strerror}") from None
    rendezvous.wait_for_store(place)
    store = store_of(place)
    rendezvous.wait_for_all_ranks(place, store)
    cores = rendezvous.take_cores(place, store)

    # Horovod reads the environment when it starts. Whatever the user has set there stays.
    os.environ.update(place.variables())
    os.environ.setdefault("HOROVOD_LOG_LEVEL", "fatal")  # the result says what Horovod would log
    if device == "cpu":
        # Horovod asks all ranks for news every few milliseconds. Its default of 1 ms takes several percent of
        # a core, which computes here, and a step on a CPU can wait for 5 ms.
        os.environ.setdefault("HOROVOD_CYCLE_TIME", "5")
    os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", f"{SILENT_SECONDS:.0f}")
    if interface := interface_of(rendezvous.exchange_addresses(place, store)):
        os.environ.setdefault("HOROVOD_GLOO_IFACE", interface)
    return _HorovodWorld(place, store, cores)


class _HorovodWorld(World):
    """The world of a rank that Horovod joins with others.

    Args:
        place: Which rank this process is.
        store: Store of the run.
        cores_of_node: Cores that the ranks of this node share.

    Raises:
        RunFailedError: Horovod could not join the ranks.
    """

    def __init__(self, place: Place, store: KeyValueStore, cores_of_node: set[int]) -> None:
        import horovod.tensorflow as hvd

        super().__init__(place)
        self._hvd, self._store, self._started = hvd, store, time.monotonic()
        self._cores_of_node = cores_of_node
        try:
            hvd.init()
        except RuntimeError as error:
            raise RunFailedError(f"rank {place.rank} of {place.size} could not join: {error}") from None
        if (hvd.rank(), hvd.size()) != (place.rank, place.size):
            raise RunFailedError(
                f"expected to come up as rank {place.rank} of {place.size}, "
                f"came up as rank {hvd.rank()} of {hvd.size()}"
            )

    def rank_0_first(self, work: Callable[[], T]) -> T:
        # Other ranks of a node wait for the first rank of it, and the first rank of a node for rank 0.
        if self.place.local_rank:
            self._store.wait("ready", self.place.node)
            return work()
        if self.rank:
            self._store.wait("ready", 0)

        # The work may use all cores of the node, because the other ranks of the node wait.
        cores_of_rank = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._cores_of_node)
        try:
            result = work()
        finally:
            os.sched_setaffinity(0, cores_of_rank)
        self._store.put("ready", self.place.node, True)
        return result

    def broadcast_value(self, key: str, value: T) -> T:
        if self.rank == 0:
            self._store.put("agreed", key, [value])  # in a list, because None means that there is none yet
        values: list[T] = self._store.wait("agreed", key)
        return values[0]

    def barrier(self) -> None:
        self._hvd.allreduce(np.zeros(1, np.float32), op=self._hvd.Sum, name="barrier", device_dense="/cpu:0")

    def gather(self, value: T) -> list[T]:
        values: list[T] = self._hvd.allgather_object(value, name="gather")
        return values

    def sum_on_host(self, numbers: np.ndarray) -> np.ndarray:
        total = self._hvd.allreduce(numbers, op=self._hvd.Sum, name="total", device_dense="/cpu:0")
        return np.asarray(total)

    def all_reduce(
        self, tensors: Sequence[Any], compression: str = "none", name: str = "gradients"
    ) -> Sequence[Any]:
        # One group is always the same message, so that the order of summation and with it the bits repeat.
        hvd = self._hvd
        sums: Sequence[Any] = hvd.grouped_allreduce(
            list(tensors), op=hvd.Sum, compression=getattr(hvd.Compression, compression), name=name
        )
        return sums

    def broadcast(self, variables: Sequence[Any]) -> None:
        self._hvd.broadcast_variables(list(variables), root_rank=0)

    def leave(self, status: str, reason: str) -> None:
        with suppress(RunFailedError):  # the launcher has ended, and there is nobody to tell
            ending.write_ending(self._store, self.rank, Ending(status, reason))

    def explain_loss_of_rank(self, error: BaseException) -> Ending | None:
        return ending.explain_loss_of_rank(error, self.place, self._store, self._started)

    def libraries(self) -> dict[str, str]:
        operations = "nccl" if self._hvd.nccl_built() else "gloo"
        return {"horovod": importlib.metadata.version("horovod"), "operations": operations}
