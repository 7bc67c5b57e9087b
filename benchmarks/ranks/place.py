"""The place of a process among the ranks of a run, from the variables of its launcher, and its node."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.errors import UsageError
from benchmarks.machine import amd_gpu, nvml
from benchmarks.machine.gpu_sensor import GpuSensor
from benchmarks.machine.nvidia_gpu import NvidiaGpu
from benchmarks.ranks.variables import check_all, has_all, is_shell_of_srun, number, numbers, unknown_launcher

LOOPBACK = "127.0.0.1"
# Variables of launchers: rank, ranks, rank on the node, ranks on the node. The first launcher that started
# this process counts, because one launcher may have started another.
_LAUNCHERS = {
    "horovodrun": ("HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE"),
    "mpirun": (
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
    "mpiexec": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
}
# PMI has no place on the node. Beside MPICH's variables above, those of Cray say it.
_CRAY_PMI = ("PMI_RANK", "PMI_SIZE", "PMI_LOCAL_RANK", "PMI_LOCAL_SIZE")
_PORTS = range(20_000, 32_000)  # below those that Linux gives to outgoing connections
_PR_SET_PDEATHSIG = 1  # operation of prctl
# The variable by which ``hepbench run --ranks`` names itself to its ranks, and its value.
LAUNCHER_VARIABLE, LOCAL_LAUNCHER = "HEPBENCH_LAUNCHER", "hepbench run --ranks"


@dataclass(frozen=True)
class Place:
    """One rank among the ranks of a run, which has the same number of ranks on each node.

    Attributes:
        rank: Number of this rank, from 0.
        size: Number of ranks.
        local_rank: Number of this rank among those of its node, from 0.
        local_size: Number of ranks on each node.
        node: Number of the node, from 0.
        nodes: Number of nodes.
        launcher: Program that started the ranks, or an empty text for a process on its own.
        host: Host of the key-value store at which the ranks meet.
        port: Port of the store.
        serves_store: Whether this rank has to serve the store, because its launcher does not.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    node: int = 0
    nodes: int = 1
    launcher: str = ""
    host: str = LOOPBACK
    port: int = 0
    serves_store: bool = False

    def variables(self) -> dict[str, str]:
        """Returns the environment variables that Horovod reads on this rank."""
        return {
            "HOROVOD_RANK": str(self.rank),
            "HOROVOD_SIZE": str(self.size),
            "HOROVOD_LOCAL_RANK": str(self.local_rank),
            "HOROVOD_LOCAL_SIZE": str(self.local_size),
            "HOROVOD_CROSS_RANK": str(self.node),
            "HOROVOD_CROSS_SIZE": str(self.nodes),
            "HOROVOD_HOSTNAME": f"node{self.node}",
            "HOROVOD_CONTROLLER": "gloo",
            "HOROVOD_CPU_OPERATIONS": "gloo",
            "HOROVOD_GLOO_RENDEZVOUS_ADDR": self.host,
            "HOROVOD_GLOO_RENDEZVOUS_PORT": str(self.port),
        }


ALONE = Place()


def place_from_environment(environment: Mapping[str, str]) -> Place:
    """Returns the place that the variables of a launcher give to this process, or ``ALONE`` without any.

    Raises:
        UsageError: The ranks cannot find each other, or the nodes have different numbers of ranks.
    """
    for launcher, names in _LAUNCHERS.items():
        rank, size = (number(environment, name) for name in names[:2])
        # A variable without a value, or a first rank of an unknown number, shows no launcher at work.
        if rank is None or (rank == 0 and size is None):
            continue
        if size == 1:
            return ALONE
        if launcher == "mpiexec":
            return _place_by_pmi(environment)
        return _place_by_launcher(launcher, names, environment)

    # A batch script has some of the variables of a task.
    tasks = number(environment, "SLURM_STEP_NUM_TASKS") or 1
    return _place_by_slurm(environment) if tasks > 1 and has_all(["SLURM_PROCID"], environment) else ALONE


def resolve_rank_count(
    ranks: int | None, gpus: int | None, environment: Mapping[str, str]
) -> tuple[int, Place]:
    """Compares the options of a call with the ranks that a launcher has started.

    Args:
        ranks: Value of ``--ranks``, or None.
        gpus: Value of ``--gpus``, or None.
        environment: Environment variables of this process.

    Returns:
        How many ranks the run has, and the place of this process among those that have been started.

    Raises:
        UsageError: The numbers contradict each other, or a launcher that the ranks cannot meet under has
            started several processes, and ``ranks`` does not say what each of them is to do.
    """
    if None not in (ranks, gpus) and ranks != gpus:
        raise UsageError(f"--ranks {ranks} and --gpus {gpus} contradict each other; leave one of them out")
    place = place_from_environment(environment)
    count = ranks or gpus or place.size
    if place.size > 1 and count != place.size:
        raise UsageError(
            f"expected the {count} ranks that --{'ranks' if ranks else 'gpus'} asks for, "
            f"got {place.size} from {place.launcher}; leave the option out, or start {count}"
        )

    # Several processes that do not know of each other would write to one folder.
    if place.size == 1 and ranks is None and (launcher := unknown_launcher(environment)):
        raise UsageError(
            f"started by {launcher}, under which ranks do not find each other; use hepbench run --ranks N, "
            "srun or mpirun, or give --ranks 1 and an --output of its own to each process"
        )
    return count, place


def _place_by_launcher(launcher: str, names: Sequence[str], environment: Mapping[str, str]) -> Place:
    """Returns the place that ``names``, the variables of a launcher in ``_LAUNCHERS``, give."""
    rank, size, local_rank, local_size = numbers(launcher, names, environment)

    # horovodrun serves the store of the run, and tells every rank where.
    if launcher == "horovodrun":
        if "HOROVOD_GLOO_RENDEZVOUS_PORT" not in environment:
            raise UsageError("started by horovodrun without Gloo: start it with horovodrun --gloo")
        cross = ("HOROVOD_CROSS_RANK", "HOROVOD_CROSS_SIZE", "HOROVOD_GLOO_RENDEZVOUS_PORT")
        node, nodes, port = numbers(launcher, cross, environment)
        return Place(
            rank,
            size,
            local_rank,
            local_size,
            node=node,
            nodes=nodes,
            launcher=environment.get(LAUNCHER_VARIABLE, launcher),
            host=environment.get("HOROVOD_GLOO_RENDEZVOUS_ADDR", LOOPBACK),
            port=port,
        )

    # The other launchers serve no store, so that the ranks have to agree on a port without a message.
    if local_size != size:
        raise UsageError(
            f"started by {launcher}: expected all {size} ranks on this node, got {local_size} of them; "
            "across nodes use srun, or horovodrun --gloo -np N -H HOST:RANKS,... hepbench run ..."
        )
    # The launcher is the parent of all ranks, so that its process id tells two runs on a machine apart.
    port = _port_of_run(str(os.getppid()))
    return Place(rank, size, local_rank, local_size, launcher=launcher, port=port, serves_store=rank == 0)


def _place_by_pmi(environment: Mapping[str, str]) -> Place:
    """Returns the place of one of several processes that have the variables of PMI."""
    names = _LAUNCHERS["mpiexec"]
    if has_all(names, environment):
        return _place_by_launcher("mpiexec", names, environment)

    # srun sets the variables of PMI, too, where that is its default, and its own ones say more.
    step = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    if [number(environment, name) for name in step] == [number(environment, name) for name in names[:2]]:
        return _place_by_slurm(environment)
    if has_all(_CRAY_PMI, environment):
        return _place_by_launcher("mpiexec", _CRAY_PMI, environment)

    # A launcher with a name of its own is not refused here, because each process may be meant to run alone.
    if not unknown_launcher(environment):
        raise UsageError(
            "started by mpiexec: expected PMI_RANK and MPI_LOCALRANKID; under Slurm use srun --mpi=none, "
            "elsewhere hepbench run --ranks N"
        )
    return ALONE


def _place_by_slurm(environment: Mapping[str, str]) -> Place:
    """Returns the place of one of several tasks of srun, or ``ALONE`` in a shell that srun opened."""
    if is_shell_of_srun(environment):
        return ALONE
    names = ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
    size, rank, local_rank, node = numbers("srun", names, environment)
    texts = ("SLURM_STEP_TASKS_PER_NODE", "SLURM_JOB_ID", "SLURM_STEP_ID")
    check_all("srun", (names[0], *texts), environment)

    # Slurm writes 4(x2) for four tasks on each of two nodes, and 2,1 where the nodes differ.
    tasks = environment["SLURM_STEP_TASKS_PER_NODE"]
    match = re.fullmatch(r"(\d+)(\(x\d+\))?", tasks)
    if match is None:
        raise UsageError(
            f"started by srun: expected equally many ranks on each node, got {tasks}; use --ntasks-per-node"
        )
    local_size = int(match[1])
    nodes = size // local_size
    if nodes > 1:
        check_all("srun", (names[0], "SLURM_STEP_NODELIST"), environment)

    # The ranks meet on the first node, at a port that every task derives from the number of the step.
    step = f"{environment['SLURM_JOB_ID']}.{environment['SLURM_STEP_ID']}"
    return Place(
        rank,
        size,
        local_rank=local_rank,
        local_size=local_size,
        node=node,
        nodes=nodes,
        launcher="srun",
        host=LOOPBACK if nodes == 1 else first_host(environment["SLURM_STEP_NODELIST"]),
        port=_port_of_run(step),
        serves_store=rank == 0,
    )


def first_host(nodes: str) -> str:
    """Returns the first of a list of nodes as Slurm writes it: ``gpu03`` for ``gpu[03-07,11],cpu1``."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    assert first is not None  # the pattern matches an empty text, too
    return re.sub(r"\[([^,\-\]]*)[^\]]*\]", r"\1", first[0])


def _port_of_run(run_id: str) -> int:
    """Returns a port that every rank of a run derives on its own, and that differs between most runs."""
    return _PORTS[zlib.crc32(run_id.encode()) % len(_PORTS)]


def die_with_launcher() -> None:
    """Makes the kernel kill this process when the process that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def address_towards(host: str) -> str:
    """Returns the address of this node on the way to a host, which is given by its name or address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # sends nothing
        probe.connect((host, 9))
        address: str = probe.getsockname()[0]
    return address


def interface_of(address: str) -> str:
    """Returns the name of the network interface that has an address, or an empty text where none has."""
    for name, entries in psutil.net_if_addrs().items():
        if address in {entry.address for entry in entries}:
            return name
    return ""


def share(items: Sequence[int], index: int, parts: int) -> list[int]:
    """Returns one of several nearly equal parts of a sequence, or one item where it has too few items.

    Args:
        items: Items to share, such as cores.
        index: Number of the part, from 0.
        parts: Number of parts.
    """
    if parts > len(items):
        return [items[index % len(items)]]
    return list(items[index * len(items) // parts : (index + 1) * len(items) // parts])


def handles_of(place: Place) -> dict[int, Any]:
    """Returns the one GPU that a process uses, by its NVML index; nothing where it sees none.

    Ranks take the GPUs that they see in the order of their local ranks. A process on its own has the first.
    """
    gpus = list(nvml.visible_handles().items())
    return dict([gpus[place.local_rank % len(gpus)]] if gpus else [])


def device_of(place: Place) -> str | None:
    """Returns the GPU of ``handles_of`` as CUDA names it, for processes that share it; None without one."""
    devices = nvml.assignable_devices()
    return devices[place.local_rank % len(devices)] if devices else None


def gpu_sensors_of(place: Place) -> list[GpuSensor]:
    """Returns the sensor of the GPU that ``handles_of`` has, or of an AMD GPU chosen in the same way."""
    if nvidia := handles_of(place):
        return [NvidiaGpu(index, handle) for index, handle in nvidia.items()]
    gpus = amd_gpu.visible_gpus()
    return [gpus[place.local_rank % len(gpus)]] if gpus else []


def handles_of_node(place: Place) -> dict[int, Any]:
    """Returns the GPUs that the ranks of this node use, one each, as far as this process sees them."""
    return dict(list(nvml.visible_handles().items())[: place.local_size])
