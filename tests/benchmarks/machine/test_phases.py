"""Phases and their energy, on a series with one sample a second from 1000 s to 1010 s."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.machine.energy import energy_of_scores
from benchmarks.machine.phases import Phase, summarise_phases
from tests.benchmarks.machine.series_by_hand import REASON, entry

WARM_UP = Phase("epoch 0", 1000.0, 1004.0, None, 100, "gpu")
FIRST = Phase("epoch 1", 1004.5, 1006.5, "train", 100, "gpu")
SECOND = Phase("epoch 2", 1007.0, 1009.0, "train", 100, "gpu")
RISING = [float(second) for second in range(11)]
# 10 W until 1005 s, then 30 W: by counter and by power.
COUNTER = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 80.0, 110.0, 140.0, 170.0, 200.0]
POWER = [10.0] * 6 + [30.0] * 5


def summarise(*entries: dict[str, Any], device: str = "gpu") -> list[dict[str, Any]]:
    return summarise_phases([replace(phase, device=device) for phase in (SECOND, WARM_UP, FIRST)], entries)


def test_a_phase_has_the_samples_between_its_start_and_its_end() -> None:
    phases = summarise(
        entry(host={"cpu_cores": RISING}, gpus=[{"utilization": [None] * 8 + [90.0, 100.0, 80.0]}])
    )
    assert [phase["name"] for phase in phases] == ["epoch 0", "epoch 1", "epoch 2"]
    assert [phase["ranks"][0]["columns"]["cpu_cores"] for phase in phases] == [
        {"mean": 2.0, "min": 0.0, "max": 4.0},
        {"mean": 5.5, "min": 5.0, "max": 6.0},
        {"mean": 8.0, "min": 7.0, "max": 9.0},
    ]
    assert [phase["ranks"][0]["gpus"][0]["utilization"] for phase in phases] == [
        None,
        None,
        {"mean": 95.0, "min": 90.0, "max": 100.0},
    ]
    assert phases[1] | {"ranks": 0, "energy": 0} == {
        "name": "epoch 1",
        "score": "train",
        "start": 1004.5,
        "end": 1006.5,
        "events": 100,
        "device": "gpu",
        "energy": 0,
        "ranks": 0,
    }


def test_reasons_of_a_slow_clock_are_shares_of_the_samples() -> None:
    (_, first, _) = summarise(entry(gpus=[{"throttle_reasons": [0.0] * 5 + [4.0, 68.0] + [0.0] * 4}]))
    assert first["ranks"][0]["gpus"][0]["throttle_reasons"] == {
        "power limit": 1.0,
        "temperature (hardware)": 0.5,
    }


@pytest.mark.parametrize(
    ("columns", "joules", "source"),
    [
        # From 45 J at 1004.5 s to 95 J at 1006.5 s, and from 110 J to 170 J.
        ({"energy": COUNTER, "power": [999.0] * 11}, (50.0, 60.0), "counter of energy"),
        # Power rises on a straight line between samples: 10 W up to 1005 s, 30 W from 1006 s on.
        ({"energy": [None] * 11, "power": POWER}, (5.0 + 20.0 + 15.0, 60.0), "integrated power"),
    ],
)
def test_energy_of_a_phase_is_read_between_the_samples(
    columns: dict[str, list[float]], joules: tuple[float, float], source: str
) -> None:
    _, first, second = summarise(entry(gpus=[columns]))
    assert [phase["energy"]["gpu"]["joules"] for phase in (first, second)] == pytest.approx(joules)
    assert second["energy"]["gpu"]["source"] == source


def test_a_score_has_the_energy_of_its_phases_and_of_an_event() -> None:
    energies = energy_of_scores(summarise(entry(gpus=[{"energy": COUNTER}, {"energy": COUNTER}])))
    gpu = energies["train"]["gpu"]
    assert energies.keys() == {"train"}
    assert (energies["train"]["events"], energies["train"]["seconds"]) == (200, 4.0)
    assert gpu["joules"] == pytest.approx(220.0)
    assert (gpu["joules_per_event"], gpu["events_per_joule"]) == pytest.approx((1.1, 200 / 220))
    assert (gpu["source"], gpu["missing"]) == ("counter of energy", "")
    assert "processors" in gpu["leaves_out"]


def test_what_was_not_measured_is_null_with_the_reason() -> None:
    cpu = energy_of_scores(summarise(entry()))["train"]["cpu"]
    assert (cpu["joules"], cpu["joules_per_event"], cpu["events_per_joule"], cpu["source"]) == (None,) * 4
    assert cpu["missing"] == REASON


@pytest.mark.parametrize(
    ("entries", "device", "reason"),
    [
        ([entry()], "gpu", "no GPU was watched"),
        ([entry(gpus=[{"energy": COUNTER}])], "cpu", "it was not computed on a GPU"),
        ([entry(samples=5, gpus=[{"energy": COUNTER[:5]}])], "gpu", "the samples do not cover the phase"),
        (
            [entry(gpus=[{"energy": COUNTER}, {"energy": [None] * 11}])],
            "gpu",
            "neither energy nor power was measured",
        ),
        ([entry(gpus=[{"energy": COUNTER[::-1]}])], "gpu", "the counter of energy started again"),
    ],
)
def test_a_part_of_the_energy_is_none(entries: list[dict[str, Any]], device: str, reason: str) -> None:
    """Of two GPUs, say, one does not answer: the rest would look like a very efficient machine."""
    gpu = energy_of_scores(summarise(*entries, device=device))["train"]["gpu"]
    assert (gpu["joules"], gpu["missing"]) == (None, reason)


def test_a_phase_between_two_samples_has_no_energy_of_its_own() -> None:
    """What is known is the energy of a whole second, of which the phase was a part."""
    short = Phase("epoch 1", 1004.2, 1004.9, "train", 100, "gpu")
    (phase,) = summarise_phases([short], [entry(gpus=[{"energy": COUNTER}])])
    gpu = phase["energy"]["gpu"]
    assert (gpu["joules"], gpu["missing"]) == (None, "there are fewer than 2 samples in the phase")


def test_ranks_of_a_node_watch_the_same_packages_and_their_own_gpus() -> None:
    def rank(number: int, node: int) -> dict[str, Any]:
        return entry(rank=number, node=node, host={"package_energy": COUNTER}, gpus=[{"energy": COUNTER}])

    energies = energy_of_scores(summarise(rank(0, 0), rank(1, 0), rank(2, 1)))["train"]
    assert energies["cpu"]["joules"] == pytest.approx(2 * 110.0)
    assert energies["gpu"]["joules"] == pytest.approx(3 * 110.0)


def test_a_counter_that_stands_still_gives_no_rate() -> None:
    gpu = energy_of_scores(summarise(entry(gpus=[{"energy": [0.0] * 11}])))["train"]["gpu"]
    assert (gpu["joules"], gpu["events_per_joule"], gpu["missing"]) == (0.0, None, "the counter did not move")
