"""A whole run by the command, a small one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks.backends import REGISTRY
from benchmarks.result import read_result
from benchmarks.serving.environment import VARIABLE, missing_triton
from hepscore_adapter.validate import validate_summary
from tests.command import hepbench, read

SMALL = [
    "run",
    "emtrkmichelid",
    *(
        f"--set={setting}"
        for setting in (
            "event_patches=100",
            "train_patches=128",
            "train_epochs=1",
            "batch_size=50",
            "other_batches=8",
            "repetitions=2",
            "repetition_seconds=0.01",
            "clients=1",
            "request_batches=40",
            "window_seconds=0.5",
            "work_seconds=0",
            "max_p99=60",
            "min_accuracy=0",
        )
    ),
]


@pytest.mark.slow
def test_runs_with_and_without_a_server_have_the_same_weights(data_cache: Path, tmp_path: Path) -> None:
    """Without Triton, the service is measured in the process of the run, and has no score."""
    pytest.importorskip("keras", reason="models are written in Keras")
    assert data_cache.exists()
    if reason := missing_triton():
        pytest.skip(f"no Triton: {reason}")
    results = []
    for name, env in (("alone", {VARIABLE: str(tmp_path)}), ("triton", {})):
        answer = hepbench(*SMALL, f"--output={tmp_path}/{name}", env=env)
        assert answer.returncode == 0, answer.stderr
        result = read_result(tmp_path / name / "result.json")
        validate_summary(read(tmp_path / name / "emtrkmichelid_summary.json"), result)
        rows = [(row["precision"], row["batch_size"]) for row in result.serving["rows"]]
        assert rows == [("float32", 50), ("float32", 8), ("mixed_bfloat16", 50), ("mixed_bfloat16", 8)]
        assert "local inference" in answer.stdout
        results.append(result)

    alone, with_triton = results
    assert alone.model == {"trainable_parameters": 11_900_420, "frozen_parameters": 0}
    assert (alone.weights_sha256, alone.quality) == (with_triton.weights_sha256, with_triton.quality)
    assert alone.scores.keys() == {"offline"}
    assert "the service has no score: the server was in the process of the run: " in (
        tmp_path / "alone" / "run.log"
    ).read_text(encoding="utf-8")
    assert with_triton.scores.keys() == {"offline", "service"}
    service = with_triton.serving["service"]
    assert (service["server"], service["without_score"]) == ("triton", "")
    (load,) = service["loads"]
    assert len(load["patches_per_second"]) == 2
    assert load["bytes_per_event"]["sent"] == pytest.approx(100 * 9216, rel=0.01)


@pytest.mark.slow
def test_a_bound_that_no_load_meets_ends_the_run_with_one_line(data_cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="models are written in Keras")
    assert data_cache.exists()
    if reason := missing_triton():
        pytest.skip(f"no Triton: {reason}")
    answer = hepbench(*SMALL, "--set=max_p99=0", f"--output={tmp_path}/run", "--quiet")
    assert answer.returncode == 1
    (line,) = answer.stderr.strip().splitlines()
    assert line.startswith("hepbench: failed: expected a load whose p99 is at most 0 s, got 0.")
    assert not (tmp_path / "run" / "emtrkmichelid_summary.json").exists()


@pytest.mark.slow
def test_a_server_that_is_not_there_ends_the_run_with_one_line(data_cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="models are written in Keras")
    assert data_cache.exists()
    answer = hepbench(*SMALL, "--set=server=127.0.0.1:1", f"--output={tmp_path}/run", "--quiet")
    assert answer.returncode == 1
    (line,) = answer.stderr.strip().splitlines()
    assert line.startswith("hepbench: failed: ")
    assert "127.0.0.1:1" in line
    assert not (tmp_path / "run" / "emtrkmichelid_summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_frameworks_measure_the_same_network(backend: str, data_cache: Path, tmp_path: Path) -> None:
    """Each trains its own weights, and answers of the server are compared with its own."""
    pytest.importorskip("keras", reason="models are written in Keras")
    assert data_cache.exists()
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"no {REGISTRY[backend].title}: {REGISTRY[backend].install}")
    env = {VARIABLE: str(tmp_path), "KERAS_BACKEND": backend}
    answer = hepbench(*SMALL, f"--output={tmp_path}/run", env=env)
    assert answer.returncode == 0, answer.stderr
    result = read_result(tmp_path / "run" / "result.json")
    validate_summary(read(tmp_path / "run" / "emtrkmichelid_summary.json"), result)
    assert result.config["backend"] == backend
    assert result.model["trainable_parameters"] == 11_900_420
    assert len(result.serving["rows"]) == 4
    assert len(result.serving["service"]["loads"]) == 1
