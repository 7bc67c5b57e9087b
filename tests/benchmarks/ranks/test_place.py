"""Where a process stands among ranks, from the variables that launchers set."""

from __future__ import annotations

import os

import pytest

from benchmarks.errors import UsageError
from benchmarks.ranks.place import (
    ALONE,
    LOOPBACK,
    Place,
    address_towards,
    asked_for,
    first_host,
    found,
    interface_of,
    share,
)

HOROVODRUN = {
    "HOROVOD_RANK": "5",
    "HOROVOD_SIZE": "8",
    "HOROVOD_LOCAL_RANK": "1",
    "HOROVOD_LOCAL_SIZE": "4",
    "HOROVOD_CROSS_RANK": "1",
    "HOROVOD_CROSS_SIZE": "2",
    "HOROVOD_GLOO_RENDEZVOUS_ADDR": "10.0.0.1",
    "HOROVOD_GLOO_RENDEZVOUS_PORT": "1234",
}
MPIRUN = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
SRUN = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}


def test_a_process_without_a_launcher_is_alone() -> None:
    assert found({}) is ALONE
    assert (ALONE.rank, ALONE.size, ALONE.launcher) == (0, 1, "")


def test_horovodrun_says_everything() -> None:
    place = found(HOROVODRUN)
    assert place == Place(5, 8, 1, 4, node=1, nodes=2, launcher="horovodrun", host="10.0.0.1", port=1234)
    assert HOROVODRUN.items() <= place.variables().items()  # which are what Horovod reads


def test_ranks_of_mpirun_meet_at_a_port_of_their_launcher() -> None:
    place = found(MPIRUN)
    assert (place.rank, place.size, place.local_rank, place.local_size) == (1, 2, 1, 2)
    assert (place.launcher, place.host, place.serves) == ("mpirun", "127.0.0.1", False)
    first = found({**MPIRUN, "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_LOCAL_RANK": "0"})
    assert first.serves
    assert first.port == place.port
    assert 20_000 <= place.port < 32_000


def test_ranks_of_srun_meet_on_the_first_node() -> None:
    place = found(SRUN)
    assert (place.rank, place.size, place.local_rank, place.local_size) == (3, 4, 1, 2)
    assert (place.node, place.nodes, place.launcher) == (1, 2, "srun")
    assert (place.host, place.serves) == ("gpu03", False)
    first = found({**SRUN, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"})
    assert (first.serves, first.port) == (True, place.port)
    assert found({**SRUN, "SLURM_STEP_ID": "1"}).port != place.port


def test_a_step_on_one_node_needs_no_network() -> None:
    place = found({**SRUN, "SLURM_STEP_TASKS_PER_NODE": "4", "SLURM_NODEID": "0", "SLURM_LOCALID": "3"})
    assert (place.nodes, place.local_size, place.host) == (1, 4, LOOPBACK)


def test_the_interface_that_leads_to_a_host() -> None:
    assert interface_of(address_towards("localhost")) == "lo"
    assert interface_of("192.0.2.1") == ""  # reserved for documentation


def test_a_batch_script_is_no_step() -> None:
    """It has the variables of its job, among them a SLURM_PROCID and how many tasks there will be."""
    assert found({"SLURM_JOB_ID": "77", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"}) is ALONE


def test_one_rank_is_alone_whoever_started_it() -> None:
    assert found({**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is ALONE
    one = {**MPIRUN, "OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}
    assert found(one) is ALONE


def test_mpirun_counts_more_than_the_srun_that_started_it() -> None:
    assert found({**SRUN, **MPIRUN}).launcher == "mpirun"


REFUSED = {
    "mpirun across nodes": (
        {**MPIRUN, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"},
        "started by mpirun: expected all 2 ranks on this node, got 1 of them; across nodes use srun, or "
        "horovodrun --gloo -np N -H HOST:RANKS,... hepbench run ...",
    ),
    "nothing local": (
        {"PMI_RANK": "0", "PMI_SIZE": "2"},
        "started by mpiexec: expected PMI_RANK and MPI_LOCALRANKID; use hepbench run --ranks N",
    ),
    "uneven nodes": (
        {**SRUN, "SLURM_STEP_TASKS_PER_NODE": "3,1"},
        "started by srun: expected equally many ranks on each node, got 3,1; use --ntasks-per-node",
    ),
    "horovodrun with MPI": (
        {key: value for key, value in HOROVODRUN.items() if "RENDEZVOUS" not in key},
        "started by horovodrun without Gloo: start it with horovodrun --gloo",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_ranks_that_cannot_meet_are_refused(name: str) -> None:
    environment, line = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        found(environment)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n1", "n1"),
        ("n1,n2", "n1"),
        ("gpu[03-07,11],cpu1", "gpu03"),
        ("gpu[11,03]", "gpu11"),
        ("r[1-2]n[3-4]-ib", "r1n3-ib"),
    ],
)
def test_the_first_of_a_list_of_nodes(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


@pytest.mark.parametrize(
    ("cores", "parts", "shares"),
    [
        ([0, 1, 2, 3], 2, [[0, 1], [2, 3]]),
        ([4, 5, 6], 2, [[4], [5, 6]]),
        ([0, 1], 3, [[0], [1], [0]]),
        ([7], 1, [[7]]),
    ],
)
def test_cores_are_shared_out(cores: list[int], parts: int, shares: list[list[int]]) -> None:
    assert [share(cores, index, parts) for index in range(parts)] == shares


def test_what_is_asked_for_and_what_was_started() -> None:
    assert asked_for(None, None, {}) == (1, ALONE)
    assert asked_for(4, None, {}) == asked_for(None, 4, {}) == asked_for(4, 4, {}) == (4, ALONE)
    assert asked_for(None, None, HOROVODRUN) == asked_for(8, None, HOROVODRUN) == (8, found(HOROVODRUN))
    with pytest.raises(UsageError, match=r"^--ranks 2 and --gpus 4 contradict each other; leave one of"):
        asked_for(2, 4, {})
    with pytest.raises(UsageError) as caught:
        asked_for(None, 4, HOROVODRUN)
    assert str(caught.value) == (
        "expected the 4 ranks that --gpus asks for, got 8 from horovodrun; leave the option out, or start 4"
    )


def test_the_parent_is_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of mpirun on one machine do not meet at one port."""
    mine = found(MPIRUN).port
    monkeypatch.setattr(os, "getppid", lambda: 4242)
    assert found(MPIRUN).port != mine
