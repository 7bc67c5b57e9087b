"""How the cores of the machine lie: in packages, NUMA nodes and physical cores, and near which GPU.

The kernel numbers the hardware threads of a physical core far apart on most machines (cpu 0 and cpu 64, say).
Neighbours in number are then different physical cores, and two processes that each get a range of numbers
share the same physical cores.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import nvml

_SYS = Path("/sys")
_BITS = 64  # of each word in NVML's answer


def ordered_cores(cores: Iterable[int], root: Path = _SYS) -> list[int]:
    """Sorts cores by package, NUMA node, physical core and hardware thread.

    Consecutive entries lie together, and the hardware threads of a physical core are neighbours. A share of
    consecutive entries thus holds whole physical cores, except for those at its two ends.

    Args:
        cores: Numbers of cores, as the kernel counts them.
        root: Where the kernel's ``sys`` file system is mounted.

    Returns:
        All of ``cores``, in numerical order where the kernel does not describe each of them.
    """
    nodes = _numa_nodes(root)
    positions = {core: _position(core, nodes.get(core, 0), root) for core in sorted(cores)}
    if None in positions.values():
        return list(positions)
    return sorted(positions, key=lambda core: positions[core] or ())


def cores_of_gpu(handle: Any, count: int | None = None) -> frozenset[int]:
    """Returns the cores that the driver reports as near a GPU; empty where it reports none.

    Args:
        handle: NVML's handle of the GPU.
        count: Number of cores that the kernel could have; None for this machine's.
    """
    words = -(-(count or os.sysconf("SC_NPROCESSORS_CONF")) // _BITS)
    mask = nvml.read("nvmlDeviceGetCpuAffinity", handle, words) or ()
    return frozenset(_BITS * word + bit for word, bits in enumerate(mask) for bit in _bits_set(bits))


def assign_shares(shares: Sequence[Sequence[int]], near: Sequence[Collection[int]]) -> list[Sequence[int]]:
    """Gives each process one of the shares: in turn, the one that has most cores near the process's GPU.

    Args:
        shares: Cores of each share, one share for each process.
        near: Cores near the GPU of each process; empty for a process that has no preference.

    Returns:
        The share of each process. Without any preference, these are the shares in their order.
    """
    free = list(shares)
    assignment = []
    for cores in near:
        best = max(free, key=lambda share: len(set(share).intersection(cores)))
        free.remove(best)
        assignment.append(best)
    return assignment


def parse_list(text: str) -> list[int]:
    """Reads a list of numbers as the kernel writes it, such as ``0-3,8``.

    Raises:
        ValueError: The text is no such list.
    """
    numbers: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def format_list(numbers: Iterable[int]) -> str:
    """Writes numbers as the kernel does: ``0-3,8`` for 0, 1, 2, 3 and 8."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _bits_set(word: int) -> Iterable[int]:
    return (bit for bit in range(_BITS) if word >> bit & 1)


def _numa_nodes(root: Path) -> dict[int, int]:
    """Returns the NUMA node of each core that a node lists."""
    nodes: dict[int, int] = {}
    for file in (root / "devices/system/node").glob("node[0-9]*/cpulist"):
        try:
            cores = parse_list(file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        nodes |= dict.fromkeys(cores, int(file.parent.name.removeprefix("node")))
    return nodes


def _position(core: int, node: int, root: Path) -> tuple[int, ...] | None:
    """Returns where a core lies, from the outermost unit inwards; None where the kernel does not say."""
    folder = root / f"devices/system/cpu/cpu{core}/topology"
    try:
        package, physical = (
            int((folder / name).read_text(encoding="ascii")) for name in ("physical_package_id", "core_id")
        )
        die = folder / "die_id"  # which older kernels lack; it tells two physical cores of one number apart
        chip = int(die.read_text(encoding="ascii")) if die.exists() else 0
    except (OSError, ValueError):
        return None
    return package, node, chip, physical, core
