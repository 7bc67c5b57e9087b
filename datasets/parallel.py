"""Blocks of work over processes: results in order, few in memory, and no process that outlives the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from types import FrameType
from typing import TypeVar

from datasets.errors import DataError

Progress = Callable[[int, int], None]
"""Function of the amount that is done and the total amount."""

# A terminal or a batch system sends these to every process of a job. They end it as SIGTERM does.
_GROUP_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

T = TypeVar("T")
R = TypeVar("R")


def report(progress: Progress | None, done_count: int, total: int) -> int:
    """Calls ``progress`` if there is one, and returns the amount that is done.

    Args:
        progress: Function to call, or None.
        done_count: Amount that is done.
        total: Total amount.
    """
    if progress is not None:
        progress(done_count, total)
    return done_count


class Workers:
    """Worker processes, started by their first use and ended on leaving ``start_workers``."""

    def __init__(self, executor: ProcessPoolExecutor, count: int) -> None:
        self._executor = executor
        self._count = count

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Yields ``function(task)`` for every task, in the order of the tasks.

        One task more than there are workers is submitted at a time, so that few results are in memory.

        Args:
            function: Function of a module, which the processes can import.
            tasks: Arguments of the function, which are pickled.

        Yields:
            The results.

        Raises:
            DataError: A worker died, as it does when the machine runs out of memory.
        """
        waiting = iter(tasks)
        under_way: deque[Future[R]] = deque(
            self._executor.submit(function, task) for task in islice(waiting, self._count + 1)
        )
        try:
            while under_way:
                result = under_way.popleft().result()
                under_way.extend(self._executor.submit(function, task) for task in islice(waiting, 1))
                yield result
        except BrokenProcessPool as error:
            raise DataError("a worker process died (out of memory?); try again with fewer workers") from error


@contextmanager
def start_workers(count: int | None = None) -> Iterator[Workers]:
    """Gives new processes for the duration of the context.

    SIGTERM and its like end the context as Ctrl-C does, unless the program has a handler of its own.

    Args:
        count: Number of processes, by default one per usable core.

    Yields:
        The processes.

    Raises:
        DataError: ``count`` is less than 1, or the processes would have no shared memory.
    """
    count = count if count is not None else len(os.sched_getaffinity(0))
    if count < 1:
        raise DataError(f"workers must be at least 1, got {count}")

    # New interpreters: a forked child would inherit the threads' locks of libraries that are loaded already.
    older_children = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    try:
        executor = ProcessPoolExecutor(count, mp_context=context, initializer=_prepare_worker)
    except OSError as error:  # the locks of their queues are files there
        raise DataError(f"worker processes need a /dev/shm to write to, got: {error.strerror}") from None

    # An interrupted program ends its workers at once and does not wait for the blocks that they are at.
    try:
        with _signals_raise():
            yield Workers(executor, count)
    except BaseException:
        for process in set(multiprocessing.active_children()) - older_children:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Makes a worker ignore signals that are for its parent, and end when its parent is killed."""
    for number in (signal.SIGINT, *_GROUP_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Ends this process as soon as its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Turns signals into SystemExit within the context, where the program has no handlers of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    # A signal that is ignored, as by nohup, stays ignored.
    numbers = (signal.SIGTERM, signal.SIGXCPU, *_GROUP_SIGNALS)
    free_numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in free_numbers:
        signal.signal(number, _exit_on_signal)
    try:
        yield
    finally:
        for number in free_numbers:
            signal.signal(number, signal.SIG_DFL)


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    """Raises SystemExit, once for each signal, with the exit code that a shell gives to the signal."""
    signal.signal(number, lambda _number, _frame: None)
    raise SystemExit(128 + number)
