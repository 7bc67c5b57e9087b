"""A load on an inference server: client processes that replay events, and what came of it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from time import sleep
from typing import Any

from benchmarks.errors import RunFailedError
from benchmarks.serving.client import ClientRecord, ClientTask, Load, Replay, serve_as_client
from benchmarks.serving.connection import Connection
from benchmarks.serving.counters import Counters, read_counters
from benchmarks.serving.load_figures import load_figures
from benchmarks.serving.repository import ServedModel
from benchmarks.serving.server import Server, check_bounds
from benchmarks.timing import clock, date

_START_SECONDS = 60.0  # for all client processes to start
_HEAD_START = 0.1  # from the word to begin until the beginning, so that all clients have it by then
_SPARE_SECONDS = 15.0  # for a client to answer after everything that it may still do
_GLANCE_SECONDS = 0.2  # between two looks at the server


def run_load(
    server: Server,
    served: ServedModel,
    replay: Replay,
    load: Load,
    barrier: Callable[[], None] = lambda: None,
) -> Mapping[str, Any]:
    """Puts a load on a server and measures.

    Args:
        server: The server, which is ready.
        served: Its model.
        replay: The events.
        load: What the clients do.
        barrier: Returns when every rank has called it; the clients of all ranks begin then.

    Returns:
        JSON values; see ``load_figures``.

    Raises:
        UsageError: The requests of a client are too large together.
        RunFailedError: An answer was wrong or lost, a request was refused, or the server or a client ended.
    """
    check_bounds(load.batch, load.in_flight, served.patch_bytes)
    tasks = [ClientTask(server.address, served, replay, load, index) for index in range(load.clients)]
    connection = Connection(server.address)
    try:
        with _clients(server, tasks) as clients:
            clients.wait_until_ready()
            barrier()
            start = clock() + _HEAD_START
            zero = start + load.warmup_seconds
            started_at = date() + zero - clock()
            clients.begin(start)

            # The counters are read at the edges of the windows, between which everything is counted.
            clients.watch_until(zero)
            before, first_moment = read_counters(connection, served.name), clock()
            clients.watch_until(zero + load.measured_seconds)
            after, last_moment = read_counters(connection, served.name), clock()
            records = clients.take_records(load.work_seconds + 2 * load.request_seconds)
    finally:
        connection.close()
    counters = _difference(after, before)
    return load_figures(load, replay.event_patches, records, counters, last_moment - first_moment, started_at)


def _difference(after: Counters | None, before: Counters | None) -> Counters | None:
    return None if after is None or before is None else after - before


@contextmanager
def _clients(server: Server, tasks: Sequence[ClientTask]) -> Iterator[_Clients]:
    """Starts client processes, none of which outlives the ``with`` block."""
    clients = _Clients(server)
    try:
        for task in tasks:
            clients.start(task)
        yield clients
    finally:
        clients.end()


class _Clients:
    """The client processes of a load, which are watched together with the server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._spawn = multiprocessing.get_context("spawn")
        self._processes: list[Any] = []
        self._pipes: list[Any] = []
        self._ready: set[int] = set()
        self._records: dict[int, ClientRecord] = {}

    def start(self, task: ClientTask) -> None:
        """Starts a client."""
        ours, theirs = self._spawn.Pipe()
        process = self._spawn.Process(target=serve_as_client, args=(theirs, task), daemon=True)
        process.start()
        theirs.close()
        self._processes.append(process)
        self._pipes.append(ours)

    def wait_until_ready(self) -> None:
        """Returns when all clients have read the events.

        Raises:
            RunFailedError: One of them has failed or takes too long.
        """
        until = clock() + _START_SECONDS
        while len(self._ready) < len(self._pipes):
            if clock() > until:
                raise RunFailedError(
                    f"expected {len(self._pipes)} clients to start within {_START_SECONDS:g} s, "
                    f"got {len(self._ready)}"
                )
            self._look(_GLANCE_SECONDS)

    def begin(self, start: float) -> None:
        """Lets all clients begin.

        Args:
            start: When, on the clock of this machine.
        """
        for pipe in self._pipes:
            pipe.send(start)

    def watch_until(self, moment: float) -> None:
        """Returns at a moment.

        Raises:
            RunFailedError: The server or a client has failed by then.
        """
        while (remaining := moment - clock()) > 0:
            self._look(min(_GLANCE_SECONDS, remaining))

    def take_records(self, seconds: float) -> list[ClientRecord]:
        """Returns what the clients have measured, when all of them have finished.

        Args:
            seconds: How long a client may take at most.

        Raises:
            RunFailedError: The server or a client has failed.
        """
        until = clock() + seconds + _SPARE_SECONDS
        while len(self._records) < len(self._pipes):
            if clock() > until:
                silent = min(set(range(len(self._pipes))) - self._records.keys())
                raise RunFailedError(f"client {silent} did not finish within {seconds + _SPARE_SECONDS:g} s")
            self._look(_GLANCE_SECONDS)
        return [self._records[index] for index in range(len(self._pipes))]

    def end(self) -> None:
        """Ends all clients."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()

    def _look(self, seconds: float) -> None:
        """Takes what clients say within some seconds, and looks after the server.

        Raises:
            RunFailedError: The server or a client has failed.
        """
        indices = {pipe: index for index, pipe in enumerate(self._pipes) if index not in self._records}
        if not indices:
            sleep(seconds)
        for pipe in wait(list(indices), seconds):
            self._take_word(indices[pipe], pipe)
        self._server.check()

    def _take_word(self, index: int, pipe: Pipe | Any) -> None:
        """Takes what one client says.

        Raises:
            RunFailedError: The client has failed or is gone.
        """
        try:
            word, value = pipe.recv()
        except EOFError:
            self._processes[index].join()
            code = self._processes[index].exitcode
            how = (
                f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            )
            raise RunFailedError(f"client {index} {how}; its requests are lost") from None
        if word == "ready":
            self._ready.add(index)
        elif word == "done":
            self._records[index] = value
        else:
            # A server that was killed explains what its clients say, and is seen to be gone a little later.
            for _ in range(10):
                self._server.check()
                sleep(0.1)
            raise RunFailedError(f"client {index}: {value}")
