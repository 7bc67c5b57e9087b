"""The check that tells a score from what only looks like one."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import ROOT, environment
from tests.hepscore.outcome import problems, read_outcome

CONFIGURATION = {
    "hepscore_benchmark": {
        "settings": {"name": "toy", "repetitions": 2},
        "benchmarks": {
            "toy-bmk": {"results_file": "toy_summary.json", "args": {"preset": "smoke", "gpus": 1}}
        },
    }
}
GOOD: dict[str, Any] = {
    "status": "success",
    "score": 1.5,
    "benchmarks": {"toy-bmk": {"run0": {"report": {"log": "ok"}}, "run1": {"report": {"log": "ok"}}}},
}


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """Two repetitions with GPU, and what they leave."""
    for index in range(2):
        folder = tmp_path / "toy-bmk" / f"run{index}"
        folder.mkdir(parents=True)
        info = {"preset": "smoke", "world_size": 1}
        (folder / "toy_summary.json").write_text(json.dumps({"run_info": info}), encoding="utf-8")
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(CONFIGURATION), encoding="utf-8")
    return file


def found(configuration: Path, **changes: Any) -> list[str]:
    return list(problems({**GOOD, **changes}, configuration.parent, configuration))


def test_a_score_is_a_score(configuration: Path) -> None:
    assert found(configuration) == []


@pytest.mark.parametrize("score", [-1, 0.0, math.inf, math.nan, "1.5"])
def test_only_a_positive_number_is_a_score(configuration: Path, score: Any) -> None:
    assert found(configuration, score=score) == [f"score: expected a positive number, got {score}"]


def test_a_run_that_is_missing_is_found(configuration: Path) -> None:
    (configuration.parent / "toy-bmk" / "run1" / "toy_summary.json").unlink()
    reported = {"toy-bmk": {"run0": {"report": {"log": "ok"}}, "run1": {}}}
    assert found(configuration, benchmarks=reported) == [
        "toy-bmk: expected 2 summaries, got 1",
        "toy-bmk: expected the reports of 2 runs, got run0, run1",
    ]


def test_an_argument_that_did_not_arrive_is_found(configuration: Path) -> None:
    file = configuration.parent / "toy-bmk" / "run0" / "toy_summary.json"
    file.write_text(json.dumps({"run_info": {"preset": "hepscore", "world_size": 1}}), encoding="utf-8")
    assert found(configuration) == ["run0 of toy-bmk: expected preset smoke, got hepscore"]


def test_a_report_that_is_no_json_is_refused(configuration: Path) -> None:
    folder = configuration.parent / "HEPscore_01Jan2026_000000"
    folder.mkdir()
    (folder / "toy.json").write_text('{"score": Infinity}', encoding="utf-8")
    with pytest.raises(ValueError, match="expected strict JSON, got Infinity"):
        read_outcome(configuration.parent, configuration)


def test_without_hep_score_there_is_nothing_to_make() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tests.hepscore"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment({"HEPSCORE_BIN": "/nowhere/hep-score"}),
        check=False,
    )
    assert answer.returncode == 2
    assert answer.stdout.startswith("make hepscore: expected hep-score in HEPSCORE_BIN or on the PATH")
