"""Where a process stands among the ranks of a run: what the launcher's variables say, and its node."""

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
from benchmarks.machine import nvml

LOOPBACK = "127.0.0.1"
# Variables of launchers: rank, ranks, rank on the node, ranks on the node. The first that is there counts:
# mpirun may itself have been started by something else of this list.
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
_PORTS = range(20_000, 32_000)  # below those that Linux gives to outgoing connections
_PR_SET_PDEATHSIG = 1  # of prctl
OURS, BY_US = "HEPBENCH_LAUNCHER", "hepbench run --ranks"  # a variable, and its value for ranks of our own


@dataclass(frozen=True)
class Place:
    """One rank among the ranks of a run; nodes have equally many.

    Attributes:
        launcher: Who started the ranks; empty for a process on its own.
        host: Where the rendezvous of the ranks is.
        port: Its port.
        serves: This rank has to offer the rendezvous: its launcher does not.
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
    serves: bool = False

    def variables(self) -> dict[str, str]:
        """What Horovod has to find in the environment of this rank."""
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


def found(environment: Mapping[str, str]) -> Place:
    """The place that the variables of a launcher give to this process; ``ALONE`` where there are none.

    Raises:
        UsageError: Ranks that cannot find each other, or unequally many on the nodes.
    """
    for launcher, names in _LAUNCHERS.items():
        if names[0] in environment:
            return _by_launcher(launcher, names, environment)
    if "SLURM_PROCID" in environment and int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _by_slurm(environment)
    return ALONE


def asked_for(ranks: int | None, gpus: int | None, environment: Mapping[str, str]) -> tuple[int, Place]:
    """How many ranks a call asks for, and the place of this process among those that were started.

    Raises:
        UsageError: Two different numbers, or another one than was started.
    """
    if None not in (ranks, gpus) and ranks != gpus:
        raise UsageError(f"--ranks {ranks} and --gpus {gpus} contradict each other; leave one of them out")
    place = found(environment)
    count = ranks or gpus or place.size
    if place.size > 1 and count != place.size:
        raise UsageError(
            f"expected the {count} ranks that --{'ranks' if ranks else 'gpus'} asks for, "
            f"got {place.size} from {place.launcher}; leave the option out, or start {count}"
        )
    return count, place


def _by_launcher(launcher: str, names: Sequence[str], environment: Mapping[str, str]) -> Place:
    missing = [name for name in names if name not in environment]
    if missing:
        raise UsageError(
            f"started by {launcher}: expected {names[0]} and {missing[0]}; use hepbench run --ranks N"
        )
    rank, size, local_rank, local_size = (int(environment[name]) for name in names)
    if size == 1:
        return ALONE
    if launcher == "horovodrun":
        if "HOROVOD_GLOO_RENDEZVOUS_PORT" not in environment:
            raise UsageError("started by horovodrun without Gloo: start it with horovodrun --gloo")
        return Place(
            rank,
            size,
            local_rank,
            local_size,
            node=int(environment["HOROVOD_CROSS_RANK"]),
            nodes=int(environment["HOROVOD_CROSS_SIZE"]),
            launcher=environment.get(OURS, launcher),
            host=environment["HOROVOD_GLOO_RENDEZVOUS_ADDR"],
            port=int(environment["HOROVOD_GLOO_RENDEZVOUS_PORT"]),
        )
    if local_size != size:
        raise UsageError(
            f"started by {launcher}: expected all {size} ranks on this node, got {local_size} of them; "
            "across nodes use srun, or horovodrun --gloo -np N -H HOST:RANKS,... hepbench run ..."
        )
    # The launcher is the parent of all ranks, so that its number tells two runs on a machine apart.
    port = _port(str(os.getppid()))
    return Place(rank, size, local_rank, local_size, launcher=launcher, port=port, serves=rank == 0)


def _by_slurm(environment: Mapping[str, str]) -> Place:
    size, rank, node = (
        int(environment[name]) for name in ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_NODEID")
    )
    tasks = environment["SLURM_STEP_TASKS_PER_NODE"]  # such as 4(x2), or 2,1
    match = re.fullmatch(r"(\d+)(\(x\d+\))?", tasks)
    if match is None:
        raise UsageError(
            f"started by srun: expected equally many ranks on each node, got {tasks}; use --ntasks-per-node"
        )
    local_size = int(match[1])
    nodes = size // local_size
    step = f"{environment['SLURM_JOB_ID']}.{environment['SLURM_STEP_ID']}"
    return Place(
        rank,
        size,
        local_rank=int(environment["SLURM_LOCALID"]),
        local_size=local_size,
        node=node,
        nodes=nodes,
        launcher="srun",
        host=LOOPBACK if nodes == 1 else first_host(environment["SLURM_STEP_NODELIST"]),
        port=_port(step),
        serves=rank == 0,
    )


def first_host(nodes: str) -> str:
    """The first of a list of nodes as Slurm writes it: ``gpu[03-07,11],cpu1`` begins with ``gpu03``."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    assert first is not None  # the pattern takes an empty text, too
    return re.sub(r"\[([^,\-\]]*)[^\]]*\]", r"\1", first[0])


def _port(run: str) -> int:
    """A port that all ranks of a run arrive at on their own; another one for most other runs."""
    return _PORTS[zlib.crc32(run.encode()) % len(_PORTS)]


def die_with_launcher() -> None:
    """Has the kernel end this process when the one that started it is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def address_towards(host: str) -> str:
    """The address of this node on its way to a host, by name or address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # sends nothing
        probe.connect((host, 9))
        ours: str = probe.getsockname()[0]
    return ours


def interface_of(address: str) -> str:
    """The network interface that has an address; empty where none has."""
    named = psutil.net_if_addrs().items()
    return next((name for name, all_of in named if address in {each.address for each in all_of}), "")


def share(items: Sequence[int], index: int, parts: int) -> list[int]:
    """The part ``index`` of ``parts`` nearly equal ones, in order; one item each where there are too few."""
    if parts > len(items):
        return [items[index % len(items)]]
    return list(items[index * len(items) // parts : (index + 1) * len(items) // parts])


def handles_of(place: Place) -> dict[int, Any]:
    """Returns the GPUs of a process: of several ranks each has one, in the order of their local ranks."""
    gpus = list(nvml.visible_handles().items())
    return dict([gpus[place.local_rank % len(gpus)]] if place.size > 1 and gpus else gpus)
