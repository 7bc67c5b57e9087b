"""How a run of several ranks ends when it does not end well: who is lost, why, and who says so.

Each rank that fails stores its ``Ending`` in the key-value store of the run. A rank whose messages fail looks
there for the rank that caused it. A launcher that sees a process end stores what the process could not.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.files import write_json
from benchmarks.ranks.place import Place
from benchmarks.ranks.store import POLL_SECONDS, KeyValueStore
from benchmarks.result import RunResult
from benchmarks.stopping import signal_name
from datasets.errors import DataError

ROLL_CALL_SECONDS = 10.0  # rank 0 waits this long for the endings of ranks that noticed the loss as it did
REPLY_SECONDS = 5.0  # after a loss, the store has to answer within this time

LOST_OTHERS = "lost the others"  # the reason of a rank that knows only that some other rank is gone
_UNEXPECTED = "unexpected "
_SCOPE = "end"
# Errors of messages arrive as errors of the framework, and their texts name the operation or the library.
# The last pattern is all that pybind11 leaves of an error that a signal met on its way through TensorFlow.
_MESSAGE_ERROR = re.compile("horovod|gloo|nccl|original UnknownError", re.IGNORECASE)


class Ending(NamedTuple):
    """How a rank or a whole run ended, if not well.

    Attributes:
        status: ``failed`` or ``interrupted``.
        reason: One line that says why.
    """

    status: str
    reason: str

    @property
    def is_unexpected(self) -> bool:
        """Tells whether the reason is an error that the program has no words of its own for."""
        return self.reason.startswith(_UNEXPECTED)

    def of_rank(self, rank: int, seconds: float) -> Ending:
        """Returns the same ending with the rank and the time since the start, in seconds, in its reason."""
        return Ending(self.status, f"{self.reason} (rank {rank}, {seconds:.0f} s after the start)")


def ending_of_error(error: BaseException) -> Ending:
    """Returns how an error ends the rank that raised it."""
    if isinstance(error, KeyboardInterrupt):
        return Ending("interrupted", signal_name(error))
    if isinstance(error, (UsageError, DataError, RunFailedError)):
        return Ending("failed", str(error))
    return Ending("failed", f"{_UNEXPECTED}{type(error).__name__}: {error}")


def write_ending(store: KeyValueStore, rank: int, ending: Ending) -> None:
    """Stores how a rank ended, for the ranks that will miss it.

    Raises:
        RunFailedError: The store does not answer any more.
    """
    store.put(_SCOPE, rank, ending)


def read_ending(store: KeyValueStore, rank: int) -> Ending | None:
    """Returns how a rank ended, or None where nobody has stored that.

    Raises:
        RunFailedError: The store does not answer any more.
    """
    ending = store.get(_SCOPE, rank)
    return None if ending is None else Ending(*ending)


@contextmanager
def announce_error(store: KeyValueStore, rank: int) -> Iterator[None]:
    """Stores how an error in the ``with`` block ends this rank, and lets the error pass."""
    try:
        yield
    except BaseException as error:
        # Without the store or without Horovod there is nobody to tell, and the error itself counts more.
        with suppress(RunFailedError, ImportError):
            write_ending(store, rank, ending_of_error(error))
        raise


def store_failure(store: KeyValueStore) -> str | None:
    """Returns in words that the store is gone, and rank 0 with it where rank 0 serves it; otherwise None."""
    try:
        read_ending(store, 0)
        return None
    except RunFailedError as error:
        return str(error)


def explain_loss_of_rank(
    error: BaseException, place: Place, store: KeyValueStore, started: float
) -> Ending | None:
    """Finds out which rank is lost, on a rank that a message or a signal has just stopped.

    Args:
        error: What was raised in this process.
        place: Which rank this process is.
        store: Store of the run.
        started: When this rank joined the others, in seconds of ``time.monotonic``.

    Returns:
        How the run ended, or None where the error does not mean that another rank is gone.
    """
    message_error = find_message_error(error)
    if message_error is None:
        return None

    # The node of the store may be gone, too, and then it does not even refuse a connection.
    socket.setdefaulttimeout(REPLY_SECONDS)

    # Only rank 0 writes a result, so that only rank 0 has to know more than that it lost the others.
    if place.rank:
        failure = store_failure(store)
        seconds = time.monotonic() - started
        return Ending(
            "failed", LOST_OTHERS if failure is None else f"{failure} ({seconds:.0f} s after the start)"
        )

    # mpirun kills rank 0 a quarter of a second after it has stopped it, which leaves no time to wait.
    is_stopped = isinstance(error, KeyboardInterrupt)
    try:
        endings = _call_roll(store, place.size, 0.0 if is_stopped else ROLL_CALL_SECONDS)
    except RunFailedError as failure_of_store:  # the launcher ended, too
        return None if is_stopped else Ending("failed", str(failure_of_store))
    seconds = time.monotonic() - started

    # The cause is the first rank that has a reason of its own.
    for rank, ending in endings.items():
        if ending is not None and ending.reason != LOST_OTHERS:
            return ending.of_rank(rank, seconds)

    # Otherwise the cause is a rank that does not answer. A stopped rank 0 has not waited for answers, so that
    # silence means something only if all other ranks have answered.
    silent_ranks = [rank for rank, ending in endings.items() if ending is None]
    if is_stopped and len(silent_ranks) != 1:
        return None
    if silent_ranks:
        return Ending("failed", "does not answer").of_rank(silent_ranks[0], seconds)
    last_line = str(message_error).splitlines()[-1].strip()
    return Ending("failed", f"the ranks lost each other: {last_line[:300]}")


def find_message_error(error: BaseException) -> BaseException | None:
    """Returns the error of a message between ranks among an error and those that it came on top of."""
    candidate: BaseException | None = error
    while candidate is not None and not _MESSAGE_ERROR.search(str(candidate)):
        candidate = candidate.__context__
    return candidate


def _call_roll(store: KeyValueStore, size: int, seconds: float) -> dict[int, Ending | None]:
    """Returns the ending of each rank but rank 0, and None for a rank without one after ``seconds``."""
    until = time.monotonic() + seconds
    endings: dict[int, Ending | None] = dict.fromkeys(range(1, size))
    while True:
        for rank in [rank for rank, ending in endings.items() if ending is None]:
            endings[rank] = read_ending(store, rank)
        if None not in endings.values() or time.monotonic() >= until:
            return endings
        time.sleep(POLL_SECONDS)


def write_in_place_of_rank_0(
    file: Path, config: Mapping[str, Any], world_size: int, ending: Ending, *, replace: bool
) -> None:
    """Writes the result of a run whose rank 0 cannot write it: how the run ended, without figures.

    Args:
        file: The ``result.json`` of the run.
        config: Configuration of the run as ``Resolved.to_dict`` returns it.
        world_size: Number of ranks.
        ending: How the run ended.
        replace: Replace a file that exists.

    Raises:
        OSError: The file cannot be written, or exists and is not to be replaced.
    """
    record = RunResult.without_figures(config, world_size, ending.status, ending.reason)
    write_json(file, record.to_dict(), replace=replace)
