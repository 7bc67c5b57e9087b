"""Blocks of work over processes: results in order, few in memory, and no process left behind."""

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
"""Called with how much is done and how much there is."""

T = TypeVar("T")
R = TypeVar("R")


def report(progress: Progress | None, done: int, total: int) -> int:
    """Tell whoever wants to know; return what is done."""
    if progress is not None:
        progress(done, total)
    return done


def tenths(tell: Callable[[str], None], what: str) -> Progress:
    """Return a progress that tells ``what`` has been done to how many tenths, each of them once."""
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        tenth = 10 * done // total
        if tenth > told:
            told = tenth
            tell(f"{what} {10 * tenth} %")

    return progress


class Workers:
    """Worker processes, started when first used and ended, at once if need be, on leaving `running`."""

    def __init__(self, executor: ProcessPoolExecutor, count: int) -> None:
        self._executor = executor
        self._count = count

    def map(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Yield function(task) for every task, in their order; one more than workers are under way at a time.

        Raises:
            DataError: a worker died, as it does when the machine runs out of memory.
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
def running(count: int | None = None) -> Iterator[Workers]:
    """Give `count` fresh processes for as long as the context lasts; by default one per usable core.

    SIGTERM ends the context as Ctrl-C does, unless the program has a handler of its own.

    Raises:
        DataError: `count` is less than 1.
    """
    count = count if count is not None else len(os.sched_getaffinity(0))
    if count < 1:
        raise DataError(f"workers must be at least 1, got {count}")
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare_worker
    )
    try:
        with _sigterm_raises():
            yield Workers(executor, count)
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and follow it when it dies without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
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
    raise SystemExit(128 + number)
