"""Where a process stands among ranks, from the variables that launchers set."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from benchmarks.errors import UsageError
from benchmarks.machine import nvml
from benchmarks.ranks.place import (
    ALONE,
    LOOPBACK,
    Place,
    address_towards,
    device_of,
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


PMI = {"PMI_RANK": "1", "PMI_SIZE": "2", "PMI_FD": "9", "PMI_JOBID": "7.0"}
SRUN_2 = {
    **SRUN,
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "0",
}
SRUN_1 = {**SRUN_2, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_STEP_TASKS_PER_NODE": "1"}


@pytest.mark.parametrize(
    "environment",
    [
        {**SRUN_1, **PMI, "PMI_RANK": "0", "PMI_SIZE": "1"},
        {"PMI_RANK": "0", "PMI_SIZE": "1", "PMI_LOCAL_RANK": "0", "PMI_LOCAL_SIZE": "1", "ALPS_APP_PE": "0"},
        {"PMI_RANK": "0", "PMI_SIZE": "1"},
        {"PMI_RANK": "", "PMI_SIZE": ""},
        {"PMI_RANK": " "},
        {"OMPI_COMM_WORLD_SIZE": "1"},
        {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"},
        {"OMPI_COMM_WORLD_RANK": "0"},
        {"HOROVOD_RANK": "0", "HOROVOD_SIZE": "1"},
        {**SRUN_1, "PMIX_RANK": "0", "PMIX_NAMESPACE": "slurm.pmix.7.0"},
        {**SRUN, "SLURM_STEP_NUM_TASKS": "", "SLURM_PROCID": "0"},
        {"RANK": "captain", "WORLD_SIZE": ""},
        {"RANK": "3"},
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"},
        {"FLUX_TASK_RANK": "0", "FLUX_JOB_SIZE": "1"},
        {"PALS_RANKID": "0", "PALS_LOCAL_RANKID": "0"},
    ],
)
def test_a_single_process_is_alone_whatever_variables_it_has(environment: dict[str, str]) -> None:
    assert resolve_rank_count(None, None, environment) == (1, ALONE)
    assert resolve_rank_count(1, None, environment) == (1, ALONE)
    assert resolve_rank_count(4, None, environment) == (4, ALONE)


def test_under_srun_with_pmi_the_variables_of_slurm_say_the_place() -> None:
    place = place_from_environment({**SRUN_2, **PMI})
    assert place == place_from_environment(SRUN_2)
    assert (place.launcher, place.rank, place.size, place.local_rank) == ("srun", 1, 2, 1)


def test_the_variables_of_mpich_count_more_than_those_of_the_srun_that_started_it() -> None:
    proxies = {**SRUN_2, "SLURM_PROCID": "0"}
    place = place_from_environment({**proxies, **PMI, "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"})
    assert (place.launcher, place.rank, place.local_rank) == ("mpiexec", 1, 1)


def test_pmi_of_cray_says_the_place_on_the_node() -> None:
    place = place_from_environment({**PMI, "PMI_LOCAL_RANK": "1", "PMI_LOCAL_SIZE": "2", "PALS_RANKID": "1"})
    assert (place.launcher, place.rank, place.size, place.local_size) == ("mpiexec", 1, 2, 2)


@pytest.mark.parametrize(
    ("environment", "launcher"),
    [
        ({"FLUX_TASK_RANK": "0", "FLUX_JOB_SIZE": "2"}, "flux (FLUX_TASK_RANK=0, FLUX_JOB_SIZE=2)"),
        ({**PMI, "FLUX_TASK_RANK": "1", "FLUX_JOB_SIZE": "2"}, "flux (FLUX_TASK_RANK=1, FLUX_JOB_SIZE=2)"),
        ({"FLUX_TASK_RANK": "1"}, "flux (FLUX_TASK_RANK=1)"),
        ({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4"}, "torchrun (RANK=0, WORLD_SIZE=4)"),
        ({**PMI, "PMI_RANK": "0", "PALS_RANKID": "0"}, "PALS (PALS_RANKID=0, PMI_SIZE=2)"),
        ({"PALS_RANKID": "3"}, "PALS (PALS_RANKID=3)"),
        ({"PMIX_RANK": "1"}, "PMIx (PMIX_RANK=1)"),
        ({"ALPS_APP_PE": "1"}, "aprun (ALPS_APP_PE=1)"),
        ({"JSM_NAMESPACE_RANK": "0", "JSM_NAMESPACE_SIZE": "6"},
         "jsrun (JSM_NAMESPACE_RANK=0, JSM_NAMESPACE_SIZE=6)"),
        ({"MV2_COMM_WORLD_RANK": "0", "MV2_COMM_WORLD_SIZE": "2"},
         "mpirun_rsh (MV2_COMM_WORLD_RANK=0, MV2_COMM_WORLD_SIZE=2)"),
        ({"SLURM_PROCID": "1"}, "srun (SLURM_PROCID=1)"),
    ],
)  # fmt: skip
def test_several_processes_of_an_unknown_launcher_are_refused(
    environment: dict[str, str], launcher: str
) -> None:
    """Each would be a run of its own, into one folder, unless the call says that it is meant."""
    for gpus in (None, 1):
        with pytest.raises(UsageError) as caught:
            resolve_rank_count(None, gpus, environment)
        assert str(caught.value) == (
            f"started by {launcher}, under which ranks do not find each other; use hepbench run --ranks N, "
            "srun or mpirun, or give --ranks 1 and an --output of its own to each process"
        )
    assert resolve_rank_count(1, None, environment) == (1, ALONE)


def test_the_own_ranks_of_a_run_are_known_under_every_launcher() -> None:
    environment = {**HOROVODRUN, "FLUX_TASK_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}
    assert resolve_rank_count(None, None, environment)[1].size == 8


PTY = {**SRUN_2, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_PTY_PORT": "40000"}


@pytest.mark.parametrize("pmi", [{}, {**PMI, "PMI_RANK": "0"}])
def test_in_a_shell_that_srun_opened_a_process_is_alone(pmi: dict[str, str]) -> None:
    """The shells of the other tasks have ended, because they have no terminal."""
    assert resolve_rank_count(None, None, {**PTY, **pmi}) == (1, ALONE)
    assert resolve_rank_count(1, None, {**PTY, **pmi}) == (1, ALONE)
    assert resolve_rank_count(4, None, {**PTY, **pmi}) == (4, ALONE)


PLACE = (
    "import os; from benchmarks.ranks.place import place_from_environment as place;"
    "print(place(os.environ).launcher or 'alone')"
)


def in_a_session(command: str, *, terminal: bool) -> str:
    """Runs a command of a shell in a session of its own, with the variables of a task of ``srun --pty``."""
    variables = {**os.environ, **PTY, "SLURM_TASK_PID": "1", "CODE": PLACE, "PYTHON": sys.executable}
    if not terminal:
        return subprocess.run(
            ["bash", "-c", command], env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True
        ).stdout.strip()
    process, end = pty.fork()
    if process == 0:
        os.execvpe("bash", ["bash", "-c", command], variables)
    output = b""
    with suppress(OSError):  # how Linux says that the other end is closed
        while chunk := os.read(end, 4096):
            output += chunk
    os.close(end)
    os.waitpid(process, 0)
    return output.decode().strip()


def test_a_step_that_is_started_in_a_shell_of_srun_has_its_ranks() -> None:
    """It inherits the variables of the terminal, and so does a job that is submitted there."""
    assert in_a_session('"$PYTHON" -c "$CODE"', terminal=False) == "srun"


def test_a_shell_with_a_terminal_is_told_from_a_command_that_all_tasks_run() -> None:
    assert in_a_session('exec "$PYTHON" -c "$CODE"', terminal=True) == "srun"
    assert in_a_session('"$PYTHON" -c "$CODE"; true', terminal=True) == "srun"
    assert in_a_session('set -m; "$PYTHON" -c "$CODE"; true', terminal=True) == "alone"  # as on a prompt


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
        "started by mpiexec: expected PMI_RANK and MPI_LOCALRANKID; under Slurm use srun --mpi=none, "
        "elsewhere hepbench run --ranks N",
    ),
    "a second process of an unknown number": (
        {"OMPI_COMM_WORLD_RANK": "1"},
        "started by mpirun: expected OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE; "
        "use hepbench run --ranks N",
    ),
    "no number": (
        {**MPIRUN, "OMPI_COMM_WORLD_SIZE": "two"},
        "OMPI_COMM_WORLD_SIZE: expected a whole number of a launcher, got 'two'; unset it",
    ),
    "a task without its node": (
        {**SRUN, "SLURM_NODEID": ""},
        "started by srun: expected SLURM_STEP_NUM_TASKS and SLURM_NODEID; use hepbench run --ranks N",
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
    device = device_of(place)
    assert device == (nvml.read("nvmlDeviceGetUUID", used[0]) if used else None)


def test_the_parent_is_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of mpirun on one machine do not meet at one port."""
    port = place_from_environment(MPIRUN).port
    monkeypatch.setattr(os, "getppid", lambda: 4242)
    assert place_from_environment(MPIRUN).port != port
