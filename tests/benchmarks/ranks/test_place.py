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
    first_host,
    handles_of,
    handles_of_node,
    interface_of,
    place_from_environment,
    resolve_rank_count,
    share,
)
from tests.benchmarks.machine.fake_nvml import FakeNvml

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
    assert place_from_environment({}) is ALONE
    assert (ALONE.rank, ALONE.size, ALONE.launcher) == (0, 1, "")


def test_horovodrun_says_everything() -> None:
    place = place_from_environment(HOROVODRUN)
    assert place == Place(5, 8, 1, 4, node=1, nodes=2, launcher="horovodrun", host="10.0.0.1", port=1234)
    assert HOROVODRUN.items() <= place.variables().items()  # which are what Horovod reads


def test_ranks_of_mpirun_meet_at_a_port_of_their_launcher() -> None:
    place = place_from_environment(MPIRUN)
    assert (place.rank, place.size, place.local_rank, place.local_size) == (1, 2, 1, 2)
    assert (place.launcher, place.host, place.serves_store) == ("mpirun", "127.0.0.1", False)
    first = place_from_environment({**MPIRUN, "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_LOCAL_RANK": "0"})
    assert first.serves_store
    assert first.port == place.port
    assert 20_000 <= place.port < 32_000


def test_ranks_of_srun_meet_on_the_first_node() -> None:
    place = place_from_environment(SRUN)
    assert (place.rank, place.size, place.local_rank, place.local_size) == (3, 4, 1, 2)
    assert (place.node, place.nodes, place.launcher) == (1, 2, "srun")
    assert (place.host, place.serves_store) == ("gpu03", False)
    first = place_from_environment({**SRUN, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"})
    assert (first.serves_store, first.port) == (True, place.port)
    assert place_from_environment({**SRUN, "SLURM_STEP_ID": "1"}).port != place.port


def test_a_step_on_one_node_needs_no_network() -> None:
    place = place_from_environment(
        {**SRUN, "SLURM_STEP_TASKS_PER_NODE": "4", "SLURM_NODEID": "0", "SLURM_LOCALID": "3"}
    )
    assert (place.nodes, place.local_size, place.host) == (1, 4, LOOPBACK)


def test_the_interface_that_leads_to_a_host() -> None:
    assert interface_of(address_towards("localhost")) == "lo"
    assert interface_of("192.0.2.1") == ""  # reserved for documentation


def test_a_batch_script_is_no_step() -> None:
    """It has the variables of its job, among them a SLURM_PROCID and how many tasks there will be."""
    assert place_from_environment({"SLURM_JOB_ID": "77", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"}) is ALONE


def test_one_rank_is_alone_whoever_started_it() -> None:
    assert place_from_environment({**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is ALONE
    one = {**MPIRUN, "OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}
    assert place_from_environment(one) is ALONE


def test_mpirun_counts_more_than_the_srun_that_started_it() -> None:
    assert place_from_environment({**SRUN, **MPIRUN}).launcher == "mpirun"


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
        place_from_environment(environment)
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
    assert resolve_rank_count(None, None, {}) == (1, ALONE)
    assert (
        resolve_rank_count(4, None, {})
        == resolve_rank_count(None, 4, {})
        == resolve_rank_count(4, 4, {})
        == (4, ALONE)
    )
    assert (
        resolve_rank_count(None, None, HOROVODRUN)
        == resolve_rank_count(8, None, HOROVODRUN)
        == (8, place_from_environment(HOROVODRUN))
    )
    with pytest.raises(UsageError, match=r"^--ranks 2 and --gpus 4 contradict each other; leave one of"):
        resolve_rank_count(2, 4, {})
    with pytest.raises(UsageError) as caught:
        resolve_rank_count(None, 4, HOROVODRUN)
    assert str(caught.value) == (
        "expected the 4 ranks that --gpus asks for, got 8 from horovodrun; leave the option out, or start 4"
    )


@pytest.mark.parametrize(
    ("gpus", "visible", "place", "used", "of_node"),
    [
        (8, None, ALONE, [0], [0]),
        (8, "5,2", ALONE, [5], [5]),
        (8, None, Place(rank=6, size=8, local_rank=2, local_size=4), [2], [0, 1, 2, 3]),
        (8, "7,6,5,4", Place(rank=2, size=4, local_rank=2, local_size=4), [5], [7, 6, 5, 4]),
        (
            1,
            None,
            Place(rank=1, size=2, local_rank=1, local_size=2),
            [0],
            [0],
        ),  # the launcher shows it only one
        (0, None, ALONE, [], []),
        (8, "", ALONE, [], []),
    ],
)
def test_a_process_has_one_gpu(
    monkeypatch: pytest.MonkeyPatch,
    gpus: int,
    visible: str | None,
    place: Place,
    used: list[int],
    of_node: list[int],
) -> None:
    FakeNvml(gpus).install(monkeypatch)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert list(handles_of(place)) == used
    assert list(handles_of_node(place)) == of_node


def test_the_parent_is_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of mpirun on one machine do not meet at one port."""
    port = place_from_environment(MPIRUN).port
    monkeypatch.setattr(os, "getppid", lambda: 4242)
    assert place_from_environment(MPIRUN).port != port
