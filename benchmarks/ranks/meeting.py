"""Where the copies of a run meet: processes that share a machine, and nothing else.

Copies that start together drift apart, and a copy that is late measures a machine which the others have left.
So copies meet before each timed phase, and a copy that has finished one keeps the machine busy until the last
has. The program that starts the copies has a ``MeetingPoint``. A copy finds it by an environment variable.
"""

from __future__ import annotations

import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from benchmarks.errors import RunFailedError

VARIABLE = "HEPBENCH_COPIES"  # the socket's name and the copy's index, with a colon between them
_HERE, _GO = b"h", b"g"


class Meeting:
    """The meeting of a process that has no copies: nobody is waited for."""

    has_copies = False

    def meet(self) -> None:
        """Returns when all copies have come here."""

    def keep_busy(self, work: Callable[[], object]) -> None:
        """Does the work again and again until all copies have come here."""

    def close(self) -> None:
        """Leaves the meetings for good."""


class CopyMeeting(Meeting):
    """The meeting of one of several copies.

    Args:
        name: Of the meeting point's socket.
        index: Of this copy, counted from 0.

    Raises:
        RunFailedError: There is no meeting point.
    """

    has_copies = True

    def __init__(self, name: str, index: int) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        try:
            self._connection.connect(_address(name))
            self._connection.sendall(index.to_bytes(4, "little"))
        except OSError as error:
            self.close()
            raise RunFailedError(f"the copies' meeting point is gone: {error.strerror}") from None

    def meet(self) -> None:
        """Returns when all copies have come here.

        Raises:
            RunFailedError: The meeting point is gone, because another copy failed.
        """
        self._say_here()
        self._hear_go()

    def keep_busy(self, work: Callable[[], object]) -> None:
        """Does the work again and again until all copies have come here.

        Raises:
            RunFailedError: The meeting point is gone, because another copy failed.
        """
        self._say_here()
        while not select.select([self._connection], [], [], 0)[0]:
            work()
        self._hear_go()

    def close(self) -> None:
        """Leaves the meetings for good."""
        self._connection.close()

    def _say_here(self) -> None:
        try:
            self._connection.sendall(_HERE)
        except OSError:
            raise self._gone() from None

    def _hear_go(self) -> None:
        try:
            answer = self._connection.recv(1)
        except OSError:
            answer = b""
        if answer != _GO:
            raise self._gone()

    def _gone(self) -> RunFailedError:
        return RunFailedError("the copies' meeting point is gone: another copy failed")


def meeting_from_environment(environment: Mapping[str, str]) -> Meeting:
    """Returns the meeting of this process: with its copies, or with nobody.

    Raises:
        RunFailedError: There is no meeting point where the variable says.
    """
    value = environment.get(VARIABLE)
    if value is None:
        return Meeting()
    name, _, index = value.rpartition(":")
    return CopyMeeting(name, int(index))


def _address(name: str) -> str:
    """Returns the address of a socket without a file: no folder has to be writable, or its path short."""
    return f"\0{name}"


class MeetingPoint(threading.Thread):
    """Lets copies go on when all of them are there.

    Args:
        size: Number of copies.
        barrier: Returns when those that meet at other points may go on, too. It is called in this thread.

    Attributes:
        error: What the barrier raised, and None as long as it did not. The point is closed then.
    """

    def __init__(self, size: int, barrier: Callable[[], None] = lambda: None) -> None:
        super().__init__(name="meeting point", daemon=True)
        self._barrier = barrier
        self.error: Exception | None = None
        self._name, self._size = f"hepbench-{secrets.token_hex(8)}", size
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(_address(self._name))
        self._server.listen(size)
        self._connections: dict[int, socket.socket] = {}
        self._present: set[int] = set()
        self._since: float | None = None  # when the first copy of the next meeting came

    def variables(self, index: int) -> dict[str, str]:
        """Returns what a copy must find in its environment."""
        return {VARIABLE: f"{self._name}:{index}"}

    def absentees(self) -> tuple[set[int], float]:
        """Returns the copies that others wait for, and for how many seconds they have."""
        since = self._since
        if since is None:
            return set(), 0.0
        return set(range(self._size)) - self._present, time.monotonic() - since

    def close(self) -> None:
        """Leaves nobody waiting: every copy that meets from now on fails."""
        for end in (self._server, *list(self._connections.values())):
            with suppress(OSError):  # the peer has left, or nobody came
                end.shutdown(socket.SHUT_RDWR)  # which wakes the thread, unlike closing alone
            end.close()

    def run(self) -> None:
        """Serves meetings until the point is closed or a copy has left."""
        try:
            while len(self._connections) < self._size:
                connection, _ = self._server.accept()
                index = int.from_bytes(connection.recv(4), "little")
                self._connections[index] = connection
                self._present = {*self._present, index}
                self._since = self._since or time.monotonic()
            while self._gather():
                try:
                    self._barrier()
                except Exception as error:
                    self.error = error
                    return self.close()
                for connection in self._connections.values():
                    connection.sendall(_GO)
        except (OSError, ValueError):  # closed from outside
            return None

    def _gather(self) -> bool:
        """Waits for all copies. Returns False when a copy has left: it ended, and no meeting can follow."""
        self._present, self._since = set(), None
        indices = {connection: index for index, connection in self._connections.items()}
        while len(self._present) < self._size:
            waiting = [connection for connection, index in indices.items() if index not in self._present]
            for connection in select.select(waiting, [], [])[0]:
                if connection.recv(1) != _HERE:
                    return False
                self._present.add(indices[connection])
                self._since = self._since or time.monotonic()
        self._since = None
        return True
