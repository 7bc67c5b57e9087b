from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from benchmarks.files import write_json
from benchmarks.result import RunResult, Spread, read_result
from tests.results import epoch, result


def test_a_result_of_a_version_without_energy_and_phases_is_read() -> None:
    plain = result().to_dict()
    del plain["energy_scored"]
    for record in plain["epochs"]:
        del record["validation_started_at"]
    again = RunResult.from_dict(plain)
    assert (again.energy_scored, again.epochs[0].validation_started_at) == ({}, None)
    assert again == result()


def test_spread_of_ten_twenty_thirty() -> None:
    assert Spread.of([30.0, 10.0, 20.0]) == Spread(
        count=3, mean=20.0, median=20.0, min=10.0, max=30.0, relative_spread=1.0
    )


def test_the_median_ignores_one_disturbed_epoch() -> None:
    spread = Spread.of([20.0, 20.0, 2.0])
    assert (spread.median, spread.mean) == (20.0, 14.0)


def test_the_median_of_an_even_count_is_the_mean_of_the_middle_two() -> None:
    assert Spread.of([10.0, 20.0, 40.0, 1000.0]).median == 30.0


def test_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^expected at least one value, got none$"):
        Spread.of([])


def test_warmup_epochs_are_recorded_and_not_timed() -> None:
    run = result()
    assert [record.index for record in run.epochs] == [0, 1, 2, 3]
    assert [record.index for record in run.timed] == [1, 2, 3]
    assert run.training().median == 20.0
    assert run.epoch_seconds().max == 10.0


def test_a_result_survives_json(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, result().to_dict())
    assert read_result(path) == result()


def test_names_that_other_tools_rely_on() -> None:
    plain = result().to_dict()
    assert plain["schema_version"] == 1
    names = {"status", "reason", "workload", "config", "seed", "world_size", "epochs", "quality", "inference"}
    names |= {"peak_memory_bytes", "weights_sha256", "telemetry", "provenance", "data_sha256"}
    assert names <= plain.keys()
    of_epoch = {"index", "warmup", "seconds", "events", "throughput", "loss", "input_wait_fraction"}
    assert of_epoch <= plain["epochs"][0].keys()
    assert plain["training"]["events_per_second"]["median"] == 20.0
    assert plain["training"]["epoch_seconds"]["median"] == 10.0


def test_a_run_without_timed_epochs_has_no_training_figures() -> None:
    assert "training" not in result(epochs=(epoch(0, 100, warmup=True),)).to_dict()


def test_nan_becomes_null_and_comes_back_as_nan(tmp_path: Path) -> None:
    diverged = dataclasses.replace(epoch(1, 100), loss=math.nan)
    run = result(status="failed", reason="loss is NaN", epochs=(diverged,), quality={"auc": math.inf})
    path = tmp_path / "result.json"
    write_json(path, run.to_dict())
    plain = json.loads(path.read_text(encoding="utf-8"))
    assert plain["epochs"][0]["loss"] is None
    assert plain["quality"]["auc"] is None
    assert math.isnan(read_result(path).epochs[0].loss)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON (Expecting value: line 1 column 1 (char 0))"),
        ("[]", "expected a JSON object, got list"),
        ("{}", "expected result schema version 1, got None"),
        ('{"schema_version": 2}', "expected result schema version 1, got 2"),
        ('{"schema_version": 1}', "not a run result: 'epochs'"),
    ],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        read_result(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_missing_key_is_named() -> None:
    plain = result().to_dict()
    del plain["workload"]
    with pytest.raises(ValueError, match=r"not a run result: .*workload"):
        RunResult.from_dict(plain)
