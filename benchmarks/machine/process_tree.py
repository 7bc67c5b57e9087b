"""CPU time and memory of this process and of what it started."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import psutil


def process_tree() -> tuple[int, float]:
    """Returns resident bytes and CPU seconds of this process and of all that it started.

    The CPU time of children that have ended is in it.
    """
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    rss = int(psutil.Process().memory_info().rss)
    seconds = time.process_time() + ended.ru_utime + ended.ru_stime
    for child_rss, child_seconds in _children(os.getpid()):
        rss += child_rss
        seconds += child_seconds
    return rss, seconds


def _children(pid: int) -> Iterator[tuple[int, float]]:
    """Yields resident bytes and CPU seconds of the processes that the threads of ``pid`` started.

    They come from one small file a thread, where psutil would read all of ``/proc``: tens of ms on a large
    node.
    """
    # No such file: the process or the thread has just ended, or the kernel lacks CONFIG_PROC_CHILDREN.
    texts = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                texts.append((thread / "children").read_text(encoding="ascii"))
    for child in map(int, " ".join(texts).split()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(child)
            times = process.cpu_times()
            seconds = times.user + times.system + times.children_user + times.children_system
            yield process.memory_info().rss, seconds
        yield from _children(child)
