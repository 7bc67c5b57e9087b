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
from hepscore_adapter.references import read_reference, reference_names
from tests.command import LINE, hepbench, read, refused, run_line
from tests.results import result


def rewrite(folder: Path, **changes: Any) -> None:
    file = folder / "result.json"
    file.write_text(json.dumps(read(file) | changes), encoding="utf-8")


def reproduced(tmp_path: Path, *arguments: object, **options: Any) -> Any:
    return hepbench(
        "reproduce", tmp_path / "a", "--output", tmp_path / "b", *arguments, program=LINE, **options
    )


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


def test_another_backend_is_refused_by_name(tmp_path: Path) -> None:
    """The variable decides on the backend of every run, also of one that does not name it."""
    assert run_line(tmp_path / "a").returncode == 0
    answer = reproduced(tmp_path, env={"KERAS_BACKEND": "torch"})
    assert refused(answer, 2) == "expected backend by_hand, got KERAS_BACKEND=torch; unset the variable"


def test_another_version_of_the_framework_is_said(tmp_path: Path) -> None:
    assert run_line(tmp_path / "a").returncode == 0
    file = tmp_path / "a" / "result.json"
    provenance = read(file)["provenance"]
    own = provenance["framework"]["numpy"]
    rewrite(tmp_path / "a", provenance={**provenance, "framework": {"numpy": "1.0"}})
    answer = reproduced(tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == f"another version of numpy: 1.0, {own}"


def test_reference_runs_are_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is of a named CPU and of this version, and can be planned as it was."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert "mlpf-smoke" in reference_names()
    for name in reference_names():
        run = read_reference(name)
        assert run.provenance["cpu"]["model"]
        resolved, rank_options = plan(run)
        assert f"{run.workload}-{resolved.preset}" == name
        assert rank_options == ()
    answer = hepbench("reproduce", "mlpf-smok", cwd=tmp_path)
    line = f"expected a result.json, its folder, or one of {', '.join(reference_names())}, got mlpf-smok"
    assert refused(answer, 2) == line


@pytest.mark.slow
def test_a_shipped_reference_is_reproduced(tmp_path: Path) -> None:
    """The smallest one. Its losses agree to rounding, here as on its own CPU."""
    pytest.importorskip("keras", reason="models are written in Keras")
    answer = hepbench("reproduce", "mellin_dis-smoke", "--output", tmp_path, timeout=900)
    assert answer.returncode == 0, answer.stderr
    table = answer.stdout.rpartition("\n\n")[2].splitlines()
    assert any("losses, loop" in line for line in table)
    assert not any(line.endswith(" not") for line in table)


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


def test_a_kernel_is_compared_by_the_losses_of_its_implementations() -> None:
    """It has neither weights nor epochs, of which it would be wrong to say that they agree."""
    first = read_reference("mellin_dis-smoke")
    rows = [{**row, "figures": [1.001 * loss for loss in row["figures"]]} for row in first.kernel["rows"]]
    rows[1]["figures"] = first.kernel["rows"][1]["figures"]
    second = dataclasses.replace(first, kernel={**first.kernel, "rows": rows[:-1]})
    figures = {figure.name: figure for figure in agreements(first, second)}
    assert figures["losses, loop"].difference == pytest.approx(0.001 / 1.001)
    assert figures["losses, loop"].word == "not"
    assert figures["losses, vectorised"].word == "to the bit"
    assert "losses, kernel_matrix" not in figures  # left out of the second run
    assert figures["deviation"].word == "to the bit"
    assert not {"weights", "training losses"} & set(figures)
