"""Results as CSV and for Prometheus, by hand: ``tests.results`` trains at 10, 20 and 30 events/s."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from benchmarks.publishing.export import csv_table, prometheus_text
from tests.command import LINE, hepbench, run_line
from tests.results import result

# What the format allows: a name, labels with escaped values, a number.
SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z0-9_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\} (-?[0-9.e+-]+)')
FAILED = result(status="failed", reason='a "quoted" reason, with a comma', scores={}, verdict={})


def test_a_line_for_each_score() -> None:
    verdict = {"word": "disturbed", "reasons": ["a", "b"], "remarks": []}
    rows = list(csv.DictReader(io.StringIO(csv_table([("one", result(verdict=verdict)), ("two", FAILED)]))))
    assert [(row["name"], row["score"], row["median"], row["unit"]) for row in rows] == [
        ("one", "train", "20.0", "events/s"),
        ("one", "infer", "50.0", "events/s"),
        ("two", "", "", ""),
    ]
    first, _, last = rows
    assert (first["min"], first["max"], first["relative_spread"], first["repetitions"]) == (
        "10.0",
        "30.0",
        "1.0",
        "3",
    )
    assert (first["machine"], first["preset"], first["version"]) == (
        "Example CPU, 2 of 2 cores",
        "small",
        "1.2.3",
    )
    assert (first["verdict"], first["verdict_reasons"]) == ("disturbed", "a; b")
    assert (last["status"], last["reason"]) == ("failed", 'a "quoted" reason, with a comma')


def samples(text: str) -> dict[tuple[str, str], str]:
    """The samples of a text by metric and labels; every line is a comment or a sample."""
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    matches = [SAMPLE.fullmatch(line) for line in lines]
    assert all(matches), lines
    return {(match[1], match[2]): match[3] for match in matches if match}


def test_gauges_for_prometheus() -> None:
    text = prometheus_text([("one", result()), ("two", FAILED)])
    by_labels = samples(text)
    assert len(by_labels) == len([line for line in text.splitlines() if line[0] != "#"])  # no series twice
    values = {
        (metric, *re.findall(r'(?:score|figure|kind)="([^"]*)"', labels)): value
        for (metric, labels), value in by_labels.items()
        if 'result="one"' in labels
    }
    assert values[("hepbench_score", "train")] == "20.0"
    assert values[("hepbench_score_relative_spread", "train")] == "1.0"
    assert values[("hepbench_quality", "accuracy")] == "0.75"
    assert values[("hepbench_peak_memory_bytes", "host")] == str(3 << 30)
    assert values[("hepbench_run_ok",)] == "1"
    failed = {metric: value for (metric, labels), value in by_labels.items() if 'result="two"' in labels}
    assert failed["hepbench_run_ok"] == "0"
    assert "hepbench_score" not in failed


def test_every_metric_is_explained_once_before_its_samples() -> None:
    lines = prometheus_text([("one", result()), ("two", result())]).splitlines()
    for metric in {line.split("{")[0] for line in lines if line[0] != "#"}:
        mine = [line for line in lines if re.match(rf"(# (HELP|TYPE) )?{metric}[ {{]", line)]
        assert mine[0].startswith(f"# HELP {metric} ")
        assert mine[1] == f"# TYPE {metric} gauge"
        assert not any(line.startswith("#") for line in mine[2:])
        assert lines[lines.index(mine[0]) : lines.index(mine[0]) + len(mine)] == mine


def test_labels_are_escaped() -> None:
    (labels,) = {
        labels
        for (metric, labels) in samples(prometheus_text([('a"b\\c\nd', result())]))
        if metric == "hepbench_run_ok"
    }
    assert labels.startswith('result="a\\"b\\\\c\\nd",')


def test_a_file_or_the_terminal(tmp_path: Path) -> None:
    assert run_line(tmp_path / "run").returncode == 0
    answer = hepbench("export", tmp_path / "run", "--format=prometheus", program=LINE)
    assert answer.returncode == 0, answer.stderr
    assert any(metric == "hepbench_score" for metric, _ in samples(answer.stdout))
    file = tmp_path / "line.csv"
    answer = hepbench("export", tmp_path / "run", "--format=csv", "--output", file, program=LINE)
    assert (answer.returncode, answer.stdout) == (0, f"{file}\n")
    assert [row["score"] for row in csv.DictReader(io.StringIO(file.read_text()))] == ["train", "infer"]
