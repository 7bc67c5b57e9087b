"""Several ranks of a kernel, as processes: who meets whom, what is quoted, and who is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.result import read_result
from hepscore_adapter.validate import validate_summary
from tests.command import hepbench, read

CLOCK_SECONDS = 0.005  # that the clock of a date may be behind that of a duration
pytestmark = [pytest.mark.horovod, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _horovod() -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")


def run_squares(folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    return hepbench(
        *("run", "squares", "--ranks", 2, "--output", folder, *(f"--set={each}" for each in settings)),
        program="tests.squares",
    )


def assert_together(node: Mapping[str, Any]) -> None:
    """Nobody starts a repetition before the last has ended the one before it, however busy the machine is."""
    ends = [
        max(start + duration for start, duration in zip(*times, strict=True))
        for times in zip(node["started_at"], node["seconds"], strict=True)
    ]
    for starts, end in zip(node["started_at"][1:], ends, strict=False):
        assert min(starts) > end - CLOCK_SECONDS


def test_the_processes_of_two_ranks_start_and_end_together(tmp_path: Path) -> None:
    """One process alone comes first, then one on each rank, then what more cores there are."""
    answer = run_squares(tmp_path, "repetitions=3", "repetition_seconds=0.3")
    assert answer.returncode == 0, answer.stderr
    result = read_result(tmp_path / "result.json")
    validate_summary(read(tmp_path / "squares_summary.json"), result)
    assert result.world_size == 2
    assert result.kernel["clock_offsets"] == [0.0, 0.0]
    assert [row["implementation"] for row in result.kernel["rows"]] == ["loop", "vectorised", "spare"]

    alone, both, *_ = result.kernel["node"]
    assert (alone["processes"], alone["ranks"]) == (1, 1)
    assert (both["processes"], both["ranks"]) == (2, 2)
    assert result.kernel["node"][-1]["processes"] == len(os.sched_getaffinity(0)) // 2 * 2 or 2
    assert_together(both)
    assert "2 on 2 ranks" in answer.stdout


def test_a_process_that_fails_on_another_rank_ends_the_run(tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    answer = run_squares(tmp_path, "trouble=one of two")
    assert answer.returncode == 1
    result = read_result(tmp_path / "result.json")
    assert result.status == "failed"
    assert result.reason.startswith("the second core is tired (rank 1, ")
    assert not (tmp_path / "squares_summary.json").exists()
