"""One process, or the ranks of a run joined by Horovod; the only module that imports horovod.

What has to be known before a framework may start its threads goes through the meeting point of the ranks,
and so does, when they have lost each other, how each of them ended. All else goes through Horovod.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.error import HTTPError

import numpy as np

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.ranks import rendezvous
from benchmarks.ranks.place import BY_US, LOOPBACK, Place, die_with_launcher, interface_of
from benchmarks.ranks.world import LONE_WORLD, World

T = TypeVar("T")

SILENT_SECONDS = 20.0  # a rank is lost whose Horovod, a thread that no step keeps busy, is silent for so long
ROLL_CALL_SECONDS = 10.0  # for ranks that noticed, as this one did, that one is lost
REPLY_SECONDS = 5.0  # then, for the store: its node may be gone, and not even refuse
LOST = "lost the others"
# Errors of messages come as errors of the framework: their texts have the operation, or the library, in them.
# The last is all that pybind11 leaves of one that a signal met on its way through TensorFlow.
_OF_MESSAGES = re.compile("horovod|gloo|nccl|original UnknownError", re.IGNORECASE)
NEEDS_HOROVOD = "several ranks need Horovod: make horovod, or use an image"


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


def gone_from(place: Place) -> str | None:
    """In words, that the meeting point of a place is gone, and rank 0 with it where that serves; or None."""
    try:
        Store(place.host, place.port).get("end", 0)
        return None
    except RunFailedError as error:
        return str(error)


@contextmanager
def telling(place: Place) -> Iterator[None]:
    """Lets the other ranks know of an error in here, if they can be reached."""
    try:
        yield
    except BaseException as error:
        if place.size > 1:
            with suppress(RunFailedError, ImportError):
                Store(place.host, place.port).put("end", place.rank, rendezvous.end(error))
        raise


def join(place: Place, device: str = "cpu") -> World:
    """The world of a place: its ranks have come up, each on cores of its own, when this returns.

    Args:
        place: Of this process among the ranks.
        device: ``gpu`` or ``cpu``, where the model runs.

    Raises:
        UsageError: There is no Horovod.
        RunFailedError: They could not, or not as many as asked for.
    """
    if place.size == 1:
        return LONE_WORLD
    try:
        import horovod.tensorflow  # noqa: F401 (before anybody waits for this rank)
    except ImportError as error:
        raise UsageError(f"{NEEDS_HOROVOD}; it cannot be imported: {error}") from None
    if place.launcher == BY_US:
        die_with_launcher()
    if place.serves:
        try:
            serve(LOOPBACK if place.nodes == 1 else "", place.port)
        except OSError as error:
            raise RunFailedError(f"rank 0 cannot listen on port {place.port}: {error.strerror}") from None
    rendezvous.find(place)
    store = Store(place.host, place.port)
    rendezvous.assemble(place, store)
    cores = rendezvous.take_cores(place, store)
    os.environ.update(place.variables())
    os.environ.setdefault("HOROVOD_LOG_LEVEL", "fatal")  # what it would say here, the result says
    if device == "cpu":
        # So many ms pass between two times that Horovod asks all ranks for news. Its default of 1 ms takes
        # several percent of a core, here one of those that compute; a step on a CPU can wait that long.
        os.environ.setdefault("HOROVOD_CYCLE_TIME", "5")
    os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", f"{SILENT_SECONDS:.0f}")
    if name := interface_of(rendezvous.own_address(place, store)):
        os.environ.setdefault("HOROVOD_GLOO_IFACE", name)
    return _Ranks(place, store, cores)


class _Ranks(World):
    """Ranks joined by Horovod."""

    def __init__(self, place: Place, store: Store, cores: set[int]) -> None:
        import horovod.tensorflow as hvd

        super().__init__(place)
        self._hvd, self._store, self._started = hvd, store, time.monotonic()
        self._cores_of_all = cores
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
        if self.place.local_rank:
            self._store.wait("ready", self.place.node)
            return work()
        if self.rank:
            self._store.wait("ready", 0)
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._cores_of_all)  # the others on this node wait
        try:
            result = work()
        finally:
            os.sched_setaffinity(0, own)
        self._store.put("ready", self.place.node, True)
        return result

    def broadcast_value(self, key: str, value: T) -> T:
        if self.rank == 0:
            self._store.put("agreed", key, [value])
        (agreed,) = self._store.wait("agreed", key)
        result: T = agreed
        return result

    def barrier(self) -> None:
        self._hvd.allreduce(np.zeros(1, np.float32), op=self._hvd.Sum, name="barrier", device_dense="/cpu:0")

    def gather(self, value: T) -> list[T]:
        gathered: list[T] = self._hvd.allgather_object(value, name="gather")
        return gathered

    def sum_on_host(self, numbers: np.ndarray) -> np.ndarray:
        total = self._hvd.allreduce(numbers, op=self._hvd.Sum, name="total", device_dense="/cpu:0")
        return np.asarray(total)

    def all_reduce(
        self, tensors: Sequence[Any], compression: str = "none", name: str = "gradients"
    ) -> Sequence[Any]:
        # One group: always the same message, so that the order of summation and with it the bits repeat.
        hvd = self._hvd
        summed: Sequence[Any] = hvd.grouped_allreduce(
            list(tensors), op=hvd.Sum, compression=getattr(hvd.Compression, compression), name=name
        )
        return summed

    def broadcast(self, variables: Sequence[Any]) -> None:
        self._hvd.broadcast_variables(list(variables), root_rank=0)

    def leave(self, status: str, reason: str) -> None:
        with suppress(RunFailedError):  # the launcher has ended: there is nobody to tell
            self._store.put("end", self.rank, (status, reason))

    def explain_loss_of_rank(self, error: BaseException) -> tuple[str, str] | None:
        lost = next((each for each in _with_context(error) if _OF_MESSAGES.search(str(each))), None)
        if lost is None:
            return None
        socket.setdefaulttimeout(REPLY_SECONDS)
        if self.rank:
            gone = gone_from(self.place)
            return "failed", LOST if gone is None else f"{gone} ({self._seconds()} s after the start)"
        stopped = isinstance(error, KeyboardInterrupt)  # mpirun kills this rank a quarter of a second later
        try:
            ends = self._roll_call(0.0 if stopped else ROLL_CALL_SECONDS)
        except RunFailedError as gone:  # the launcher ended, too
            return None if stopped else ("failed", str(gone))
        told = {rank: end for rank, end in ends.items() if end is not None and end[1] != LOST}
        silent = [rank for rank, end in ends.items() if end is None]
        if told:
            rank, (status, reason) = next(iter(told.items()))
        elif stopped and len(silent) != 1:  # no time to hear all that are there
            return None
        elif silent:
            rank, status, reason = silent[0], "failed", "does not answer"
        else:
            return "failed", f"the ranks lost each other: {str(lost).splitlines()[-1].strip()[:300]}"
        return status, f"{reason} (rank {rank}, {self._seconds()} s after the start)"

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._started:.0f}"

    def _roll_call(self, seconds: float) -> dict[int, tuple[str, str] | None]:
        """How each other rank ended; None for one that does not say."""
        until = time.monotonic() + seconds
        ends: dict[int, tuple[str, str] | None] = dict.fromkeys(range(1, self.size))
        while True:
            for rank in [rank for rank, end in ends.items() if end is None]:
                ends[rank] = self._store.get("end", rank)
            if None not in ends.values() or time.monotonic() >= until:
                return ends
            time.sleep(0.1)

    def libraries(self) -> dict[str, str]:
        operations = "nccl" if self._hvd.nccl_built() else "gloo"
        return {"horovod": importlib.metadata.version("horovod"), "operations": operations}


def _with_context(error: BaseException) -> Iterator[BaseException]:
    """The error, then those that were being handled when it came."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__context__
