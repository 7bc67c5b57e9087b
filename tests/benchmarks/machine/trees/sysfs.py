"""Trees of the kernel's topology files, written by hand for machines that no test runs on."""

from __future__ import annotations

from pathlib import Path


def write_core(root: Path, cpu: int, package: int, core: int) -> None:
    """Writes where one core lies."""
    folder = root / f"devices/system/cpu/cpu{cpu}/topology"
    folder.mkdir(parents=True)
    folder.joinpath("physical_package_id").write_text(f"{package}\n", encoding="ascii")
    folder.joinpath("core_id").write_text(f"{core}\n", encoding="ascii")


def write_node(root: Path, node: int, cpulist: str) -> None:
    """Writes which cores a NUMA node has."""
    folder = root / f"devices/system/node/node{node}"
    folder.mkdir(parents=True)
    folder.joinpath("cpulist").write_text(f"{cpulist}\n", encoding="ascii")


def two_sockets(root: Path) -> Path:
    """Writes two packages of four physical cores, with two hardware threads each.

    In the usual numbering, cpu i and cpu i + 8 are one physical core, and the first package has 0 to 3.
    """
    for cpu in range(16):
        write_core(root, cpu, package=cpu % 8 // 4, core=cpu % 4)
    write_node(root, 0, "0-3,8-11")
    write_node(root, 1, "4-7,12-15")
    return root


def epyc(root: Path) -> Path:
    """Writes two packages of 64 physical cores in eight NUMA nodes of 16, two hardware threads each.

    Such a machine has cpu i and cpu i + 128 in one physical core.
    """
    for cpu in range(256):
        write_core(root, cpu, package=cpu % 128 // 64, core=cpu % 64)
    for node in range(8):
        first = 16 * node
        write_node(root, node, f"{first}-{first + 15},{first + 128}-{first + 143}")
    return root


def grace(root: Path) -> Path:
    """Writes two packages of 72 physical cores with one hardware thread each, and nodes of memory alone.

    The kernel counts the cores of the second package on, and a GPU's memory is a NUMA node without cores.
    """
    for cpu in range(144):
        write_core(root, cpu, package=cpu // 72, core=cpu)
    write_node(root, 0, "0-71")
    write_node(root, 1, "72-143")
    write_node(root, 2, "")
    return root


def interleaved(root: Path) -> Path:
    """Writes two packages of two physical cores whose numbers go to and fro between the packages.

    Even numbers are the first package's, and cpu i and cpu i + 4 are one physical core.
    """
    for cpu in range(8):
        write_core(root, cpu, package=cpu % 2, core=cpu % 4 // 2)
    write_node(root, 0, "0,2,4,6")
    write_node(root, 1, "1,3,5,7")
    return root
