"""Limits of this process that frameworks do not survive: numbers of threads, and address space."""

from __future__ import annotations

import resource
import threading

from benchmarks.errors import RunFailedError


def check_threads(count: int) -> None:
    """Starts threads and ends them again, because a framework that cannot start one aborts the process.

    The kernel may refuse one for the limit of the user, of the control group or of the address space.

    Args:
        count: Number of threads.

    Raises:
        RunFailedError: There is no room for as many.
    """
    gate = threading.Event()
    threads: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except (RuntimeError, MemoryError):
        limit = _in_words(resource.RLIMIT_NPROC)
        raise RunFailedError(
            f"expected room for {count} more threads, got {len(threads)}; raise the limit of processes "
            f"(ulimit -u: {limit}) or that of the control group (pids.max), or lower --threads"
        ) from None
    finally:
        gate.set()
        for thread in threads:
            thread.join()


def address_space_remark() -> str:
    """Returns a remark on the limit of the address space, or an empty text where there is none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return ""
    return f" (the address space is limited to {limit >> 20} MiB: raise ulimit -v)"


def _in_words(kind: int) -> str:
    limit, _ = resource.getrlimit(kind)
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
