"""Finds out what this machine has for a run and what it lacks, without a machine-learning framework."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backends import REGISTRY
from benchmarks.errors import UsageError
from benchmarks.launchers.discovery import answers, find_apptainer, find_docker
from benchmarks.machine import nvml
from benchmarks.machine.cgroup import usable_cores
from benchmarks.machine.memory import memory_available_bytes
from benchmarks.machine.provenance import package_version
from datasets.cache import cache_root

# The smallest preset's process on a CPU, with TensorFlow itself.
LEAST_MEMORY_GIB = 2.0
LEAST_DISK_GIB = 1.0
NOT_INSTALLED = "not installed"
_GIB = 1 << 30
# Some machines can have neither: docs/data.md, "Other machines".
_CARRY = "or bring events from another machine"


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
    backends = [_backend(name) for name in REGISTRY]
    return [
        _framework(backends),
        *backends,
        _memory(),
        _cores(),
        *_disks(),
        _gpus(),
        _horovod(),
        _docker(os.environ),
        _apptainer(),
        _program("Slurm", "sbatch", "batch jobs on a Slurm cluster", "log in to a submit node"),
        _hep_score(os.environ),
        _distributions(
            "Pythia", ("pythia8mc",), "simulated events with Pythia", f"{_install('data')}, {_CARRY}"
        ),
        _distributions(
            "ACTS", ("pyacts",), "simulated tracks with ACTS", f"{_install('tracking')}, {_CARRY}"
        ),
        _distributions("pooch", ("pooch",), "downloads of public data", _install("data")),
        _distributions("plotting", ("matplotlib", "mplhep"), "hepbench report --plot", _install("report")),
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


def _framework(backends: Sequence[Check]) -> Check:
    keras = package_version("keras")
    findings = [check.finding for check in backends if check.finding != NOT_INSTALLED] or ["no backend"]
    return Check(
        "framework",
        keras is not None and any(check.ok for check in backends),
        f"{', '.join(findings)}, keras {keras or NOT_INSTALLED}",
        "every run",
        " or ".join(requirement.install for requirement in REGISTRY.values()),
        required=True,
    )


def _backend(name: str) -> Check:
    requirement = REGISTRY[name]
    found = {key: package_version(key) for key in requirement.distributions}
    installed = {key: version for key, version in found.items() if version is not None}
    recent = any(_major_minor(version) >= requirement.oldest for version in installed.values())
    finding = ", ".join(f"{key} {version}" for key, version in installed.items()) or NOT_INSTALLED
    failure = _import_failure(name) if recent else ""
    if failure:
        finding += f"; it is installed but cannot be loaded: {failure}"
    return Check(
        f"backend {name}", recent and not failure, finding, f"--backend {name}", requirement.describe()
    )


def _major_minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _import_failure(module: str) -> str:
    """Imports a module in a process of its own, and returns why that fails, or an empty text.

    A library that was built for another machine may kill the process.
    """
    command = [sys.executable, "-P", "-c", f"import {module}"]
    answer = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if answer.returncode < 0:
        return f"killed by {signal.Signals(-answer.returncode).name}"
    return next(reversed(answer.stderr.strip().splitlines()), "no reason") if answer.returncode else ""


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


def _install(extra: str) -> str:
    return f"pip install '.[{extra}]'"


def _distributions(name: str, distributions: Sequence[str], needed_for: str, remedy: str) -> Check:
    versions = {distribution: package_version(distribution) for distribution in distributions}
    finding = ", ".join(f"{key} {version or 'not installed'}" for key, version in versions.items())
    return Check(name, None not in versions.values(), finding, needed_for, remedy)


def _program(name: str, program: str, needed_for: str, remedy: str) -> Check:
    path = shutil.which(program)
    return Check(name, path is not None, path or "not on PATH", needed_for, remedy)


def _apptainer() -> Check:
    """Checks for what ``--engine apptainer`` starts, which may have the name ``singularity``."""
    try:
        ok, finding = True, find_apptainer()
    except UsageError as error:
        ok, finding = False, str(error)
    return Check("Apptainer", ok, finding, "runs from a .sif image", "install Apptainer")


def _docker(environment: Mapping[str, str]) -> Check:
    """Checks for what ``--engine docker`` reaches: Docker or Podman, of the system or of this user."""
    try:
        engine = find_docker(environment)
    except UsageError as error:
        return _docker_check(False, str(error), "choose another with docker context use")
    client = shutil.which(engine.client()[0])
    if client is None:
        return _docker_check(False, "no client on PATH", "install Docker or Podman")
    if not engine.url:
        return _docker_check(True, f"{client}, whose service is started when it is needed", "")
    if engine.socket is None:
        return _docker_check(True, f"{client}, daemon elsewhere ({engine.origin}), not asked", "")
    if answers(engine.socket):
        return _docker_check(True, f"{client}, daemon answers", "")
    return _docker_check(False, f"{client}, daemon does not answer", "start it, or join the group docker")


def _docker_check(ok: bool, finding: str, remedy: str) -> Check:
    return Check("Docker", ok, finding, "runs from a Docker image", remedy)


def _hep_score(environment: Mapping[str, str]) -> Check:
    program = environment.get("HEPSCORE_BIN")
    path = shutil.which(program or "hep-score")
    finding = path or (f"HEPSCORE_BIN={program} cannot be run" if program else "not on PATH")
    return Check(
        "hep-score", path is not None, finding, "a HEPscore", "install hep-score, or set HEPSCORE_BIN"
    )
