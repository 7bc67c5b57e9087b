"""Tables of a record that can be checked by hand: implementations of 10 and 2 s, several processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.kernels import figures
from benchmarks.result import RunResult


def row(name: str, seconds: list[float], **more: Any) -> dict[str, Any]:
    return {
        "implementation": name,
        "threads": 1,
        "events": 100,
        "calls": 1,
        "ensembles_per_call": 1,
        "seconds": seconds,
        "started_at": [0.0 for _ in seconds],
        "peak_memory_bytes": 2_000_000,
        "compile_seconds": 0.5,
        "roofline_share": 0.25,
        "quality": {"deviation": 1e-10},
        **more,
    }


def node(processes: int, starts: list[float], seconds: list[float]) -> dict[str, Any]:
    repetition = {"started_at": [starts], "seconds": [seconds]}
    return {"processes": processes, "calls": 1, "ensembles_per_call": 1, **repetition}


RESULT = RunResult(
    workload="squares",
    kind="numerical kernel",
    status="ok",
    seed=1,
    config={"preset": "smoke", "bootstraps": 1800, "events": 100, "implementation": "fast"},
    kernel={
        "rows": [
            row("slow", [9.0, 10.0, 30.0]),
            {"implementation": "gone", "left_out": "not installed"},
            row("fast", [2.0], job_seconds=7200.0),
        ],
        "node": [
            node(1, [0.0], [2.0]),
            node(2, [0.0, 0.0], [2.5, 2.5]),
            node(4, [0.0, 0.0, 0.0, 9.0], [9.0] * 4),
        ],
        "series": [
            row("slow", [3.0], events=50),
            row("slow", [1.0], events=10),
            {
                "implementation": "slow",
                "events": 10**6,
                "left_out": "1000000 events are expected to take 9 GB",
            },
        ],
    },
)


def test_speed_ups_refer_to_the_first_implementation() -> None:
    header, slow, fast = figures.implementation_rows(RESULT)
    assert header[:3] == ("implementation", "threads", "ms/ensemble")
    assert slow == ("slow", "1", "1e+04", "1", "10", "360", "5", "scaled", "2", "0.50", "25.0 %", "1.0e-10")
    assert fast == ("fast", "1", "2000", "5", "50", "1800", "2", "measured", "2", "0.50", "25.0 %", "1.0e-10")


def test_efficiency_compares_several_processes_with_one() -> None:
    """Two processes need 2.5 s for what one does in 2 s; four do not overlap."""
    _, *rows = figures.node_rows(RESULT.kernel["node"])
    assert rows == [
        ("1", "1800", "1.00", "100 %"),
        ("2", "2880", "0.80", "100 %"),
        ("4", "not quoted", "-", "0 %"),
    ]


def test_what_was_left_out_is_named() -> None:
    assert figures.left_out_lines(RESULT.kernel) == [
        "left out: gone: not installed",
        "left out: slow: 1000000 events are expected to take 9 GB",
    ]


def test_a_report_has_the_tables() -> None:
    text = report.table([("here", RESULT)])
    for word in (
        "speed-up",
        "not quoted",
        "left out: gone: not installed",
        "implementation fast, events 100",
    ):
        assert word in text


def test_the_series_is_drawn(tmp_path: Path) -> None:
    assert figures.series_lines(RESULT.kernel) == {"slow": [(10, 1.0, 2_000_000), (50, 3.0, 2_000_000)]}
    report.plot([("here", RESULT), ("there", dataclasses.replace(RESULT))], tmp_path / "series.png")
    assert (tmp_path / "series.png").stat().st_size > 10_000
