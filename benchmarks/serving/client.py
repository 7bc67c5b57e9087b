"""What a client process does: it replays events as reconstruction does, and compares every answer."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from time import sleep, thread_time
from typing import Any

import grpc
import numpy as np

from benchmarks.errors import RunFailedError
from benchmarks.ranks.place import die_with_launcher
from benchmarks.serving.connection import Connection, failure, read_answer, request_message
from benchmarks.serving.repository import ServedModel
from benchmarks.timing import clock

Preprocess = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Replay:
    """Events that clients send, and what must come back. Processes map the files.

    Attributes:
        folder: Has ``patches.npy``, [patches, ...] as stored, and a file of the expected values, float32
            [patches, values], for each output.
        event_patches: Patches of an event.
        preprocess: From stored patches to float32[n, *patch_shape]; a function of a module.
        tolerance: Largest difference between an answer and the expected value.
    """

    folder: Path
    event_patches: int
    preprocess: Preprocess
    tolerance: float


def write_replay(
    folder: Path,
    patches: np.ndarray,
    expected: Mapping[str, np.ndarray],
    event_patches: int,
    preprocess: Preprocess,
    tolerance: float,
) -> Replay:
    """Writes what clients read.

    Args:
        folder: Is made.
        patches: As stored, [patches, ...], a whole number of events.
        expected: Outputs by name, [patches, values] each, as the model computes them here.
        event_patches: See ``Replay``.
        preprocess: See ``Replay``.
        tolerance: See ``Replay``.
    """
    if len(patches) % event_patches or not len(patches):
        raise ValueError(f"expected whole events of {event_patches} patches, got {len(patches)} patches")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "patches.npy", patches)
    for name, values in expected.items():
        np.save(folder / f"expected-{name}.npy", np.asarray(values, np.float32).reshape(len(patches), -1))
    return Replay(folder, event_patches, preprocess, tolerance)


@dataclass(frozen=True)
class Load:
    """What the clients do.

    Attributes:
        clients: Processes.
        batch: Patches of a request; the last of an event may be smaller.
        in_flight: Requests that a client has under way; 1 waits for each answer.
        work_seconds: Length of the work of an event that is no inference.
        work: ``busy`` computes for so long, ``sleep`` only waits, as a client on another machine does.
        rate: Events per second of all clients together, which arrive at random; 0 for the next event as soon
            as one is finished.
        warmup_seconds: Time before the windows, which is not measured.
        window_seconds: Length of a timed repetition.
        windows: Number of timed repetitions, one directly after the other.
        request_seconds: After which an answer counts as lost.
        seed: Of the arrivals.
    """

    clients: int
    batch: int
    in_flight: int = 1
    work_seconds: float = 0.0
    work: str = "busy"
    rate: float = 0.0
    warmup_seconds: float = 1.0
    window_seconds: float = 5.0
    windows: int = 3
    request_seconds: float = 20.0
    seed: int = 1

    @property
    def measured_seconds(self) -> float:
        """Returns the length of all windows."""
        return self.windows * self.window_seconds


@dataclass(frozen=True)
class ClientTask:
    """What one client process is to do.

    Attributes:
        address: Of the server.
        served: The model.
        replay: The events.
        load: What all clients do.
        index: Of this client, from 0.
    """

    address: str
    served: ServedModel
    replay: Replay
    load: Load
    index: int


@dataclass
class ClientRecord:
    """What a client has measured. Times are in seconds after the start of the windows.

    Attributes:
        requests: Of each request: when it was sent and answered, seconds that the client spent on it outside,
            its patches, and the bytes sent and received.
        events: Of each finished event: when it arrived and when it was finished.
        unfinished: Events that arrived and were not finished in time.
    """

    requests: list[tuple[float, float, float, int, int, int]] = field(default_factory=list)
    events: list[tuple[float, float]] = field(default_factory=list)
    unfinished: int = 0


def serve_as_client(pipe: Pipe, task: ClientTask) -> None:
    """Replays events in this process, which the run has started for it.

    Args:
        pipe: Takes ``ready``, ``done`` with a ``ClientRecord``, or ``failed`` with the reason, and gives the
            time at which to begin.
        task: What to do.
    """
    die_with_launcher()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends this process
    client = _Client(task)
    try:
        pipe.send(("ready", None))
        pipe.send(("done", client.replay_events(pipe.recv())))
    except RunFailedError as error:
        pipe.send(("failed", str(error)))
    except Exception as error:
        first_line = next(iter(str(error).strip().splitlines()), "")
        pipe.send(("failed", f"unexpected {type(error).__name__}: {first_line}"))
    finally:
        client.connection.close()


class _Request:
    """A request under way."""

    def __init__(self, first: int, last: int) -> None:
        self.rows = slice(first, last)
        self.sent_at = self.answered_at = self.client_seconds = 0.0
        self.sent_bytes = 0
        self.future: Any = None

    def stamp(self, _future: Any) -> None:
        """Notes when the answer came; gRPC calls it."""
        self.answered_at = clock()


class _Client:
    """One client with its connection and its events."""

    def __init__(self, task: ClientTask) -> None:
        self.task, self.load, self.served = task, task.load, task.served
        folder = task.replay.folder
        self.patches = np.load(folder / "patches.npy", mmap_mode="r")
        self.expected = {
            name: np.load(folder / f"expected-{name}.npy", mmap_mode="r") for name in self.served.outputs
        }
        self.connection = Connection(task.address)
        self.record = ClientRecord()
        self.zero = self.end = 0.0

    def replay_events(self, start: float) -> ClientRecord:
        """Replays events until the windows are over, and waits for every answer.

        Args:
            start: Of the warm-up, on the clock of this machine.

        Raises:
            RunFailedError: An answer is wrong or lost.
        """
        self.zero = start + self.load.warmup_seconds
        self.end = end = self.zero + self.load.measured_seconds
        for number, arrival in enumerate(self._arrivals(start)):
            # A client that is late does not wait, and its event has already waited since its arrival.
            if arrival >= end:
                break
            sleep(max(0.0, arrival - clock()))
            if not self._is_over() and self._replay_event(self.task.index + number):
                self.record.events.append((arrival - self.zero, clock() - self.zero))
            else:
                self.record.unfinished += 1
        return self.record

    def _is_over(self) -> bool:
        """Says whether nothing more is sent.

        After the windows, events that have arrived at random times are still finished. Without such times, a
        client only finishes its first event. Either takes as long as one answer may take, at most.
        """
        late = clock() - self.end
        is_enough = not self.load.rate and any(end >= 0 for _, end in self.record.events[-1:])
        return late >= (0 if is_enough else self.load.request_seconds)

    def _arrivals(self, start: float) -> Iterator[float]:
        """Yields when each event arrives: at random times, or as soon as the last one is finished."""
        if not self.load.rate:
            sleep(max(0.0, start - clock()))
            while True:
                yield clock()
        generator = np.random.default_rng([self.load.seed, self.task.index])
        mean = self.load.clients / self.load.rate
        arrival = start
        while True:
            arrival += generator.exponential(mean)
            yield arrival

    def _replay_event(self, number: int) -> bool:
        """Does the work of an event and has its patches inferred; says whether all of them were."""
        self._work()
        size = self.task.replay.event_patches
        first = number * size % len(self.patches)
        under_way: deque[_Request] = deque()
        is_complete = True
        for start in range(first, first + size, self.load.batch):
            if len(under_way) == self.load.in_flight:
                self._take_answer(under_way.popleft())
            if self._is_over():
                is_complete = False
                break
            under_way.append(self._send(start, min(start + self.load.batch, first + size)))
        while under_way:
            self._take_answer(under_way.popleft())
        return is_complete

    def _work(self) -> None:
        """Does the work of an event that is no inference."""
        if self.load.work == "sleep":
            sleep(self.load.work_seconds)
            return
        until = thread_time() + self.load.work_seconds
        while thread_time() < until:
            pass

    def _send(self, first: int, last: int) -> _Request:
        """Prepares some patches and sends them."""
        request = _Request(first, last)
        begin = clock()
        patches = self.task.replay.preprocess(self.patches[first:last])
        message = request_message(self.served, patches, list(self.served.outputs))
        request.sent_bytes, request.sent_at = len(message), clock()
        request.client_seconds = request.sent_at - begin
        request.future = self.connection.send(message, self.load.request_seconds)
        request.future.add_done_callback(request.stamp)
        return request

    def _take_answer(self, request: _Request) -> None:
        """Waits for an answer and compares it.

        Raises:
            RunFailedError: It is wrong or lost.
        """
        try:
            answer = request.future.result()
        except grpc.RpcError as error:
            raise RunFailedError(failure(self.task.address, error, self.load.request_seconds)) from None
        begin = clock()
        patches = request.rows.stop - request.rows.start
        values = read_answer(answer, patches, self.served.outputs)
        for name, array in values.items():
            self._compare(name, array, self.expected[name][request.rows])
        request.client_seconds += clock() - begin

        # gRPC may hand out an answer before it has called whoever waits for that.
        answered_at = request.answered_at or begin
        self.record.requests.append(
            (
                request.sent_at - self.zero,
                answered_at - self.zero,
                request.client_seconds,
                patches,
                request.sent_bytes,
                len(answer),
            )
        )

    def _compare(self, name: str, values: np.ndarray, expected: np.ndarray) -> None:
        """Compares an output with the local one.

        Raises:
            RunFailedError: It is another one, or no number.
        """
        difference = float(np.abs(values - expected).max())
        if not difference <= self.task.replay.tolerance:
            raise RunFailedError(
                f"wrong answer: expected the output {name} within {self.task.replay.tolerance:g} of the "
                f"local one, got a difference of {difference:.3g}"
            )
