from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import UsageError
from benchmarks.workloads.mellin_dis.config import PRESETS
from benchmarks.workloads.mellin_dis.cross_section import NUCLEON_MASS, S
from benchmarks.workloads.mellin_dis.events import check_box, make, open_events, sample_events
from datasets.errors import DataError
from datasets.store import Writer

CONFIG = dataclasses.replace(PRESETS["smoke"], events=50, series_events=80)


def silent(_line: str) -> None:
    """Takes a line of text and shows nothing."""


def test_events_fill_the_box() -> None:
    x, q2 = sample_events(20_000, seed=1)
    check_box(x, q2)
    y, w2 = q2 / (S * x), NUCLEON_MASS**2 + q2 * (1 / x - 1)
    assert 0.99 < y.max() <= 1 + 1e-12
    assert 10 <= w2.min() * (1 + 1e-12) < 10.5
    assert 0.89 < x.max() <= 0.9
    assert 2 <= q2.min() < 2.01


def test_events_depend_on_the_seed_only() -> None:
    np.testing.assert_array_equal(sample_events(10, seed=4), np.array(sample_events(20, seed=4))[:, :10])
    assert (sample_events(10, seed=4)[0] != sample_events(10, seed=5)[0]).all()


@pytest.mark.parametrize(
    ("x", "q2"), [(0.95, 1e3), (0.5, 1.5), (1e-5, 10.0), (0.85, 10.0), (np.nan, 10.0), (0.1, np.nan)]
)
def test_an_event_outside_the_box_is_named(x: float, q2: float) -> None:
    with pytest.raises(
        DataError, match=r"^event 1: expected Q2 from 2 GeV\^2 and x from .* remove the events"
    ):
        check_box(np.array([0.1, x]), np.array([20.0, q2]))


def test_generated_events_are_opened_again(tmp_path: Path) -> None:
    folder = make(CONFIG, tmp_path / "events", silent)
    events = open_events(dataclasses.replace(CONFIG, data=str(folder)), silent)
    np.testing.assert_array_equal([events.x, events.q2], sample_events(80, CONFIG.data_seed))
    assert events.description()["settings"] == {"version": 1, "seed": 1, "events": 80}
    assert len(events.sha256) == 64


def test_a_data_set_with_an_event_at_large_x_is_refused(tmp_path: Path) -> None:
    x, q2 = sample_events(80, seed=1)
    x[7] = 0.96
    with Writer(tmp_path / "events") as writer:
        writer.append("events", "kinematics", np.ones(80, np.int64), {"x": x, "q2": q2})
        folder = writer.finish({"generator": "test"})
    with pytest.raises(DataError, match=r"^event 7: .*got Q2 .* and x 0\.96; remove"):
        open_events(dataclasses.replace(CONFIG, data=str(folder)), silent)


def test_too_few_events_are_refused(tmp_path: Path) -> None:
    folder = make(CONFIG, tmp_path / "events", silent)
    wanted = dataclasses.replace(CONFIG, data=str(folder), series_events=81)
    with pytest.raises(DataError, match="expected at least 81 events, got 80; lower --set"):
        open_events(wanted, silent)


def test_there_are_no_intermediate_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mellin_dis has none"):
        make(CONFIG, tmp_path / "events", silent, tmp_path)
