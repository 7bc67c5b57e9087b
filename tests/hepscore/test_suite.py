"""hep-score by way of the HEP Benchmark Suite: what it publishes has our score in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hepscore.outcome import problems, read_strictly
from tests.hepscore.programs import program, run_suite
from tests.hepscore.staged import stage

BMKRUN = program("BMKRUN_BIN", "bmkrun") or ""
pytestmark = pytest.mark.skipif(
    not BMKRUN, reason="no hep-benchmark-suite: BMKRUN_BIN and the PATH name none"
)


def test_the_report_of_the_suite_has_our_score(tmp_path: Path) -> None:
    staged = stage(tmp_path)
    printed = run_suite(
        BMKRUN, staged.configuration, tmp_path / "suite", mode="singularity", env=staged.environment
    )
    (report,) = (tmp_path / "suite").glob("run_*/bmkrun_report.json")
    content = read_strictly(report)
    assert {"_id", "_timestamp", "_timestamp_end", "json_version", "host", "suite", "profiles"} <= set(
        content
    )
    assert content["suite"]["benchmark_version"]["hepscore"] == "v1.5"
    outcome = content["profiles"]["hepscore"]
    assert (outcome["status"], outcome["score"]) == ("success", 2.0), printed
    assert list(problems(outcome, report.parent / "HEPSCORE", staged.configuration)) == []
    written = json.loads(staged.summary.read_text(encoding="utf-8"))
    assert outcome["benchmarks"]["mlpf-bmk"]["run1"]["report"] == written["report"]
