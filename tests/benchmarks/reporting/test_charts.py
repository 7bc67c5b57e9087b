"""Charts by the text that is in them."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest

from benchmarks.reporting.charts import training_charts
from benchmarks.reporting.physics import physics_charts, wilson_interval
from benchmarks.reporting.svg import Chart
from benchmarks.reporting.telemetry import missing_quantities, telemetry_charts
from tests.benchmarks.reporting.pages import physics, telemetry
from tests.results import epoch

pytest.importorskip("mplhep")


def texts(chart: Chart) -> set[str]:
    return set(re.findall(r"<text[^>]*>([^<]*)</text>", chart.svg))


def test_the_interval_of_a_share_stays_between_0_and_1() -> None:
    """Of two, none, one and both passed: Wilson's interval at one standard deviation, by hand."""
    low, high = wilson_interval(np.array([0.0, 0.5, 1.0]), np.array([2.0, 2.0, 2.0]))
    half = math.sqrt(0.125 + 0.0625) / 1.5
    assert low == pytest.approx([0.0, 0.5 - half, 2 / 3])
    assert high == pytest.approx([1 / 3, 0.5 + half, 1.0])


def test_a_form_that_is_not_known_is_left_out() -> None:
    matrix = physics()[0]
    charts = physics_charts({"plots": [{"form": "sphere", "title": "of a later version"}, matrix]})
    assert [chart.title for chart in charts] == ["Classes"]


def test_a_confusion_matrix_has_the_shares_of_each_true_class() -> None:
    (chart,) = physics_charts({"plots": [physics()[0]]})
    assert {"90.0", "10.0", "-", "photon", "Predicted class"} <= texts(chart)
    assert chart.caption.startswith("Share of each true class, in %, of 10 elements")


def test_each_rank_has_a_line_of_its_own() -> None:
    seen = telemetry(gpu=False)
    (entry,) = seen["series"]
    (chart,) = telemetry_charts({**seen, "series": [entry, {**entry, "rank": 1}]})
    assert {"rank 0: this run", "rank 1: this run", "epoch 1", "Processor [cores]"} <= texts(chart)
    assert chart.caption.startswith("Between 0.5 and 2 cores.")


def test_what_is_missing_has_a_reason() -> None:
    assert missing_quantities(telemetry(gpu=True)) == {
        "package power": "powercap: there is none",
        "GPU 0: temperature": "not supported",
    }


@pytest.mark.slow
def test_a_loss_that_is_lost_is_drawn_as_far_as_it_goes() -> None:
    lost = dataclasses.replace(epoch(1, 100), loss=math.nan, validation={})
    loss, quality = training_charts([epoch(0, 100, warmup=True), lost])
    assert loss.caption == "At the end: training nan, validation -. Open: warm-up, not scored."
    assert quality.caption == "On validation events. At the end: accuracy -."
