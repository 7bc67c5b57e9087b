"""The kind "inference service" on doubles of numbers, which can be checked by hand."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import report
from benchmarks.errors import UsageError
from benchmarks.progress import Progress
from benchmarks.result import RunResult
from benchmarks.runner import run
from benchmarks.scores import account
from benchmarks.serving.local import largest_difference
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import validate_summary
from tests import doubles, line


@pytest.fixture(autouse=True)
def _doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", line.BACKEND)
    doubles.register(monkeypatch)


def result_of(*assignments: str) -> RunResult:
    return run(doubles.configured(*assignments), Progress(visible=False, terminal=False))


@pytest.fixture(scope="module")
def finished() -> Iterator[RunResult]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", line.BACKEND)
        doubles.register(patch)
        yield result_of()


def test_the_weights_come_from_a_training_that_is_not_scored(finished: RunResult) -> None:
    """Four steps take the weight from 0 to 1.875, and so all answers are within a tenth of the double."""
    assert (finished.status, finished.reason, finished.kind) == ("ok", "", "inference service")
    assert finished.weights_sha256 == hashlib.sha256(np.array([doubles.WEIGHT]).tobytes()).hexdigest()
    assert finished.model == {"trainable_parameters": 1, "frozen_parameters": 0}
    assert finished.quality == {"accuracy": 1.0}
    assert finished.scores.keys() == {"offline"}  # the server is one in the process of the run
    assert finished.seconds.keys() == {"training"}


def test_each_number_format_and_batch_size_has_a_row(finished: RunResult) -> None:
    rows = finished.serving["rows"]
    assert [(row["precision"], row["batch_size"]) for row in rows] == [
        ("float32", 2),
        ("float32", 3),
        ("mixed_bfloat16", 2),
        ("mixed_bfloat16", 3),
    ]
    for row in rows:
        assert len(row["seconds"]) == len(row["started_at"]) == 2
        assert row["latency_seconds"]["count"] == 2 * row["calls"] > 0
        latencies = [row["latency_seconds"][name] for name in ("p50", "p95", "p99", "max")]
        assert latencies == sorted(latencies)
        assert row["largest_difference"] == 0.0


def test_the_score_is_made_of_the_repetitions(finished: RunResult) -> None:
    row = finished.serving["rows"][0]
    rates = [2 * row["calls"] / seconds for seconds in row["seconds"]]
    assert finished.scores["offline"].spread.median == pytest.approx(sum(rates) / 2)
    assert finished.scores["offline"].unit == "patches/s"


def test_the_summary_is_valid_and_a_changed_figure_is_refused(finished: RunResult) -> None:
    content = summary(finished)
    validate_summary(content, finished)
    assert content["run_info"]["kind"] == "inference service"
    assert content["run_info"]["patches_per_call"] == 2
    assert content["report"]["local"].keys() == {
        f"{precision} at batch {size}" for precision in ("float32", "mixed_bfloat16") for size in (2, 3)
    }
    assert content["report"]["weights_sha256"] == finished.weights_sha256

    serving: dict[str, Any] = copy.deepcopy(dict(finished.serving))
    serving["rows"][0]["seconds"] = [seconds / 2 for seconds in serving["rows"][0]["seconds"]]
    with pytest.raises(ValueError, match="expected the scores of the run's own record"):
        validate_summary(content, dataclasses.replace(finished, serving=serving))


@pytest.mark.parametrize(
    ("change", "shortfall"),
    [
        ({"seconds": [1.0]}, "expected the 2 repetitions that were asked for, got 1"),
        ({"batch_size": 4}, "expected local inference in float32 at batch 2, got none"),
    ],
)
def test_what_was_not_measured_is_no_score(
    finished: RunResult, change: dict[str, Any], shortfall: str
) -> None:
    serving: dict[str, Any] = copy.deepcopy(dict(finished.serving))
    serving["rows"][0] |= change
    remade = account(dataclasses.replace(finished, serving=serving))
    assert (remade.shortfall, remade.scores) == (shortfall, {})


def test_the_table_has_a_line_for_each_row_by_hand(finished: RunResult) -> None:
    """Two calls of two patches in half a second: 8 patches/s, and six patches take 0.75 s."""
    serving: dict[str, Any] = copy.deepcopy(dict(finished.serving))
    serving["rows"] = serving["rows"][:1]
    serving["rows"][0] |= {
        "calls": 2,
        "seconds": [0.5, 0.5],
        "compile_seconds": 1.0,
        "latency_seconds": {"count": 4, "p50": 0.25, "p95": 0.26, "p99": 0.27, "max": 0.28},
    }
    text = report.table([("run", dataclasses.replace(finished, serving=serving))])
    (cells,) = (line.split() for line in text.splitlines() if line.strip().startswith("float32 "))
    assert cells == ["float32", "2", "8", "0.75", "250", "260", "270", "280", "1.00", "0.0e+00"]


def test_the_record_survives_a_file(finished: RunResult) -> None:
    assert RunResult.from_dict(finished.to_dict()).serving == finished.serving


def test_differences_are_the_largest_over_all_outputs() -> None:
    expected = [np.zeros((3, 2)), np.ones((3, 1))]
    assert largest_difference([np.zeros((2, 2)), np.array([[1.0], [0.25]])], expected) == 0.75


def test_a_number_format_that_answers_something_else_ends_the_run() -> None:
    """Ten times the answer of patch 1: a difference of 9 x 1.875."""
    result = result_of("trouble=other format")
    assert (result.status, result.reason) == (
        "failed",
        "local inference in mixed_bfloat16 at batch 2: expected outputs within 0.5 of the others, "
        "got a difference of 16.9",
    )
    assert [row["precision"] for row in result.serving["rows"]] == ["float32", "float32", "mixed_bfloat16"]


def test_a_loss_that_is_lost_ends_the_run() -> None:
    result = result_of("trouble=nan")
    assert (result.status, result.reason) == ("failed", "did not train: the loss is nan in epoch 0")


def test_a_poor_model_has_no_score() -> None:
    """After one epoch of one step, the weight is 1: nothing but 0 is within a tenth of its double."""
    result = result_of("train_patches=2", "min_accuracy=0.9")
    assert result.status == "failed"
    assert result.reason.startswith("did not train: accuracy: expected at least 0.9, got 0.16")
    assert result.serving["rows"] == []


@pytest.mark.parametrize(
    ("assignments", "reason"),
    [
        (
            ["other_batches=1,x"],
            r"other_batches: expected whole numbers from 1 with commas between them, got '1,x'",
        ),
        (["other_batches=0"], r"other_batches: expected whole numbers from 1"),
        (
            ["batch_size=7"],
            r"event_patches: expected at least the 7 patches of a batch, got 6; raise --set event",
        ),
        (["max_batch=3"], r"request_batches: expected at most the 3 patches of max_batch, got 4"),
        (["preferred_batches=4096"], r"preferred_batches: expected at most the 2048 patches of max_batch"),
        (["clients="], r"clients and request_batches: expected at least one number each, got none"),
        (
            ["request_batches=65536", "max_batch=65536", "in_flight=1000"],
            r"expected at most 32 MB of a client under way, got 262.1 MB in 1000 of 65536 patches; lower",
        ),
        (["train_batch=9"], r"train_batch: expected at most the 8 patches to train on, got 9"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(assignments: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        doubles.configured(*assignments)


def test_events_may_arrive_at_random_times() -> None:
    result = result_of("rate=200")
    (load,) = result.serving["service"]["loads"]
    assert (load["rate"], result.status) == (200.0, "ok")
    assert 0 < load["events"] < 100  # 40 on average in two windows of 0.1 s


def test_several_ranks_are_refused() -> None:
    with pytest.raises(UsageError, match="doubles: expected one rank, got 2; a service has one model"):
        doubles.PRESETS["smoke"].for_ranks(2)


def test_throughput_and_latency_are_drawn_against_the_batch_size(finished: RunResult, tmp_path: Path) -> None:
    pytest.importorskip("mplhep", reason="plots are drawn with matplotlib and mplhep")
    report.plot([("run", finished)], tmp_path / "batches.png")
    assert (tmp_path / "batches.png").stat().st_size > 10_000
