"""A result made once more, in real processes that fit a line."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import UsageError
from benchmarks.launchers.reproduction import Agreement, agreements, plan
from tests.command import LINE, hepbench, read, refused, run_line
from tests.results import result


def rewrite(folder: Path, **changes: Any) -> None:
    file = folder / "result.json"
    file.write_text(json.dumps(read(file) | changes), encoding="utf-8")


def reproduced(tmp_path: Path, *arguments: object) -> Any:
    return hepbench("reproduce", tmp_path / "a", "--output", tmp_path / "b", *arguments, program=LINE)


def test_a_run_is_reproduced_to_the_bit(tmp_path: Path) -> None:
    assert run_line(tmp_path / "a", "--seed", 5, "--set=validation_events=2").returncode == 0
    answer = reproduced(tmp_path)
    assert answer.returncode == 0, answer.stderr
    first, second = read(tmp_path / "a" / "result.json"), read(tmp_path / "b" / "seed-5" / "result.json")
    assert first["weights_sha256"] == second["weights_sha256"]
    assert second["config"]["validation_events"] == 2
    table = answer.stdout.rpartition("\n\n")[2].splitlines()
    assert table[0].split() == ["figure", "largest", "relative", "difference", "agrees"]
    assert len(table) > 3
    assert all(line.endswith("to the bit") for line in table[1:])


def test_another_loss_is_seen(tmp_path: Path) -> None:
    assert run_line(tmp_path / "a").returncode == 0
    epochs = read(tmp_path / "a" / "result.json")["epochs"]
    epochs[0]["loss"] *= 1.01
    rewrite(tmp_path / "a", epochs=epochs)
    answer = reproduced(tmp_path)
    assert answer.returncode == 1
    row = next(line for line in answer.stdout.splitlines() if "training losses" in line)
    assert row.split() == ["training", "losses", "0.009901", "not"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"status": "failed"}, "expected a result with status ok, got failed"),
        (
            {"provenance": {"benchmark": {"version": "0.0.1"}}},
            r"expected a result of hepbench .*, got one of 0\.0\.1",
        ),
    ],
)
def test_what_cannot_be_reproduced_is_refused(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=f"^{line}$"):
        plan(result(**changes))


def test_other_data_are_refused_by_name(tmp_path: Path) -> None:
    assert run_line(tmp_path / "a").returncode == 0
    rewrite(tmp_path / "a", data_sha256="12" * 32)
    answer = reproduced(tmp_path, "--quiet")
    own = read(tmp_path / "b" / "seed-1" / "result.json")["data_sha256"][:12]
    expected = f"expected data 121212121212, got {own}; name the same data with --data"
    assert refused(answer, 1) == expected


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    answer = hepbench("reproduce", tmp_path)
    assert refused(answer, 2) == f"[Errno 2] No such file or directory: '{tmp_path / 'result.json'}'"


@pytest.mark.parametrize(
    ("difference", "word"),
    [
        (0.0, "to the bit"),
        (1e-6, "to rounding (1e-06)"),
        (2e-6, "to 0.0001"),
        (1e-4, "to 0.0001"),
        (2e-4, "not"),
        (math.inf, "not"),
        (math.nan, "other bits"),
    ],
)
def test_the_words_for_a_difference(difference: float, word: str) -> None:
    assert Agreement("loss", difference).word == word


def test_the_differences_by_hand() -> None:
    """The last loss is a thousandth higher, the accuracy is 1 for 0.75, and the AUC is missing."""
    *epochs, last = result().epochs
    epochs.append(dataclasses.replace(last, loss=last.loss * 1.001))
    second = result(epochs=tuple(epochs), quality={"accuracy": 1.0}, weights_sha256="00")
    figures = {figure.name: figure.difference for figure in agreements(result(), second)}
    assert math.isnan(figures["weights"])
    assert figures["training losses"] == pytest.approx(0.001 / 1.001)
    assert figures["validation losses"] == 0
    assert figures["accuracy"] == 0.25
    assert figures["auc"] == math.inf
    assert agreements(result(), result(epochs=()))[1].difference == math.inf
