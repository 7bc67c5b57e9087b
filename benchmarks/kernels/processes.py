"""Processes of their own, side by side on disjoint cores, each with one thread for BLAS."""

from __future__ import annotations

import logging
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from benchmarks.errors import RunFailedError
from benchmarks.machine.topology import ordered_cores
from benchmarks.ranks.meeting import MeetingPoint, meeting_from_environment
from datasets.errors import DataError

# Every library that NumPy may have been built with reads one of these when it is loaded.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS"),
    "1",
)
# The C library otherwise gives memory back after each array and pays for it again in page faults, which costs
# NumPy in chunks half of its time.
_KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "34359738368"}
ENVIRONMENT = {**_ONE_THREAD, **_KEPT_MEMORY}  # of every process
_NO_VARIABLES: Mapping[str, str] = {}
_ANOTHER_FAILED = "meeting point is gone"  # what a process says that another one has left alone

log = logging.getLogger("hepbench")


def run_alone(work: Callable[..., Any], *arguments: Any, variables: Mapping[str, str] = _NO_VARIABLES) -> Any:
    """Calls a function in one process of its own that has all cores, and returns what it returns.

    Args:
        work: Takes ``arguments``.
        arguments: What can be pickled.
        variables: More variables of the process's environment.

    Raises:
        RunFailedError: The function failed, or the process died.
    """
    (answer,) = _run([(work, arguments, sorted(os.sched_getaffinity(0)), variables)])
    return answer


def run_side_by_side(
    count: int,
    work: Callable[..., Any],
    *arguments: Any,
    variables: Mapping[str, str] = _NO_VARIABLES,
    barrier: Callable[[], None] = lambda: None,
) -> list[Any]:
    """Calls a function in several processes, which get equal shares of the cores and meet each other.

    Args:
        count: Number of processes.
        work: Takes ``arguments`` and the process's ``Meeting``.
        arguments: What can be pickled.
        variables: More variables of the environment of each process.
        barrier: Returns when the processes of other ranks have come to the same meeting.

    Returns:
        What the function returns in each process.

    Raises:
        RunFailedError: The function failed in one of them, or a process died.
        Exception: What the barrier raised, because another rank is gone.
    """
    shares = shares_of_cores(sorted(os.sched_getaffinity(0)), count)
    point = MeetingPoint(count, barrier)
    point.start()
    try:
        return _run(
            [
                (_meeting_others, (work, arguments), share, {**variables, **point.variables(index)})
                for index, share in enumerate(shares)
            ],
            point.close,
        )
    except RunFailedError:
        # The processes only know that nobody lets them go on.
        if point.error is not None:
            raise point.error from None
        raise
    finally:
        point.close()


def shares_of_cores(cores: Sequence[int], count: int) -> list[list[int]]:
    """Divides cores into equal shares of neighbours; cores that are left over stay idle.

    Args:
        cores: Numbers of cores, at least ``count``.
        count: Number of shares.
    """
    ordered, size = ordered_cores(cores), len(cores) // count
    return [ordered[start : start + size] for start in range(0, count * size, size)]


def process_counts(cores: int) -> list[int]:
    """Returns the numbers of processes that are tried: powers of two, and one for each core."""
    powers = [1 << exponent for exponent in range(cores.bit_length())]
    return sorted({*powers, cores})


def _meeting_others(work: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    meeting = meeting_from_environment(os.environ)
    try:
        return work(*arguments, meeting)
    finally:
        meeting.close()


def _run(
    calls: Sequence[tuple[Callable[..., Any], Sequence[Any], Sequence[int], Mapping[str, str]]],
    on_failure: Callable[[], None] = lambda: None,
) -> list[Any]:
    """Runs each call in a process of its own.

    Args:
        calls: Function, arguments, cores and variables of the environment of each process.
        on_failure: Called when one of them fails, so that nobody waits for it.
    """
    spawn = multiprocessing.get_context("spawn")
    processes: list[Any] = []
    connections: dict[Any, int] = {}
    answers: dict[int, tuple[str, Any]] = {}
    try:
        for index, (work, arguments, cores, variables) in enumerate(calls):
            ours, theirs = spawn.Pipe(duplex=False)
            connections[ours] = index
            process = spawn.Process(target=_answer, args=(theirs, work, arguments, cores), daemon=True)
            with _environment({**ENVIRONMENT, **variables}):
                process.start()
            theirs.close()
            processes.append(process)

        # Answers are taken in the order in which they come, because one that fails may keep the others
        # waiting.
        while waiting := [connection for connection, index in connections.items() if index not in answers]:
            for connection in wait(waiting):
                reason, value = answers[connections[connection]] = _receive(connection)
                if reason:
                    log.error("%s\n%s", reason, value or "")
                    on_failure()
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        for process in processes:
            process.join()

    reasons = [reason for reason, _ in answers.values() if reason]
    if reasons:
        raise RunFailedError(next((text for text in reasons if _ANOTHER_FAILED not in text), reasons[0]))
    return [answers[index][1] for index in range(len(calls))]


def _receive(connection: Any) -> tuple[str, Any]:
    """Returns why a process has failed, or an empty string and its answer."""
    try:
        answer: tuple[str, Any] = connection.recv()
        return answer
    except EOFError:
        return "a process of the measurement died without a word; see whether it ran out of memory", None


def _answer(
    connection: Connection, work: Callable[..., Any], arguments: Sequence[Any], cores: Sequence[int]
) -> None:
    """Does the work in the new process, and sends what it returns or why it failed."""
    os.sched_setaffinity(0, cores)
    logging.disable(logging.WARNING)  # what libraries say in passing is for nobody's terminal
    try:
        connection.send(("", work(*arguments)))
    except (RunFailedError, DataError) as error:
        connection.send((str(error), None))
    except MemoryError:
        connection.send(("a process of the measurement ran out of memory; lower --set events", None))
    except Exception as error:
        first_line = next(iter(str(error).strip().splitlines()), "")
        reason = f"unexpected {type(error).__name__} in a process of the measurement: {first_line}"
        connection.send((reason, traceback.format_exc()))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables for the processes that the block starts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
