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


def tenths(tell: Callable[[str], None], what: str) -> Progress:
    """Returns a progress that writes a line for each tenth of the work, once.

    Args:
        tell: Function that takes a line.
        what: Beginning of each line, such as "generated".
    """
    last_tenth = 0

    def progress(done_count: int, total: int) -> None:
        nonlocal last_tenth
        tenth = 10 * done_count // total
        if tenth > last_tenth:
            last_tenth = tenth
            tell(f"{what} {10 * tenth} %")

    return progress


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

    SIGTERM ends the context as Ctrl-C does, unless the program has a handler of its own.

    Args:
        count: Number of processes, by default one per usable core.

    Yields:
        The processes.

    Raises:
        DataError: ``count`` is less than 1.
    """
    count = count if count is not None else len(os.sched_getaffinity(0))
    if count < 1:
        raise DataError(f"workers must be at least 1, got {count}")

    # New interpreters: a forked child would inherit the threads' locks of libraries that are loaded already.
    older_children = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare_worker
    )

    # An interrupted program ends its workers at once and does not wait for the blocks that they are at.
    try:
        with _sigterm_raises():
            yield Workers(executor, count)
    except BaseException:
        for process in set(multiprocessing.active_children()) - older_children:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Makes a worker ignore Ctrl-C, which is for its parent, and end when its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Ends this process as soon as its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Turns SIGTERM into SystemExit within the context, where the program has no handler of its own."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit_on_sigterm(number: int, _frame: FrameType | None) -> None:
    """Raises SystemExit with the exit code that a shell gives to the signal."""
    raise SystemExit(128 + number)
