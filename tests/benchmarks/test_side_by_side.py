from __future__ import annotations

from typing import Any

from benchmarks.side_by_side import Side, side_by_side
from tests.results import epoch, result

FIRST = Side("first.json", (result(),))
# Twice the events in the same time, with another batch size.
SECOND = Side(
    "second.json",
    (
        result(
            epochs=tuple(epoch(e.index, 2 * e.events, e.seconds, e.warmup) for e in result().epochs),
            config={**result().config, "batch_size": 10},
        ),
    ),
)


def test_figures_have_ratios_to_the_first_run() -> None:
    lines = side_by_side([FIRST, SECOND]).splitlines()
    assert lines[0].split() == ["first.json", "second.json"]
    assert lines[1].split() == ["status", "ok", "ok"]
    assert lines[2].split() == ["training", "[events/s]", "20", "(1.000)", "40", "(2.000)"]
    assert lines[4].split() == ["epoch", "[s]", "10", "(1.000)", "10", "(1.000)"]
    assert lines[-2:] == ["These settings differ:", "  batch_size: 5, 10"]


def test_energies_stand_side_by_side_where_they_were_measured() -> None:
    def watched(name: str, rate: float | None) -> Side:
        parts = {"gpu": {"events_per_joule": rate}, "cpu": {"events_per_joule": None}}
        return Side(name, (result(energy_scored={"train": parts}),))

    lines = side_by_side([watched("first", 2.0), watched("second", 3.0), watched("third", None)]).splitlines()
    (line,) = [line.split() for line in lines if "events/J" in line]
    assert line == ["train", "[events/J,", "GPU]", "2", "(1.000)", "3", "(1.500)", "-"]


def test_figures_of_a_run_with_itself_finds_no_difference() -> None:
    assert side_by_side([FIRST, FIRST]).endswith("All with the same settings and data.")


def test_figures_warns_of_other_data() -> None:
    other = Side("other", (result(data_sha256="ef" * 32),))
    assert side_by_side([FIRST, other]).endswith(
        "These settings differ:\n  data_sha256: cdcdcdcdcdcd, efefefefefef"
    )


def test_figures_with_a_failed_run_leaves_its_figures_open() -> None:
    nothing: dict[str, Any] = {"epochs": (), "inference": {}, "quality": {}, "peak_memory_bytes": {}}
    failed = Side("failed", (result(status="failed", **nothing),))
    lines = side_by_side([FIRST, failed]).splitlines()
    assert lines[1].split() == ["status", "ok", "failed"]
    assert lines[2].split() == ["training", "[events/s]", "20", "(1.000)", "-"]
    assert side_by_side([failed, FIRST]).splitlines()[2].split() == ["training", "[events/s]", "-", "20"]


def test_figures_shows_a_run_that_had_no_data() -> None:
    early = Side("early", (result(status="failed", data_sha256=""),))
    assert side_by_side([FIRST, early]).endswith("These settings differ:\n  data_sha256: cdcdcdcdcdcd, -")


def test_figures_of_repeats_are_medians() -> None:
    repeats = Side("repeats", tuple(result(quality={"auc": auc}) for auc in (0.5, 0.75, 0.875)))
    lines = side_by_side([FIRST, repeats]).splitlines()
    row = next(line for line in lines if " auc " in line)
    assert row.split() == ["auc", "0.875", "(1.000)", "0.75", "(0.857)"]
