"""Finds out what this machine has for a run and what it lacks, without a machine-learning framework."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import nvml
from benchmarks.machine.cgroup import usable_cores
from benchmarks.machine.memory import memory_available_bytes
from benchmarks.machine.provenance import package_version
from datasets.cache import cache_root

# The first TensorFlow whose keras is Keras 3.
OLDEST_TENSORFLOW = (2, 16)
# The smallest preset's process on a CPU, with TensorFlow itself.
LEAST_MEMORY_GIB = 2.0
LEAST_DISK_GIB = 1.0
_GIB = 1 << 30


@dataclass(frozen=True)
class Check:
    """One check of the machine.

    Attributes:
        name: What is checked.
        ok: The machine has what is needed.
        finding: What there is, or what is wrong with it.
        needed_for: What does not work otherwise.
        remedy: What to do about it.
        required: If this check fails, no run starts, not even on the CPU.
    """

    name: str
    ok: bool
    finding: str
    needed_for: str
    remedy: str
    required: bool = False


def examine() -> list[Check]:
    """Checks everything that some command of hepbench can use."""
    return [
        _framework(),
        _memory(),
        _cores(),
        *_disks(),
        _gpus(),
        _horovod(),
        _docker(os.environ),
        _program("Apptainer", ("apptainer", "singularity"), "runs from a .sif image", "install Apptainer"),
        _program("Slurm", ("sbatch",), "batch jobs on a Slurm cluster", "log in to a submit node"),
        _hep_score(os.environ),
        _distributions("Pythia", ("pythia8mc",), "simulated events with Pythia", ".[data]"),
        _distributions("ACTS", ("pyacts",), "simulated tracks with ACTS", ".[data]"),
        _distributions("pooch", ("pooch",), "downloads of public data", ".[data]"),
        _distributions("plotting", ("matplotlib", "mplhep"), "hepbench report --plot", ".[report]"),
    ]


def can_run(checks: Sequence[Check]) -> bool:
    """Returns whether a run on this machine's CPU can start at all."""
    return all(check.ok for check in checks if check.required)


def format_checks(checks: Sequence[Check]) -> str:
    """Returns a line for each check, and after what is missing one with why it matters and what to do."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark = "ok" if check.ok else "MISSING" if check.required else "-"
        lines.append(f"{mark:<8}{check.name:<{width}}  {check.finding}")
        if not check.ok:
            lines.append(f"{'':<8}{'':<{width}}  needed for {check.needed_for}: {check.remedy}")
    verdict = "A run on the CPU can start." if can_run(checks) else "No run can start: see MISSING above."
    return "\n".join([*lines, "", verdict])


def _framework() -> Check:
    keras = package_version("keras")
    for name in ("tensorflow", "tensorflow-cpu"):
        version = package_version(name)
        if version is not None and keras is not None:
            recent = tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= OLDEST_TENSORFLOW
            return _framework_check(recent, f"{name} {version}, keras {keras}")
    return _framework_check(False, f"no TensorFlow, keras {keras or 'not installed'}")


def _framework_check(ok: bool, finding: str) -> Check:
    oldest = ".".join(map(str, OLDEST_TENSORFLOW))
    remedy = f"TensorFlow {oldest} or newer: pip install '.[cpu]' or '.[gpu]'"
    return Check("framework", ok, finding, "every run", remedy, required=True)


def _memory() -> Check:
    gib = memory_available_bytes() / _GIB
    return Check(
        "memory",
        gib >= LEAST_MEMORY_GIB,
        f"{gib:.1f} GiB available",
        "every run",
        f"free {LEAST_MEMORY_GIB:.0f} GiB, or raise the limit of the container or batch job",
        required=True,
    )


def _cores() -> Check:
    cores = usable_cores()
    logical = os.cpu_count() or cores
    finding = f"{cores} usable of {logical}"
    return Check("cores", cores == logical, finding, "the score of the whole machine", "ask for all cores")


def _disks() -> list[Check]:
    return [
        _disk("disk here", Path.cwd()),
        _disk("disk cache", cache_root()),
        _disk("disk /tmp", Path("/tmp")),
    ]


def _disk(name: str, folder: Path) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    gib = shutil.disk_usage(existing).free / _GIB
    writable = os.access(existing, os.W_OK)
    finding = f"{gib:.1f} GiB free" + ("" if writable else ", not writable")
    ok = writable and gib >= LEAST_DISK_GIB
    return Check(name, ok, finding, "data and results", "free space, or use another folder")


def _gpus() -> Check:
    names = [str(nvml.read("nvmlDeviceGetName", handle)) for handle in nvml.visible_handles().values()]
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if variable is None else f" (CUDA_VISIBLE_DEVICES={variable})"
    finding = nvml.unavailable() or f"none visible to this process{hidden}"
    if names:
        counted = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
        finding = f"{counted}, driver {nvml.read('nvmlSystemGetDriverVersion')}"
    finding = "; ".join([finding, *nvml.faults()])
    remedy = "check the driver, the container's --gpus or --nv, the batch job's request"
    return Check("GPU", bool(names), finding, "runs on a GPU", remedy)


def _horovod() -> Check:
    version = package_version("horovod")
    # As released it does not build with a TensorFlow that has Keras 3. The image's build leaves one file out.
    remedy = "make horovod, or use the container image"
    return Check("Horovod", version is not None, version or "not installed", "several ranks", remedy)


def _distributions(name: str, distributions: Sequence[str], needed_for: str, extra: str) -> Check:
    versions = {distribution: package_version(distribution) for distribution in distributions}
    finding = ", ".join(f"{key} {version or 'not installed'}" for key, version in versions.items())
    return Check(name, None not in versions.values(), finding, needed_for, f"pip install '{extra}'")


def _program(name: str, programs: tuple[str, ...], needed_for: str, remedy: str) -> Check:
    paths = [path for program in programs if (path := shutil.which(program))]
    return Check(name, bool(paths), paths[0] if paths else "not on PATH", needed_for, remedy)


def _docker(environment: Mapping[str, str]) -> Check:
    client = shutil.which("docker")
    if client is None:
        return _docker_check(False, "no client on PATH", "install Docker")
    address = environment.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        return _docker_check(True, f"{client}, daemon elsewhere (DOCKER_HOST), not asked", "")
    if _answers(address.removeprefix("unix://")):
        return _docker_check(True, f"{client}, daemon answers", "")
    return _docker_check(False, f"{client}, daemon does not answer", "start it, or join the group docker")


def _docker_check(ok: bool, finding: str, remedy: str) -> Check:
    return Check("Docker", ok, finding, "runs from a Docker image", remedy)


def _answers(path: str) -> bool:
    """Returns whether an engine listens on a Unix socket and lets this user in."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.1)
        try:
            connection.connect(path)
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False


def _hep_score(environment: Mapping[str, str]) -> Check:
    program = environment.get("HEPSCORE_BIN")
    path = shutil.which(program or "hep-score")
    finding = path or (f"HEPSCORE_BIN={program} cannot be run" if program else "not on PATH")
    return Check(
        "hep-score", path is not None, finding, "a HEPscore", "install hep-score, or set HEPSCORE_BIN"
    )
