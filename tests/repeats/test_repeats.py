"""The same seed gives the same bits in fresh processes.

What differed once differed in 3 to 7 processes of 24 to 30, so repeating a run once shows nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.command import ROOT, environment, hepbench, read
from tests.conftest import tiny, tiny_tracks
from tests.results import decided_by_seed

pytest.importorskip("tensorflow", reason="this is TensorFlow's backend")

WORKLOADS = ("mlpf", "gnn_tracking")
TRAININGS = {"mlpf": tiny, "gnn_tracking": tiny_tracks}


def program(name: str, *arguments: str) -> Any:
    """Returns what a program of this folder prints in a process of its own."""
    answer = subprocess.run(
        [sys.executable, "-m", f"tests.repeats.{name}", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment({}),
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


@contextmanager
def beside_a_busy_core(busy: bool) -> Iterator[None]:
    """Lets kernels meet in another order, because one of the cores has something else to do."""
    if not busy:
        yield
        return
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        spinning.kill()
        spinning.wait()


def gradients(workload: str, processes: int, *assignments: str) -> Counter[str]:
    """Counts which gradient each of the processes comes to, every second one beside a busy core."""
    found = Counter[str]()
    for index in range(processes):
        with beside_a_busy_core(index % 2 == 1):
            found[program("gradient", workload, *assignments)["gradient"]] += 1
    return found


def trainings(folder: Path, processes: int, *arguments: str) -> list[dict[str, Any]]:
    """Returns what the seed decides in each training, every second one beside a busy core."""
    outcomes = []
    for index in range(processes):
        with beside_a_busy_core(index % 2 == 1):
            answer = hepbench("run", *arguments, "--output", folder / str(index), "--quiet")
        assert answer.returncode == 0, answer.stderr
        outcomes.append(decided_by_seed(read(folder / str(index) / "result.json")))
    return outcomes


def test_who_reads_a_summand_decides_nothing_in_deterministic_mode() -> None:
    assert program("sums", "on") == {"changed": 0, "largest_sum": 0}


def test_it_does_without_deterministic_mode() -> None:
    """Shows what the test above looks for, so that it can fail."""
    sums = program("sums", "off")
    assert sums["changed"] > 0
    assert sums["largest_sum"] == 3


@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_step_adds_more_than_two_arrays_at_once(workload: str) -> None:
    assert program("gradient", workload, "deterministic=on")["largest_sum"] <= 2


@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS)
def test_eight_processes_agree_on_a_gradient(workload: str) -> None:
    assert list(gradients(workload, 8).values()) == [8]


@pytest.mark.exhaustive
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize(("precision", "processes"), [("float32", 24), ("mixed_bfloat16", 12)])
def test_many_processes_agree_on_a_gradient(workload: str, precision: str, processes: int) -> None:
    assert list(gradients(workload, processes, f"precision={precision}").values()) == [processes]


@pytest.mark.exhaustive
@pytest.mark.parametrize("workload", WORKLOADS)
def test_many_trainings_agree(workload: str, tmp_path: Path, mlpf_data: Path, tracks_data: Path) -> None:
    assert mlpf_data.is_dir() and tracks_data.is_dir()
    first, *others = trainings(tmp_path, 12, *TRAININGS[workload]())
    assert others == [first] * 11


@pytest.mark.exhaustive
@pytest.mark.parametrize("mode", ["store", "checkpoint", "chunked"])
def test_trainings_agree_in_every_memory_mode(mode: str, tmp_path: Path, tracks_data: Path) -> None:
    assert tracks_data.is_dir()
    first, *others = trainings(tmp_path, 4, *tiny_tracks(memory_mode=mode))
    assert others == [first] * 3


@pytest.mark.exhaustive
@pytest.mark.horovod
@pytest.mark.parametrize("workload", WORKLOADS)
def test_trainings_of_two_ranks_agree(
    workload: str, tmp_path: Path, mlpf_data: Path, tracks_data: Path
) -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod: make horovod")
    assert mlpf_data.is_dir() and tracks_data.is_dir()
    first, *others = trainings(tmp_path, 4, *TRAININGS[workload](batch_size=1), "--ranks", "2")
    assert others == [first] * 3
