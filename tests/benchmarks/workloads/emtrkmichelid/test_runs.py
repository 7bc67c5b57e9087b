"""A whole run by the command, a small one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.result import read_result
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
            "min_accuracy=0",
        )
    ),
]


@pytest.mark.slow
def test_two_runs_leave_results_and_summaries_and_the_same_weights(data_cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="models are written in Keras")
    assert data_cache.exists()
    hashes = []
    for name in ("one", "two"):
        answer = hepbench(*SMALL, f"--output={tmp_path}/{name}")
        assert answer.returncode == 0, answer.stderr
        result = read_result(tmp_path / name / "result.json")
        validate_summary(read(tmp_path / name / "emtrkmichelid_summary.json"), result)
        hashes.append((result.weights_sha256, result.quality))
    assert hashes[0] == hashes[1]
    assert result.model == {"trainable_parameters": 11_900_420, "frozen_parameters": 0}
    rows = [(row["precision"], row["batch_size"]) for row in result.serving["rows"]]
    assert rows == [("float32", 50), ("float32", 8), ("mixed_bfloat16", 50), ("mixed_bfloat16", 8)]
    assert "local inference" in answer.stdout


@pytest.mark.slow
def test_a_model_that_has_not_learnt_has_no_score(data_cache: Path, tmp_path: Path) -> None:
    assert data_cache.exists()
    pytest.importorskip("keras", reason="models are written in Keras")
    answer = hepbench(*SMALL, "--set=min_accuracy=1", f"--output={tmp_path}/run", "--quiet")
    assert answer.returncode == 1
    (line,) = answer.stderr.strip().splitlines()
    assert line.startswith("hepbench: failed: did not train: accuracy: expected at least 1, got 0.")
    assert not (tmp_path / "run" / "emtrkmichelid_summary.json").exists()
