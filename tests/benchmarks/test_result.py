from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
from pathlib import Path

import pytest

from benchmarks.result import RunResult, Spread, read_result, write_json, write_text
from tests.results import epoch, result


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


def test_write_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_write_json_leaves_what_is_there_if_told_to(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1}, replace=False)
    with pytest.raises(FileExistsError):
        write_json(path, {"a": 2}, replace=False)
    assert path.read_text(encoding="utf-8") == '{\n  "a": 1\n}\n'
    assert [each.name for each in tmp_path.iterdir()] == ["result.json"]


def test_containers_that_share_a_folder_and_a_process_number_do_not_collide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every container has a process 1. Here the second one writes in the middle of the first one."""
    path = tmp_path / "result.json"
    monkeypatch.setattr(os, "getpid", lambda: 1)

    def write_the_second(_file: int) -> None:
        monkeypatch.undo()
        write_text(path, "second, which is longer\n")

    monkeypatch.setattr(os, "fsync", write_the_second)
    write_text(path, "first\n")
    assert path.read_text(encoding="utf-8") == "first\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "text\n")
    finally:
        os.umask(previous)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_write_json_into_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_json(tmp_path / "absent" / "result.json", {})


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


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_system_without_fsync_and_hard_links_takes_a_result(
    replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "link", refuse)
    write_json(tmp_path / "result.json", {"a": 1}, replace=replace)
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == '{\n  "a": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    if not replace:
        with pytest.raises(FileExistsError):
            write_json(tmp_path / "result.json", {"a": 2}, replace=False)
