"""Clocks that fell, and the reasons of the driver, on a series with one sample a second from 1000 s on."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.machine.throttling import POWER_LIMIT, SLOWDOWNS, clock_drops, names, throttled_shares
from tests.benchmarks.machine.series_by_hand import entry


def telemetry(*entries: dict[str, Any], end: float = 1011.0, device: str = "gpu") -> dict[str, Any]:
    """A score that was measured from the fourth sample on."""
    unscored = {"score": None, "device": device, "start": 0.0, "end": 1e9}
    scored = {"score": "train", "device": device, "start": 1003.0, "end": end}
    return {"phases": [unscored, scored], "series": list(entries)}


FALLING = [9000.0] * 3 + [2000.0, 2000.0, 2000.0, 1900.0, 1900.0, 1900.0, 1800.0, 1800.0, 1800.0]


def test_reasons_have_names_and_unknown_bits_are_shown() -> None:
    assert names(0) == []
    assert names(0x4 | 0x40) == ["power limit", "temperature (hardware)"]
    assert names(0x8000) == ["0x8000"]


def test_a_clock_is_compared_from_the_first_third_to_the_last() -> None:
    seen = telemetry(entry(12, host={"cpu_frequency": FALLING}, gpus=[{"sm_clock": FALLING}]))
    (drop,) = clock_drops(seen)
    assert (drop.clock, drop.score, drop.first, drop.last) == ("the clock of GPU 0", "train", 2000.0, 1800.0)
    assert drop.fraction == pytest.approx(0.1)


def test_the_clock_that_counts_is_that_of_what_computed() -> None:
    watched = entry(12, host={"cpu_frequency": FALLING}, gpus=[{"sm_clock": [1980.0] * 12}])
    drops = [(drop.clock, drop.fraction) for drop in clock_drops(telemetry(watched))]
    assert drops == [("the clock of GPU 0", 0.0)]
    assert [drop.clock for drop in clock_drops(telemetry(watched, device="cpu"))] == [
        "the clock of the cores"
    ]


def test_a_few_samples_tell_nothing_of_a_clock() -> None:
    assert list(clock_drops(telemetry(entry(12, gpus=[{"sm_clock": FALLING}]), end=1010.0))) == []


def test_samples_with_a_reason_are_counted_in_scored_phases_only() -> None:
    bits = [0x40] * 3 + [0x40 | 0x4, 0x8, 0x4, 0.0, 0.0, 0.0, 0.0, 0.0]
    seen = telemetry(entry(11, gpus=[{"throttle_reasons": bits}], rank=0), entry(11, rank=1), end=1010.0)
    assert list(throttled_shares(seen, SLOWDOWNS)) == [
        ("train", "GPU 0 of rank 0", 0.25, ["hardware slowdown", "temperature (hardware)"])
    ]
    assert (
        list(
            throttled_shares(telemetry(entry(11, gpus=[{"throttle_reasons": bits}]), device="cpu"), SLOWDOWNS)
        )
        == []
    )
    assert list(throttled_shares(seen, POWER_LIMIT)) == [("train", "GPU 0 of rank 0", 0.25, ["power limit"])]


def test_a_result_of_an_earlier_version_has_neither() -> None:
    assert list(clock_drops({})) == list(throttled_shares({}, SLOWDOWNS)) == []
