"""Trees of powercap, hwmon and cpufreq, written by hand after the kernel's documents and drivers.

None of them was recorded on a machine.
"""

from __future__ import annotations

from pathlib import Path


def write_zone(root: Path, folder: str, name: str, microjoules: int, most: int = 262_143_328_850) -> Path:
    """Writes a zone of powercap.

    Args:
        root: Of the ``sys`` file system.
        folder: Such as ``intel-rapl:0``.
        name: Such as ``package-0``.
        microjoules: What its counter says.
        most: Where the counter goes around.
    """
    zone = root / "class/powercap" / folder
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n", encoding="ascii")
    (zone / "max_energy_range_uj").write_text(f"{most}\n", encoding="ascii")
    write_energy(zone, microjoules)
    return zone


def write_energy(zone: Path, microjoules: int) -> None:
    """Moves the counter of a zone."""
    (zone / "energy_uj").write_text(f"{microjoules}\n", encoding="ascii")


def xeon(root: Path) -> Path:
    """Writes two packages of 10 J and 20 J, their memory with 1 J and 2 J, and zones to leave out.

    The zones of the cores are part of their package, ``psys`` has the packages in it, and ``intel-rapl-mmio``
    has the first package once more.
    """
    for package in (0, 1):
        energy = 10_000_000 * (package + 1)
        write_zone(root, f"intel-rapl:{package}", f"package-{package}", energy)
        write_zone(root, f"intel-rapl:{package}:0", "core", energy // 2)
        write_zone(root, f"intel-rapl:{package}:1", "dram", energy // 10)
    write_zone(root, "intel-rapl:2", "psys", 99_000_000)
    write_zone(root, "intel-rapl-mmio:0", "package-0", 10_000_000)
    return root


def write_meter(root: Path, number: int, text: str, microwatts: int) -> Path:
    """Writes one power meter of ACPI, which hwmon shows below the folder ``device``."""
    device = root / f"class/hwmon/hwmon{number}/device"
    device.mkdir(parents=True)
    (device / "power1_oem_info").write_text(f"{text}\n", encoding="ascii")
    (device / "power1_average").write_text(f"{microwatts}\n", encoding="ascii")
    return device / "power1_average"


def grace(root: Path) -> Path:
    """Writes the meters of two Grace sockets, 150 W and 160 W, of their parts, and of the modules."""
    for socket in (0, 1):
        first = 4 * socket
        write_meter(root, first, f"Module Power Socket {socket}", 700_000_000)
        write_meter(root, first + 1, f"Grace Power Socket {socket}", 150_000_000 + 10_000_000 * socket)
        write_meter(root, first + 2, f"CPU Power Socket {socket}", 90_000_000)
        write_meter(root, first + 3, f"SysIO Power Socket {socket}", 9_000_000)
    return root


def write_clock(root: Path, core: int, kilohertz: int) -> Path:
    """Writes the clock of a core."""
    folder = root / f"devices/system/cpu/cpu{core}/cpufreq"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scaling_cur_freq").write_text(f"{kilohertz}\n", encoding="ascii")
    return folder / "scaling_cur_freq"
