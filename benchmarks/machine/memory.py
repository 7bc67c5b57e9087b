"""Host memory: what this process may still take, and the most it has held."""

from __future__ import annotations

import ctypes
import resource
from contextlib import suppress
from pathlib import Path

from benchmarks.machine.cgroup import ControlGroup


def memory_available_bytes() -> int:
    """Returns the bytes that this process can still take.

    They are the least of what the machine has free, what the control group leaves and what the
    address-space limit (``ulimit -v``, set by some batch systems) leaves.
    """
    import psutil

    rooms = [int(psutil.virtual_memory().available)]
    headroom = ControlGroup.of_this_process().memory_headroom_bytes()
    if headroom is not None:
        rooms.append(headroom)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        rooms.append(max(0, limit - _status("VmSize")))
    return min(rooms)


def host_memory_peak_bytes() -> int:
    """Returns the largest resident set, in bytes, that this process has had since it started."""
    # A process inherits ru_maxrss from the process that started it, which may have been larger.
    return _status("VmHWM")


def _status(field: str) -> int:
    """Returns a size in bytes that the kernel reports of this process.

    Raises:
        RuntimeError: The kernel does not report it.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"expected a line {field} in /proc/self/status, found none")


def reset_memory_peak() -> int:
    """Lets the peak start again from what this process holds now, and returns that, in bytes.

    Where the kernel refuses (some containers), the peak stays that since the start. Memory that the C library
    keeps for later is given back first, because it would hide what comes next.
    """
    with suppress(AttributeError):  # not every C library has it
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")
