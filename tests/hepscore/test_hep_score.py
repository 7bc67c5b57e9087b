"""The real hep-score with our configurations; a stand-in for Apptainer leaves summaries of ours."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine.provenance import package_version
from tests.hepscore.outcome import problems, read_outcome
from tests.hepscore.programs import program, run_hep_score
from tests.hepscore.staged import stage

HEP_SCORE = program("HEPSCORE_BIN", "hep-score") or ""
pytestmark = pytest.mark.skipif(not HEP_SCORE, reason="no hep-score: HEPSCORE_BIN and the PATH name none")


@dataclasses.dataclass(frozen=True)
class Ran:
    """A run of hep-score: what it printed, its report, what is wrong with it, how it called the engine."""

    printed: str
    outcome: dict[str, Any]
    problems: list[str]
    calls: list[list[str]]


def run(folder: Path, *options: str, **staging: Any) -> Ran:
    """hep-score with what ``stage`` makes of its arguments."""
    staged = stage(folder, **staging)
    printed = run_hep_score(
        HEP_SCORE, staged.configuration, folder / "out", *options, mode="singularity", env=staged.environment
    )
    outcome = read_outcome(folder / "out", staged.configuration)
    (results,) = (folder / "out").glob("HEPscore_*")
    return Ran(printed, outcome, list(problems(outcome, results, staged.configuration)), staged.calls)


def test_twice_the_throughput_of_the_reference_is_a_score_of_two(tmp_path: Path) -> None:
    ran = run(tmp_path)
    assert "Final result: 2.0" in ran.printed
    assert (ran.outcome["status"], ran.outcome["score"]) == ("success", 2.0)
    assert ran.problems == []


def test_the_image_is_called_by_its_name_with_the_arguments_of_the_configuration(tmp_path: Path) -> None:
    calls = run(tmp_path).calls
    image = f"/images/mlpf-bmk:v{package_version('hepbench')}"
    assert [call[call.index(image) :] for call in calls] == 2 * [[image, "-W", "--preset", "small"]]
    assert not any("--nv" in call for call in calls)


def test_with_gpus_the_image_gets_them(tmp_path: Path) -> None:
    for call in run(tmp_path, gpus=1).calls:
        assert "--nv" in call
        assert call[-4:] == ["--preset", "small", "--gpus", "1"]


def test_the_report_has_this_shape(tmp_path: Path) -> None:
    """What a reader of hep-score's JSON, such as the suite's indices, may rely on."""
    outcome = run(tmp_path).outcome
    assert set(outcome) == {
        "settings", "benchmarks", "app_info", "environment", "wl-scores", "score", "status",
    }  # fmt: skip
    assert set(outcome["app_info"]) == {"config_hash", "hepscore_ver"}
    assert outcome["environment"]["apptainer_version"] == "1.4.5"
    assert outcome["settings"]["name"] == "hepbench-small-cpu"
    assert outcome["settings"]["reference_machine"] == "Example CPU, 2 of 2 cores"
    assert outcome["wl-scores"] == {
        "mlpf-bmk": {"train": 40.0, "train_ref": 20.0, "infer": 100.0, "infer_ref": 50.0}
    }
    block = outcome["benchmarks"]["mlpf-bmk"]
    assert set(block) == {
        "version", "results_file", "args", "weight", "run0", "run1", "app", "run_info",
    }  # fmt: skip
    assert set(block["run0"]) == {"start_at", "end_at", "duration", "report"}
    written = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert block["run0"]["report"] == block["run1"]["report"] == written["report"]
    assert (block["app"], block["run_info"]) == (written["app"], written["run_info"])


def test_a_run_that_fails_is_tried_again(tmp_path: Path) -> None:
    """A failed run leaves no summary: one that did would be counted as a third."""
    ran = run(tmp_path, failures=1, retries=1)
    assert len(ran.calls) == 3
    assert "Final result: 2.0" in ran.printed
    assert ran.problems == []


def test_cleaning_up_changes_no_score(tmp_path: Path) -> None:
    """``-C`` becomes ``--mop all``; ``-c`` is for images that were pulled."""
    ran = run(tmp_path, "-C", "-c")
    assert [call[call.index("-W") :] for call in ran.calls] == 2 * [
        ["-W", "--mop", "all", "--preset", "small"]
    ]
    assert ran.outcome["score"] == 2.0
    assert ran.problems == []


def test_a_run_that_fails_for_good_has_no_score(tmp_path: Path) -> None:
    ran = run(tmp_path, failures=1)
    assert "Final result" not in ran.printed
    assert (ran.outcome["status"], ran.outcome["score"]) == ("failed", -1)
    assert ran.problems == [
        "status: expected success, got failed (mlpf-bmk)",
        "score: expected a positive number, got -1",
        "mlpf-bmk: expected 2 summaries, got 0",
        "mlpf-bmk: expected the reports of 2 runs, got run0",
    ]


def test_an_argument_that_hep_score_drops_is_found(tmp_path: Path) -> None:
    """It goes on with what the image does by itself, and calls that a success."""
    ran = run(tmp_path, precision="mixed.bfloat16")
    assert "Ignoring invalid option in YAML configuration" in ran.printed
    assert ran.outcome["status"] == "success"
    assert ran.problems == [
        f"run{index} of mlpf-bmk: expected precision mixed.bfloat16, got float32" for index in (0, 1)
    ]
