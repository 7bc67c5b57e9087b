"""One configuration, several fresh processes: what stays, what is run again, and what the scores come to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.launchers.repeats import outliers, spread_of_repeats
from tests.command import LINE, hepbench, names, read, refused, run_line
from tests.results import epoch, result


def test_every_repeat_gets_a_folder_and_the_table_has_their_spread(tmp_path: Path) -> None:
    answer = run_line(tmp_path / "out", "--repeat", 2)
    assert (answer.returncode, names(tmp_path / "out")) == (0, ["repeat-1", "repeat-2"])
    rows = [line.split() for line in answer.stdout.rpartition("\n\n")[2].splitlines()]
    assert [row[:2] for row in rows] == [["score", "repeats"], ["train", "2"], ["infer", "2"]]
    medians = [
        read(tmp_path / "out" / name / "line_summary.json")["report"]["wl-scores"]["train"]
        for name in ("repeat-1", "repeat-2")
    ]
    assert float(rows[1][2]) == pytest.approx(sum(medians) / 2, rel=1e-3)


def test_a_second_call_runs_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    """The second run of the first call fails. The second call keeps the run that is finished."""
    assert run_line(tmp_path, "--repeat", 2).returncode == 0
    finished, failed = (tmp_path / f"repeat-{number}" / "result.json" for number in (1, 2))
    stamp = finished.stat().st_mtime_ns
    failed.write_text(json.dumps(read(failed) | {"status": "failed", "reason": "killed"}), encoding="utf-8")
    again = run_line(tmp_path, "--repeat", 3)
    assert again.returncode == 0
    lines = again.stderr.splitlines()
    assert lines[0] == "finished earlier: repeat=1"
    started = [line for line in lines if line.startswith("run ")]
    assert started == ["run 1 of 2: repeat=2", "run 2 of 2: repeat=3"]
    assert finished.stat().st_mtime_ns == stamp
    assert read(failed)["status"] == "ok"
    assert again.stdout.rpartition("\n\n")[2].splitlines()[1].split()[:2] == ["train", "3"]


def test_repeats_of_another_configuration_are_refused(tmp_path: Path) -> None:
    assert run_line(tmp_path, "--repeat", 2, "--seed", 3).returncode == 0
    answer = run_line(tmp_path, "--repeat", 2, "--seed", 4)
    file = tmp_path / "repeat-1" / "result.json"
    assert refused(answer, 2) == (
        f"{file}: expected a run of the same configuration, got seed 3; "
        "choose another --output or give --force to replace it"
    )
    assert read(file)["seed"] == 3
    assert run_line(tmp_path, "--repeat", 2, "--seed", 4, "--force").returncode == 0
    assert read(file)["seed"] == 4


def test_a_sweep_of_repeats_is_refused() -> None:
    answer = hepbench("run", "line", "--sweep=seed=1,2", "--repeat=2", program=LINE)
    assert refused(answer, 2) == "--sweep and --repeat contradict each other; leave one of them out"


def test_the_interval_of_student_by_hand() -> None:
    """Medians 10, 20, 30: mean 20, error 10 / sqrt(3), t of 2 degrees of freedom is 4.303."""
    runs = {
        f"repeat={rate}": result(epochs=(epoch(0, 100, warmup=True), epoch(1, 10 * rate, 10.0)))
        for rate in (10, 20, 30)
    }
    rows = spread_of_repeats(runs).splitlines()
    assert rows[1].split() == ["train", "3", "20", "events/s", "100.0", "%", "-4.841", "to", "44.84"]
    # Inference is the same in all three.
    assert rows[2].split() == ["infer", "3", "50", "events/s", "0.0", "%", "50", "to", "50"]


def test_an_outlier_is_named() -> None:
    """Deviations from the median 10.1 are 0.2, 0.1, 0, 0.1 and 2.9. Their median is 0.1."""
    values = {"a": 9.9, "b": 10.0, "c": 10.1, "d": 10.2, "e": 13.0}
    assert outliers(values) == ["e"]
    assert outliers({name: values[name] for name in "abe"}) == []
    runs = {
        f"repeat={name}": result(epochs=(epoch(0, 100, warmup=True), epoch(1, 100, 100 / rate)))
        for name, rate in values.items()
    }
    assert spread_of_repeats(runs).splitlines()[-1] == "outlier: train of repeat=e, 13"


def test_repeats_of_two_machines_have_no_common_figures() -> None:
    other = {**result().provenance, "cpu": {**result().provenance["cpu"], "model": "Other CPU"}}
    text = spread_of_repeats({"repeat=1": result(), "repeat=2": result(provenance=other)})
    assert text.splitlines() == [
        "the repeats have no common figures, because they differ:",
        "  machine: Example CPU, 2 of 2 cores, Other CPU, 2 of 2 cores",
    ]
