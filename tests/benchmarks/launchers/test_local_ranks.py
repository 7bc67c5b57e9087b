"""Ranks that ``hepbench run --ranks`` starts: what goes wrong with them, with real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.launchers.slurm import WAIT_SECONDS
from benchmarks.machine import nvml
from tests.command import LINE, command, environment, names, read, refused, run_line, start

pytestmark = pytest.mark.horovod

LIMIT_SECONDS = 60  # from the trouble to the end of the last process
CALL = ("--ranks", 2, "--set", "train_events=4")
FOREVER = ("--set", "wait=0.2", "--set", "epochs=1000", "--set", "train_events=8")


@pytest.fixture(autouse=True)
def _horovod() -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")


class Running:
    """A run of the line on two ranks that has trained an epoch and would go on for long."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = start("run", "line", "--ranks", 2, *FOREVER, "--output", folder, program=LINE)
        assert self.process.stderr is not None
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("epoch 1/"):
                break
        self.launcher = psutil.Process(self.process.pid)
        self.family = self.launcher.children(recursive=True)
        self.ranks = {int(each.environ()["HOROVOD_RANK"]): each for each in self.launcher.children()}

    def wait_for_end(self, since: float) -> tuple[int, dict[str, Any], str]:
        """Returns exit code, result and words of the run, and checks that all of it is gone in time."""
        _, stderr = self.process.communicate(timeout=LIMIT_SECONDS)
        _, alive = psutil.wait_procs(self.family, timeout=LIMIT_SECONDS)
        assert alive == []
        assert time.monotonic() - since < LIMIT_SECONDS
        assert [name for name in names(self.folder) if name.endswith("_summary.json")] == []
        return self.process.returncode, read(self.folder / "result.json"), stderr

    def clear_away(self) -> None:
        for each in [self.launcher, *self.family]:
            if each.is_running():
                each.kill()
        self.process.communicate()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Starts a run, and removes what is left of it."""
    run = Running(tmp_path / "run")
    yield run
    run.clear_away()


@pytest.mark.slow
def test_a_killed_rank_ends_the_run(running: Running) -> None:
    """Rank 0 writes which rank is lost, when, and the epochs before."""
    since = time.monotonic()
    running.ranks[1].kill()
    code, result, stderr = running.wait_for_end(since)
    assert code == 1
    assert (result["status"], result["world_size"]) == ("failed", 2)
    assert re.fullmatch(r"killed by SIGKILL \(rank 1, \d+ s after the start\)", result["reason"])
    assert len(result["epochs"]) >= 1
    assert stderr.splitlines()[-1].startswith(f"hepbench: failed: {result['reason']} (see ")


@pytest.mark.slow
def test_a_killed_rank_0_leaves_a_result_all_the_same(running: Running) -> None:
    """The launcher writes the result."""
    since = time.monotonic()
    running.ranks[0].kill()
    code, result, stderr = running.wait_for_end(since)
    assert code == 1
    assert (result["status"], result["world_size"], result["epochs"]) == ("failed", 2, [])
    assert re.fullmatch(r"killed by SIGKILL \(rank 0, \d+ s after the start\)", result["reason"])
    assert stderr.splitlines()[-1] == (
        f"hepbench: failed: {result['reason']} (see {running.folder / 'result.json'})"
    )


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_hangs_ends_the_run(running: Running, rank: int) -> None:
    since = time.monotonic()
    running.ranks[rank].suspend()
    code, result, _ = running.wait_for_end(since)
    assert (code, result["status"]) == (1, "failed")
    assert re.fullmatch(rf"stopped for 10 s \(rank {rank}, \d+ s after the start\)", result["reason"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1], ids=lambda n: n.name)
def test_a_scheduler_ends_the_run(running: Running, number: signal.Signals) -> None:
    since = time.monotonic()
    running.process.send_signal(number)
    code, result, _ = running.wait_for_end(since)
    assert code == 128 + number
    assert result["status"] == "interrupted"
    assert result["reason"].startswith(number.name)
    assert len(result["epochs"]) >= 1


@pytest.mark.slow
def test_a_scheduler_that_tells_one_rank_ends_the_run(running: Running) -> None:
    since = time.monotonic()
    running.ranks[1].terminate()
    code, result, _ = running.wait_for_end(since)
    assert code == 143
    assert result["status"] == "interrupted"
    assert re.fullmatch(r"SIGTERM \(rank 1, \d+ s after the start\)", result["reason"])


@pytest.mark.slow
def test_a_launcher_that_is_killed_takes_its_ranks_along(running: Running) -> None:
    running.process.kill()
    gone, alive = psutil.wait_procs(running.family, timeout=LIMIT_SECONDS)
    assert alive == []
    assert len(gone) >= 2
    assert "line_summary.json" not in names(running.folder)


@pytest.mark.slow
def test_two_ranks_train_as_one_and_leave_a_score(tmp_path: Path) -> None:
    """Steps have four events and two, so that losses are 4 and 1. Each rank has cores of its own."""
    answer = run_line(tmp_path, "--ranks", 2, "--set", "train_events=6")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.splitlines()[0] == "2 ranks on 1 node(s), started by hepbench run --ranks"
    result = read(tmp_path / "result.json")
    assert (result["world_size"], result["config"]["global_batch_size"]) == (2, 4)
    first = result["epochs"][0]
    assert (first["loss"], first["events"], first["steps"]) == ((4 * 4 + 2 * 1) / 6, 6, 2)
    assert first["elements"] == 1 + 2 + 3 + 4 + 5 + 6
    assert first["communication_seconds"] == 2 * result["distributed"]["seconds_per_step"] > 0
    assert result["quality"] == {"loss": 1 / 1024, "accuracy": 1}
    assert result["breakdown"] == {"events": 3}  # of the validation, each counted once
    assert result["distributed"]["bytes_per_step"] == 8
    cores = len(os.sched_getaffinity(0))
    assert sum(rank["cores"] for rank in result["distributed"]["ranks"]) == max(cores, 2)
    assert names(tmp_path) == ["line_summary.json", "result.json", "run.log"]


@pytest.mark.slow
def test_a_loss_that_is_lost_ends_all_ranks(tmp_path: Path) -> None:
    answer = run_line(tmp_path, "--ranks", 2, "--set", "train_events=8", "--set", "trouble=nan")
    assert answer.returncode == 1
    result = read(tmp_path / "result.json")
    assert result["reason"] == "did not train: the loss is nan from step 1 of epoch 1"
    assert len(result["epochs"]) == 2
    said = [line for line in answer.stderr.splitlines() if "did not train" in line]
    assert said == [f"hepbench: failed: {result['reason']} (see {tmp_path / 'result.json'})"]


@pytest.mark.slow
def test_a_rank_that_fails_at_start_ends_the_run(tmp_path: Path) -> None:
    """The ranks have not met yet, and the launcher tells rank 0, which waits for the other."""
    answer = run_line(tmp_path, *CALL, env={"LINE_FAILS": "1"}, timeout=LIMIT_SECONDS)
    assert answer.returncode == 1
    result = read(tmp_path / "result.json")
    assert result["status"] == "failed"
    assert re.fullmatch(r"exit code 1: no such device \(rank 1, \d+ s after the start\)", result["reason"])
    assert answer.stderr.splitlines() == [
        f"hepbench: failed: {result['reason']} (see {tmp_path / 'result.json'})",
        "[rank 1] no such device",
    ]
    assert "line_summary.json" not in names(tmp_path)


@pytest.mark.slow
def test_a_rank_that_fails_with_its_events_ends_the_run(tmp_path: Path) -> None:
    """The ranks have met before."""
    answer = run_line(tmp_path, *CALL, "--set", "trouble=rank 1", timeout=2 * LIMIT_SECONDS)
    assert answer.returncode == 1
    reason = read(tmp_path / "result.json")["reason"]
    expected = r"unexpected RuntimeError: no such device \(rank 1, \d+ s after the start\)"
    assert re.fullmatch(expected, reason)


@pytest.mark.slow
def test_what_rank_0_lacks_is_one_line_and_a_result(tmp_path: Path) -> None:
    folder, settings = tmp_path / "run", ("--set", "train_events=4", "--data", tmp_path / "none", "--quiet")
    reason = f"{tmp_path / 'none'} has no manifest.json"
    answer = run_line(folder, "--ranks", 2, *settings)
    assert refused(answer, 1) == f"failed: {reason} (see {folder / 'result.json'})"
    record = read(folder / "result.json")
    assert (record["status"], record["reason"], record["world_size"]) == ("failed", reason, 2)


def start_as_srun(folder: Path, *options: object, **env: str) -> list[subprocess.Popen[str]]:
    """Starts two ranks with the variables of Slurm, which is all that they need of it."""
    call = ["run", "line", "--ranks", 2, "--output", folder, *options]
    step = {"STEP_ID": os.getpid(), "STEP_NUM_TASKS": 2, "STEP_TASKS_PER_NODE": 2, "NODEID": 0, "JOB_ID": 1}
    ranks = [{f"SLURM_{name}": str(value) for name, value in step.items()} for _ in range(2)]
    for rank, variables in enumerate(ranks):
        variables |= {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
    return [start(*call, program=LINE, env={**env, **variables}) for variables in ranks]


@pytest.mark.slow
def test_ranks_with_the_variables_of_srun_join(tmp_path: Path) -> None:
    ranks = start_as_srun(tmp_path, "--set", "train_events=4")
    answers = [rank.communicate(timeout=2 * LIMIT_SECONDS) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], answers
    assert answers[1] == ("", "")  # only rank 0 speaks
    result = read(tmp_path / "result.json")
    assert (result["world_size"], result["distributed"]["launcher"]) == (2, "srun")


LAUNCHERS = {
    "horovodrun": ["-np", "2", "--gloo", "-H", "localhost:2"],
    "mpirun": ["-np", "2", "--bind-to", "none", "--oversubscribe"],
}


def start_with(launcher: str, folder: Path, *options: object) -> subprocess.Popen[str]:
    """Starts two ranks by a real launcher."""
    program = Path(sys.executable).with_name(launcher)
    call = command("run", "line", "--ranks", 2, "--output", folder, *options, program=LINE)
    return subprocess.Popen(
        [program, *LAUNCHERS[launcher], *call],
        # Open MPI warns root in vain where there is nobody else.
        env=environment({"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rank_of(process: psutil.Process) -> str | None:
    variables = process.environ()
    return variables.get("OMPI_COMM_WORLD_RANK", variables.get("HOROVOD_RANK"))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_ranks_of_a_real_launcher_join(launcher: str, tmp_path: Path) -> None:
    process = start_with(launcher, tmp_path, "--set", "train_events=4")
    answer = process.communicate(timeout=2 * LIMIT_SECONDS)
    assert process.returncode == 0, answer
    result = read(tmp_path / "result.json")
    assert (result["world_size"], result["distributed"]["launcher"]) == (2, launcher)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_real_launcher_that_loses_a_rank(launcher: str, tmp_path: Path) -> None:
    """The launcher stops rank 0, which says so, or who is lost if it waits for a message of that rank."""
    process = start_with(launcher, tmp_path, *FOREVER)
    family: list[psutil.Process] = []
    try:
        next(line for line in process.stderr or () if "epoch 1/" in line)
        family += psutil.Process(process.pid).children(recursive=True)
        since = time.monotonic()
        [last] = [each for each in family if LINE in each.cmdline() and rank_of(each) == "1"]
        last.kill()
        process.communicate(timeout=LIMIT_SECONDS)
        _, alive = psutil.wait_procs(family, timeout=LIMIT_SECONDS)
        assert alive == []
        assert time.monotonic() - since < LIMIT_SECONDS
    finally:
        for each in (process, *family):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    assert process.returncode != 0
    assert "line_summary.json" not in names(tmp_path)
    if launcher == "mpirun" and "result.json" not in names(tmp_path):
        return  # it kills rank 0 a quarter of a second after it has stopped it: not in time on a busy machine
    result = read(tmp_path / "result.json")
    assert len(result["epochs"]) >= 1
    assert re.fullmatch(r"SIGTERM|does not answer \(rank 1, \d+ s after the start\)", result["reason"])


@pytest.mark.slow
def test_a_rank_of_others_that_hangs_is_named(tmp_path: Path) -> None:
    """Nobody watches the processes. Slurm would kill what is left ``WAIT_SECONDS`` after the first end."""
    ranks = start_as_srun(tmp_path, *FOREVER)
    assert ranks[0].stderr is not None
    next(line for line in ranks[0].stderr if line.startswith("epoch 1/"))
    since = time.monotonic()
    ranks[1].send_signal(signal.SIGSTOP)
    try:
        ranks[0].communicate(timeout=LIMIT_SECONDS - WAIT_SECONDS)
    finally:
        for rank in ranks:
            rank.kill()
    ranks[1].communicate()
    assert time.monotonic() - since < LIMIT_SECONDS - WAIT_SECONDS
    assert ranks[0].returncode == 1
    result = read(tmp_path / "result.json")
    assert (result["status"], len(result["epochs"]) >= 1) == ("failed", True)
    assert re.fullmatch(r"does not answer \(rank 1, \d+ s after the start\)", result["reason"])
    assert "line_summary.json" not in names(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
def test_a_rank_0_of_others_that_is_killed_leaves_a_result_all_the_same(tmp_path: Path, older: bool) -> None:
    """Another rank writes the result, also where an older one was to be replaced."""
    if older:
        (tmp_path / "result.json").write_text('{"status": "ok"}', encoding="utf-8")
    first, last = start_as_srun(tmp_path, "--force", *FOREVER)
    assert first.stderr is not None
    next(line for line in first.stderr if line.startswith("epoch 1/"))
    since = time.monotonic()
    first.kill()
    try:
        _, stderr = last.communicate(timeout=LIMIT_SECONDS - WAIT_SECONDS)
    finally:
        last.kill()
    first.communicate()
    assert time.monotonic() - since < LIMIT_SECONDS - WAIT_SECONDS
    assert last.returncode == 1
    result = read(tmp_path / "result.json")
    assert (result["status"], result["world_size"], result["epochs"]) == ("failed", 2, [])
    assert re.fullmatch(
        r"the ranks' meeting point at 127.0.0.1:\d+ is gone: rank 0 or the launcher ended "
        r"\(\d+ s after the start\)",
        result["reason"],
    )
    assert stderr.splitlines()[-1] == f"hepbench: failed: {result['reason']}"
    assert "line_summary.json" not in names(tmp_path)


@pytest.mark.slow
def test_a_rank_of_others_that_fails_at_start_is_named(tmp_path: Path) -> None:
    """The launcher saw the rank end, and sends SIGTERM to the other rank after a while."""
    first, last = start_as_srun(tmp_path, "--set", "train_events=4", LINE_FAILS="1")
    last.communicate(timeout=LIMIT_SECONDS)
    until = time.monotonic() + LIMIT_SECONDS
    while not psutil.Process(first.pid).net_connections():  # where it waits for the other
        assert time.monotonic() < until
        time.sleep(0.1)
    first.terminate()
    first.communicate(timeout=LIMIT_SECONDS)
    assert first.returncode == 1
    result = read(tmp_path / "result.json")
    assert (result["status"], result["world_size"]) == ("failed", 2)
    assert re.fullmatch(
        r"expected 2 ranks, got 1 until SIGTERM after \d+ s; without rank 1", result["reason"]
    )


def test_a_global_batch_has_to_divide(tmp_path: Path) -> None:
    answer = run_line(tmp_path / "run", "--ranks", 2, "--global-batch-size", 3)
    assert refused(answer, 2) == "global_batch_size: expected a multiple of the 2 ranks, got 3"
    answer = run_line(tmp_path / "run", "--ranks", 2)
    assert refused(answer, 2) == (
        "global_batch_size: expected at most the 3 training events, got 4 on 2 rank(s); "
        "lower --batch-size or --global-batch-size, or raise --set train_events"
    )
    assert names(tmp_path) == []


def test_too_few_steps_for_the_ranks_are_refused_before_they_start(tmp_path: Path) -> None:
    settings = ("--set", "train_events=8", "--set", "min_steps=4")
    answer = run_line(tmp_path / "run", "--ranks", 2, *settings)
    assert refused(answer, 2) == (
        "train_events: expected at least 4 steps in an epoch (min_steps), got 2 of 4 events on 2 rank(s); "
        "--set train_events=16"
    )
    assert names(tmp_path) == []


def test_gpus_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """Two ranks are refused before they start, one once its framework has looked."""
    if nvml.visible_handles():
        pytest.skip("there is a GPU")
    many = run_line(tmp_path / "run", "--gpus", 2, "--set", "train_events=8")
    assert refused(many, 2) == "--gpus 2: expected 2 GPUs, got 0; see hepbench doctor"
    one = run_line(tmp_path / "run", "--gpus", 1)
    assert refused(one, 2) == (
        "--gpus 1: expected a framework that can use a GPU, got one without; see hepbench doctor"
    )
    assert names(tmp_path) == []


def test_ranks_that_others_started_in_another_number_are_refused(tmp_path: Path) -> None:
    variables = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_NODEID": "0"}
    variables |= {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    answer = run_line(tmp_path / "run", "--ranks", 4, env=variables)
    assert refused(answer, 2) == (
        "expected the 4 ranks that --ranks asks for, got 2 from srun; leave the option out, or start 4"
    )
    answer = run_line(tmp_path / "run", "--sweep", "seed=1,2", env=variables)
    assert refused(answer, 2) == "--sweep: started by srun; leave it to hepbench run --ranks N"
