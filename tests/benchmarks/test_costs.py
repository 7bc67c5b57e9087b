"""The cost of a million events. 20 events/s in training are 72,000 an hour, 50 in inference 180,000."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.cli import cli
from benchmarks.costs import cost_table, costs
from benchmarks.errors import UsageError
from benchmarks.result import Score, Spread
from benchmarks.scores import Account
from tests.results import result


def test_a_million_events_cost_what_their_hours_cost() -> None:
    assert costs(result(), 3.6) == pytest.approx({"train": 3.6e6 / 72_000, "infer": 3.6e6 / 180_000})


def test_ensembles_are_counted_by_their_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 ensembles/h of 1000 events are half a million events an hour."""
    account = Account(scores={"node": Score(Spread.of([500.0]), "ensembles/h")}, events=1000)
    monkeypatch.setattr("benchmarks.costs.account", lambda _: account)
    assert costs(result(), 2.5) == {"node": 5.0}


def test_a_run_without_scores_costs_nothing_that_is_known() -> None:
    assert costs(dataclasses.replace(result(), epochs=(), status="failed"), 1.0) == {}


def test_report_prints_costs_at_the_price_of_an_hour(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(result().to_dict()), encoding="utf-8")
    lines = CliRunner().invoke(cli, ["report", str(tmp_path), "--price", "3.6"]).output.splitlines()
    assert lines[-4].startswith("cost at 3.6 an hour")
    assert [line.split()[-2:] for line in lines[-2:]] == [["train", "50"], ["infer", "20"]]


def test_a_price_without_a_run_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--price: expected a result\.json, got none$"):
        cost_table([], 1.0)


@pytest.mark.parametrize("price", ["0", "-1", "much"])
def test_a_price_that_is_none_is_refused(tmp_path: Path, price: str) -> None:
    (tmp_path / "result.json").write_text(json.dumps(result().to_dict()), encoding="utf-8")
    assert CliRunner().invoke(cli, ["report", str(tmp_path), f"--price={price}"]).exit_code == 2
