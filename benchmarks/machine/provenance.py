"""What ran where: version, git, container, packages, machine, GPUs, settings, batch system.

Nothing here imports a machine-learning framework, and nothing names the host or its addresses: results
get published.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import nvml
from benchmarks.machine.cgroup import ControlGroup, usable_cores

DISTRIBUTION = "hepbench"
_SOURCE = Path(__file__).resolve().parents[2]
_PACKAGES = ("benchmarks", "datasets", "hepscore_adapter")
_LIBRARIES = ("keras", "numpy", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "torch", "horovod")
_SPEED = re.compile(
    r"(TF|XLA|KERAS|JAX|TORCH|PYTORCH|OMP|KMP|GOMP|MKL|ONEDNN|DNNL|OPENBLAS|MALLOC|CUDA|CUDNN|CUBLAS"
    r"|NVIDIA|NCCL|HOROVOD|HEPBENCH)_|(LD_PRELOAD|GLIBC_TUNABLES)$"
)
# Terraform shares the prefix TF_; the other words mark secrets, and names or addresses of hosts.
_PRIVATE = re.compile(r"TF_(VAR|CLI|CONFIG)|SECRET|TOKEN|PASSW|_KEY|CREDENTIAL|HOSTNAME|HOSTS?$|ADDR|IFACE")


def collect(framework: Mapping[str, str] | None, gpus: Mapping[int, Any]) -> dict[str, Any]:
    """Returns everything that is needed to explain a result later, as JSON values.

    Args:
        framework: What the running backend says of itself, such as its name, version and CUDA version;
            None where none was loaded.
        gpus: NVML handles, by index, of the GPUs that the run may use on this node.
    """
    return {
        "benchmark": {
            "version": package_version(DISTRIBUTION),
            "source_md5": source_md5(),
            "git": git(_SOURCE),
        },
        "container": {"image": os.environ.get("HEPBENCH_IMAGE"), "containment": containment(os.environ)},
        "python": platform.python_version(),
        "packages": {name: version for name in _LIBRARIES if (version := package_version(name))},
        "framework": None if framework is None else dict(framework),
        "system": _system(),
        "cpu": _cpu(),
        "memory": _memory(),
        "gpu_driver": _gpu_driver(),
        "gpus": [_gpu(index, handle) for index, handle in gpus.items()],
        "environment": settings(os.environ),
        "scheduler": scheduler(os.environ),
    }


def package_version(name: str) -> str | None:
    """Returns the version of a distribution from its metadata; None where it is not installed."""
    import importlib.metadata  # takes 40 ms, and most commands never ask

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def source_md5() -> str:
    """Returns the MD5 over path and content of this distribution's files that are part of the benchmark.

    Reference results and configurations are not: a new reference leaves what it refers to as it was.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for package in _PACKAGES:
        for file in sorted((_SOURCE / package).rglob("*")):
            if file.suffix in (".py", ".json") and "configs" not in file.parts:
                path = file.relative_to(_SOURCE).as_posix().encode()
                digest.update(path + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def git(checkout: Path) -> dict[str, Any] | None:
    """Returns commit and state of ``checkout``; None where it is no checkout or git cannot be asked."""
    # Only its own .git: an installed copy may lie inside somebody else's repository.
    if not (checkout / ".git").exists() or shutil.which("git") is None:
        return None
    answers = []
    for question in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        # Status would otherwise refresh the index and take its lock from somebody at work.
        command = ["git", "--no-optional-locks", "-C", str(checkout), *question]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            return None
        answers.append(answer.stdout.strip())
    return {"commit": answers[0], "dirty": bool(answers[1])}


def containment(environment: Mapping[str, str]) -> str:
    """Returns the engine around this process: ``none``, ``docker``, ``apptainer`` or ``singularity``."""
    # Apptainer sets both names, for the sake of scripts written for Singularity.
    if "APPTAINER_CONTAINER" in environment:
        return "apptainer"
    if "SINGULARITY_CONTAINER" in environment:
        return "singularity"
    return "docker" if Path("/.dockerenv").exists() else "none"


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that change speed, sorted; never any other, which may hold secrets."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if _SPEED.match(name) and not _PRIVATE.search(name)
    }


def scheduler(environment: Mapping[str, str]) -> dict[str, str | None] | None:
    """Returns the batch job around this process; None without one.

    Returns:
        Its ``name``, ``job_id``, ``nodes`` and ``tasks``, each None where the batch system does not say it.
    """
    job_id, nodes, tasks = _job_values(environment, "SLURM_JOB_ID", "SLURM_JOB_NUM_NODES", "SLURM_NTASKS")
    if job_id:
        return _job("slurm", job_id, nodes, tasks)
    job_id, nodes, tasks = _job_values(environment, "PBS_JOBID", "PBS_NUM_NODES", "PBS_NP")
    if job_id:
        return _job("pbs", job_id.partition(".")[0], nodes, tasks)  # behind the dot is the server's host name
    if advertisement := environment.get("_CONDOR_JOB_AD", "").strip():
        return _job("htcondor", _htcondor_job_id(Path(advertisement)), None, None)
    return None


def _job_values(environment: Mapping[str, str], *names: str) -> list[str | None]:
    """Returns the values of variables, None for one that is missing or empty."""
    return [environment.get(name, "").strip() or None for name in names]


def _htcondor_job_id(advertisement: Path) -> str | None:
    """Returns the numbers of cluster and process in the file that describes a job; None without them.

    HTCondor may have removed the file, or a container may not show it. No result is worth less for that.
    """
    try:
        text = advertisement.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    pattern = r"^\s*(ClusterId|ProcId)\s*=\s*([0-9]+)\s*$"
    pairs = re.findall(pattern, text, re.MULTILINE | re.IGNORECASE)
    numbers = {name.lower(): number for name, number in pairs}
    values = [numbers.get(name) for name in ("clusterid", "procid")]
    return None if None in values else ".".join(map(str, values))


def _job(name: str, job_id: str | None, nodes: str | None, tasks: str | None) -> dict[str, str | None]:
    """Returns the record of a batch job."""
    return {"name": name, "job_id": job_id, "nodes": nodes, "tasks": tasks}


def _system() -> dict[str, str | None]:
    try:
        distribution: str | None = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        distribution = None
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):  # Another C library, such as musl.
        library = None
    return {
        "os": distribution,
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "glibc": library,
    }


def processor_name(cpuinfo: str, architecture: str) -> str:
    """Returns the name of the processor, or what comes closest to it.

    Args:
        cpuinfo: The text of ``/proc/cpuinfo``, which holds no name on most ARM processors.
        architecture: Such as ``aarch64``.

    Returns:
        The kernel's name, that of ``lscpu``, or the architecture with ARM's numbers of designer and part.
    """
    if match := re.search(r"^model name\s*:\s*(\S.*)$", cpuinfo, re.MULTILINE):
        return match[1]
    if match := re.search(r"^Model name:\s*(\w.*)$", _lscpu(), re.MULTILINE):  # a dash means unknown
        return match[1]
    numbers = [
        f"{key} {match[1]}"
        for key in ("implementer", "part")
        if (match := re.search(rf"^CPU {key}\s*:\s*(\S+)$", cpuinfo, re.MULTILINE))
    ]
    return ", ".join([architecture, *numbers])


def _lscpu() -> str:
    """Returns what the command ``lscpu`` prints; nothing where there is none."""
    try:
        environment = {**os.environ, "LC_ALL": "C"}
        return subprocess.run(
            ["lscpu"], capture_output=True, text=True, errors="replace", env=environment, check=False
        ).stdout
    except OSError:
        return ""


def _cpu() -> dict[str, Any]:
    import psutil

    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    packages = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/physical_package_id")
    return {
        "model": processor_name(text, platform.machine()),
        "sockets": len({package.read_text(encoding="ascii") for package in packages}) or None,
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable_cores": usable_cores(),
    }


def _memory() -> dict[str, int | None]:
    import psutil

    return {
        "total_bytes": int(psutil.virtual_memory().total),
        "limit_bytes": ControlGroup.of_this_process().memory_limit_bytes(),
    }


def _gpu_driver() -> dict[str, str | None] | None:
    if nvml.unavailable():
        return None
    # NVML writes CUDA 12.5 as 12050.
    cuda = nvml.read("nvmlSystemGetCudaDriverVersion_v2")
    return {
        "version": nvml.read("nvmlSystemGetDriverVersion"),
        "cuda": None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
    }


def _gpu(index: int, handle: Any) -> dict[str, Any]:
    import pynvml

    memory = nvml.read("nvmlDeviceGetMemoryInfo", handle)
    partitioned = nvml.is_partitioned(handle)
    # The limit is that of the whole GPU, of which a MIG slice is a part.
    limit = None if partitioned else nvml.read("nvmlDeviceGetPowerManagementLimit", handle)
    mig = nvml.read("nvmlDeviceGetMigMode", handle)
    persistence = nvml.read("nvmlDeviceGetPersistenceMode", handle)
    return {
        "index": index,
        "name": nvml.read("nvmlDeviceGetName", handle),
        "memory_bytes": None if memory is None else int(memory.total),
        "power_limit_watts": None if limit is None else limit / 1000,
        "sm_clock_max_mhz": nvml.read("nvmlDeviceGetMaxClockInfo", handle, pynvml.NVML_CLOCK_SM),
        "memory_clock_max_mhz": nvml.read("nvmlDeviceGetMaxClockInfo", handle, pynvml.NVML_CLOCK_MEM),
        "mig": None if mig is None and not partitioned else partitioned,
        "persistence": None if persistence is None else bool(persistence),
    }
