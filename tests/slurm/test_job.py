"""Jobs on a real Slurm, with ranks from the real image."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.result import read_result
from tests.benchmarks.kernels.test_ranks import assert_together
from tests.command import hepbench, names, read, refused
from tests.containers.engines import need_sif

pytestmark = [pytest.mark.slurm, pytest.mark.container, pytest.mark.slow]
SECONDS = 600.0
LIMIT_SECONDS = 60  # from the trouble to the end of the job
# States of a job that has not ended; an answer without the job is not one of an end either.
GOING_ON = ("", "PENDING", "CONFIGURING", "RUNNING", "COMPLETING")
Submit = Callable[[Path], str]


@pytest.fixture
def image() -> Path:
    if shutil.which("sbatch") is None:
        pytest.skip("no Slurm")
    if subprocess.run(["sinfo"], capture_output=True, timeout=60).returncode != 0:
        pytest.skip("no Slurm controller answers")
    return need_sif("mlpf")


@pytest.fixture
def submit(image: Path) -> Iterator[Submit]:
    """Submits two ranks on one node and returns the number of the job; no job outlives the test."""
    jobs = []

    def call(output: Path) -> str:
        answer = hepbench(
            *("submit", "mlpf", "--ranks-per-node=2", "--time=30", "--image", image, "--output", output),
            cwd=output.parent,
        )
        assert answer.returncode == 0, answer.stderr
        jobs.append(answer.stdout.split()[1])
        return jobs[-1]

    yield call
    subprocess.run(["scancel", *jobs], capture_output=True, check=False)


def wait(condition: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, log.read_text() if log.exists() else "the job did not start"
        time.sleep(0.5)


def has_ended(job: str) -> bool:
    """Whether Slurm says so; of a controller that does not answer in time nothing is known."""
    queue = subprocess.run(
        ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}"],
        capture_output=True,
        text=True,
    )
    return queue.returncode == 0 and queue.stdout.strip() not in GOING_ON


def test_two_ranks_train_in_containers(submit: Submit, tmp_path: Path) -> None:
    output = tmp_path / "o"
    job = submit(output)
    log = tmp_path / f"slurm-{job}.out"
    wait(lambda: has_ended(job), log)
    assert "mlpf_summary.json" in names(output), log.read_text()
    assert read(output / "mlpf_summary.json")["run_info"]["world_size"] == 2
    result = read(output / "result.json")
    assert (result["status"], result["world_size"], result["distributed"]["launcher"]) == ("ok", 2, "srun")
    scheduler = {"name": "slurm", "job_id": job, "nodes": "1", "tasks": "2"}
    assert result["provenance"]["scheduler"] == scheduler


def training(job: str, output: Path) -> Path:
    """The log of the job, once an epoch has ended."""
    log = output.parent / f"slurm-{job}.out"
    wait(lambda: has_ended(job) or (log.exists() and "epoch 1" in log.read_text()), log)
    assert "epoch 1" in log.read_text()
    return log


def test_a_job_that_slurm_ends_says_so_and_has_no_score(submit: Submit, tmp_path: Path) -> None:
    """The signal goes where ``--signal`` of the script sends it before the end of the time: to the ranks."""
    output = tmp_path / "o"
    job = submit(output)
    log = training(job, output)
    subprocess.run(["scancel", "--signal=TERM", job], check=True)
    wait(lambda: has_ended(job), log)
    result = read(output / "result.json")
    assert (result["status"], result["reason"]) == ("interrupted", "SIGTERM")
    assert names(output) == ["job.sbatch", "result.json", "run.log"]


def ranks(output: Path) -> dict[str, psutil.Process]:
    """The processes in the containers of a job by the numbers of their ranks."""
    program = ["/opt/hepbench/bin/hepbench", "run", "mlpf"]
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if (line := process.info["cmdline"] or [])[1:4] == program and line[-1] == f"--output={output}"
    ]
    return {process.environ()["SLURM_PROCID"]: process for process in found}


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.exhaustive)]
)
def test_a_lost_rank_is_named(submit: Submit, tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "o"
    job = submit(output)
    log = training(job, output)
    ranks(output)["1"].send_signal(number)
    since = time.monotonic()
    wait(lambda: has_ended(job), log)
    assert time.monotonic() - since < LIMIT_SECONDS
    result = read(output / "result.json")
    assert result["status"] == "failed"
    assert "(rank 1, " in result["reason"]
    assert names(output) == ["job.sbatch", "result.json", "run.log"]
    assert ranks(output) == {}


def test_a_partition_that_does_not_exist(image: Path, tmp_path: Path) -> None:
    answer = hepbench(
        *("submit", "mlpf", "--ranks-per-node=2", "--partition=nowhere", "--image", image),
        *("--output", tmp_path / "o"),
    )
    message = refused(answer, 1)
    assert message.startswith("sbatch refused the job: ")
    assert "invalid partition" in message.lower()
    assert not (tmp_path / "o").exists()


@pytest.mark.exhaustive
def test_a_kernel_on_two_ranks_starts_and_ends_together(image: Path, tmp_path: Path) -> None:
    """The ranks of a kernel run processes side by side, and the number of all of them is quoted."""
    assert image.exists()
    output = tmp_path / "o"
    answer = hepbench(
        *("submit", "mellin_dis", "--ranks-per-node=2", "--time=30", "--image", need_sif("mellin_dis")),
        *("--output", output),
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    job = answer.stdout.split()[1]
    log = tmp_path / f"slurm-{job}.out"
    try:
        wait(lambda: has_ended(job), log)
    finally:
        subprocess.run(["scancel", job], capture_output=True, check=False)
    assert "mellin_dis_summary.json" in names(output), log.read_text()
    result = read_result(output / "result.json")
    assert (result.status, result.world_size, result.distributed["launcher"]) == ("ok", 2, "srun")
    together = [node for node in result.kernel["node"] if node["ranks"] == 2]
    assert together
    for node in together:
        assert_together(node)
