"""Whole runs by the command, small ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.backends import REGISTRY
from benchmarks.result import read_result
from benchmarks.workloads.mellin_dis.config import IMPLEMENTATIONS
from benchmarks.workloads.mellin_dis.events import sample_events
from datasets.store import Writer
from hepscore_adapter.validate import validate_summary
from tests.command import hepbench, read

SMALL = [
    "run",
    "mellin_dis",
    *(
        f"--set={setting}"
        for setting in ("events=200", "series_events=300", "repetitions=2", "repetition_seconds=0.01")
    ),
]


@pytest.mark.slow
def test_a_run_leaves_a_result_and_a_summary(data_cache: Path, tmp_path: Path) -> None:
    assert data_cache.exists()
    answer = hepbench(*SMALL, "--set=bootstraps=64", "--set=measure_job=true", f"--output={tmp_path}/run")
    assert answer.returncode == 0, answer.stderr
    result = read_result(tmp_path / "run" / "result.json")
    validate_summary(read(tmp_path / "run" / "mellin_dis_summary.json"), result)

    rows = {row["implementation"]: row for row in result.kernel["rows"]}
    assert tuple(rows) == IMPLEMENTATIONS
    for name, row in rows.items():
        assert "left_out" not in row, name
        assert row["job_seconds"] > 0
        assert row["figures"][0] == pytest.approx(
            rows["loop"]["figures"][0], rel=1e-2 if name.endswith("64") else 1e-6
        )
    counts = {(entry["implementation"], entry["events"]) for entry in result.kernel["series"]}
    assert counts == {(name, count) for name in IMPLEMENTATIONS for count in (100, 200, 300)}
    assert result.quality["deviation"] < 5e-10
    assert "kernel_matrix" in answer.stdout


def test_an_event_at_large_x_ends_the_run_with_one_line(tmp_path: Path) -> None:
    x, q2 = sample_events(300, seed=1)
    x[20] = 0.97
    with Writer(tmp_path / "events") as writer:
        writer.append("events", "kinematics", np.ones(300, np.int64), {"x": x, "q2": q2})
        writer.finish({"generator": "test"})
    answer = hepbench(*SMALL, f"--data={tmp_path}/events", f"--output={tmp_path}/run", "--quiet")
    assert answer.returncode == 1
    (line,) = answer.stderr.strip().splitlines()
    assert "event 20: expected Q2 from 2 GeV^2 and x from " in line
    assert not (tmp_path / "run" / "mellin_dis_summary.json").exists()


@pytest.mark.slow
def test_a_parameter_outside_its_range_ends_the_run_with_one_line(data_cache: Path, tmp_path: Path) -> None:
    assert data_cache.exists()
    answer = hepbench(*SMALL, "--set=parameter_spread=0.9", f"--output={tmp_path}/run", "--quiet")
    assert answer.returncode == 1
    (line,) = answer.stderr.strip().splitlines()
    assert line.startswith("hepbench: failed: parameter ")
    assert "lower --set parameter_spread" in line
    assert not (tmp_path / "run" / "mellin_dis_summary.json").exists()


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_run_on_another_backend_names_the_forms_that_it_lacks(
    backend: str, data_cache: Path, tmp_path: Path
) -> None:
    pytest.importorskip(backend, reason=f"no {REGISTRY[backend].title}: {REGISTRY[backend].install}")
    assert data_cache.exists()
    answer = hepbench(
        *SMALL, "--set=series_events=200", "--backend", backend, f"--output={tmp_path}/run", timeout=900
    )
    assert answer.returncode == 0, answer.stderr
    result = read_result(tmp_path / "run" / "result.json")
    validate_summary(read(tmp_path / "run" / "mellin_dis_summary.json"), result)
    reasons = {row["implementation"]: row.get("left_out") for row in result.kernel["rows"]}
    assert tuple(reasons) == IMPLEMENTATIONS
    for name, reason in reasons.items():
        lacking = REGISTRY[backend].no_compiler.get(name.removesuffix("_complex64"))
        assert reason == lacking, name
        assert lacking is None or f"left out: {name}: {lacking}" in answer.stdout


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.horovod
def test_two_ranks_are_measured_together(data_cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    assert data_cache.exists()
    answer = hepbench(
        *SMALL,
        *("--set=series_events=200", "--set=repetition_seconds=0.3", "--ranks=2"),
        f"--output={tmp_path}/run",
    )
    assert answer.returncode == 0, answer.stderr
    result = read_result(tmp_path / "run" / "result.json")
    validate_summary(read(tmp_path / "run" / "mellin_dis_summary.json"), result)
    assert [node["processes"] for node in result.kernel["node"]][:2] == [1, 2]
    assert result.kernel["node"][1]["ranks"] == result.world_size == 2
