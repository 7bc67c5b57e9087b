"""Whole runs that lose their server or are told to stop under load: what they say, and what they leave."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.serving.environment import missing_triton
from tests.benchmarks.workloads.emtrkmichelid.test_runs import SMALL
from tests.command import read, start, until

MISSING = missing_triton()
LONG = ["--set=window_seconds=60", "--quiet"]


def server_of(run: subprocess.Popen[str]) -> psutil.Process:
    children = psutil.Process(run.pid).children(recursive=True)
    (server,) = (child for child in children if child.name() == "tritonserver")
    return server


def is_under_load(run: subprocess.Popen[str]) -> bool:
    """Whether a client has used processor time, which takes more than its start."""
    for child in psutil.Process(run.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # the run asks short-lived processes, too
            if "spawn_main" in " ".join(child.cmdline()) and child.cpu_times().user > 1.5:
                return True
    return False


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"no Triton: {MISSING}")
@pytest.mark.parametrize(
    ("end", "code", "status", "reason"),
    [
        (
            lambda run: server_of(run).kill(),
            1,
            "failed",
            "the inference server was killed by SIGKILL",
        ),
        pytest.param(
            lambda run: run.send_signal(signal.SIGTERM),
            143,
            "interrupted",
            "SIGTERM",
            marks=pytest.mark.exhaustive,
        ),
    ],
    ids=["a killed server", "a signal"],
)
def test_a_run_that_ends_under_load_leaves_nothing(
    end: Callable[[subprocess.Popen[str]], None],
    code: int,
    status: str,
    reason: str,
    data_cache: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("keras", reason="models are written in Keras")
    assert data_cache.exists()
    with start(*SMALL, *LONG, f"--output={tmp_path}/run") as run:
        until(lambda: run.poll() is not None or is_under_load(run), 240)
        assert run.poll() is None, run.communicate()
        processes = psutil.Process(run.pid).children(recursive=True)
        end(run)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == code
    (line,) = errors.strip().splitlines()
    assert reason in line
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
    assert list(Path("/dev/shm").glob(f"hepbench_{run.pid}_*")) == []

    # The result says why there is no score, and hep-score finds no summary.
    result = read(tmp_path / "run" / "result.json")
    assert (result["status"], reason in result["reason"]) == (status, True)
    assert not (tmp_path / "run" / "emtrkmichelid_summary.json").exists()
