"""Quiet, disturbed or unknown: each bound on its own, on a run that can be checked by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchmarks.config import TrainingConfig, as_training
from benchmarks.result import RunResult
from benchmarks.verdict import SHORT_SECONDS, Verdict, verdict
from benchmarks.workload import REGISTRY, presets
from tests.benchmarks.machine.series_by_hand import entry
from tests.results import epoch, inference, result

BOUNDS = {
    "max_foreign_cores": 0.1,
    "max_stolen_fraction": 0.01,
    "max_spread": 0.05,
    "max_input_wait": 0.3,
    "quiet_epoch_seconds": 10.0,
}
CALM = {"foreign_cpu_cores_mean": 0.05, "stolen_fraction": 0.005, "error": None}


def run(
    telemetry: dict[str, Any] | None = None, rates: tuple[float, ...] = (40.0, 40.0, 41.0), **changes: Any
) -> RunResult:
    """A run with three timed epochs of 10 s and 100 events each; a quarter of each without input."""
    steady = result(
        epochs=(epoch(0, 100, warmup=True), epoch(1, 100), epoch(2, 101), epoch(3, 100)),
        inference=inference(*rates),
        telemetry={**CALM, **(telemetry or {})},
    )
    return dataclasses.replace(steady, **{"config": {**steady.config, **BOUNDS}, **changes})


def test_a_steady_run_on_an_idle_machine_is_quiet() -> None:
    assert verdict(run()).to_dict() == {"word": "quiet", "reasons": [], "remarks": []}


@pytest.mark.parametrize(
    ("telemetry", "reason"),
    [
        ({"foreign_cpu_cores_mean": 0.5}, "others kept 0.50 of the run's cores busy, more than 0.1"),
        ({"stolen_fraction": 0.02}, "a hypervisor took 2.0% of the CPU time, more than 1.0%"),
        ({"error": "OSError: gone"}, "the machine was not watched to the end: OSError: gone"),
    ],
)
def test_what_the_machine_did_besides_is_a_reason(telemetry: dict[str, Any], reason: str) -> None:
    assert verdict(run(telemetry)).to_dict() == {"word": "disturbed", "reasons": [reason], "remarks": []}


def test_a_spread_is_a_reason() -> None:
    judged = verdict(run(rates=(40.0, 50.0, 42.0)))
    assert (judged.word, judged.reasons) == (
        "disturbed",
        ("infer: a spread of 23.8% over 3, more than 5.0%",),
    )


def test_waiting_for_input_is_a_reason() -> None:
    config = {**run().config, "max_input_wait": 0.2}
    judged = verdict(run(config=config))
    assert (judged.word, judged.reasons) == (
        "disturbed",
        ("train: 25.0% of the time without input, more than 20.0%",),
    )


def test_a_short_epoch_is_a_reason_where_the_preset_says_so_and_a_remark_elsewhere() -> None:
    short = run(epochs=(epoch(0, 100, 5.0, warmup=True), *(epoch(i, 100, 5.0) for i in (1, 2, 3))))
    assert verdict(short).reasons == ("train: a repetition takes 5 s, less than 10 s",)
    lenient = dataclasses.replace(short, config={**short.config, "quiet_epoch_seconds": 0.0})
    judged = verdict(lenient)
    assert judged.word == "quiet"
    assert judged.remarks == ("train: a repetition takes 5 s; under 10 s, clocks may not have settled",)


TRAININGS = [name for name in REGISTRY if isinstance(presets(name)["smoke"], TrainingConfig)]


@pytest.mark.parametrize(
    ("name", "seconds", "words"),
    [(name, 9.0, "disturbed") for name in TRAININGS] + [(name, 11.0, "quiet") for name in TRAININGS],
)
def test_an_epoch_under_ten_seconds_disturbs_what_is_published(name: str, seconds: float, words: str) -> None:
    """The presets that are scored say so, and ``smoke`` remarks on it."""
    steady = run(epochs=(epoch(0, 100, seconds, warmup=True), *(epoch(i, 100, seconds) for i in (1, 2, 3))))

    def judged(preset: str) -> Verdict:
        bound = as_training(presets(name)[preset], "a verdict").quiet_epoch_seconds
        return verdict(dataclasses.replace(steady, config={**steady.config, "quiet_epoch_seconds": bound}))

    for preset in ("hepscore", "hepscore-small"):
        assert judged(preset).word == words
    assert judged("smoke").word == "quiet"
    assert len(judged("smoke").remarks) == (seconds < SHORT_SECONDS)


def test_two_repetitions_are_too_few_to_tell() -> None:
    brief = run(epochs=(epoch(0, 100, warmup=True), epoch(1, 100), epoch(2, 100)))
    config = {**brief.config, "epochs": 3}
    judged = verdict(dataclasses.replace(brief, config=config))
    assert (judged.word, judged.reasons) == ("unknown", ("train: 2 repetitions, 3 are needed to tell",))


def test_two_repetitions_that_differ_are_disturbed_all_the_same() -> None:
    brief = run(epochs=(epoch(0, 100, warmup=True), epoch(1, 100), epoch(2, 200)))
    config = {**brief.config, "epochs": 3}
    assert verdict(dataclasses.replace(brief, config=config)).word == "disturbed"


def test_a_result_of_an_earlier_version_can_be_judged() -> None:
    """It has no bounds, no stolen time and no waiting in inference."""
    assert verdict(result()).word == "disturbed"  # its epochs are 10, 20 and 30 events/s


def test_a_gpu_that_was_not_used_is_a_remark() -> None:
    provenance = {**run().provenance, "gpus": [{"name": "Example GPU"}]}
    judged = verdict(run(device="cpu", provenance=provenance))
    assert judged.word == "quiet"
    assert judged.remarks == ("there is a GPU, and it was not used: the framework cannot use it",)
    assert verdict(run(device="gpu", provenance=provenance)).remarks == ()


def watched(device: str, bits: float = 0.0, clocks: tuple[float, ...] = (1980.0,) * 12) -> dict[str, Any]:
    """Twelve samples, all of them in the scored phase."""
    gpu = {"sm_clock": clocks, "throttle_reasons": [bits] + [0.0] * 5 + [bits] + [0.0] * 5}
    return {
        "phases": [{"score": "train", "device": device, "start": 1000.0, "end": 1011.0}],
        "series": [entry(12, host={"cpu_frequency": clocks}, gpus=[gpu])],
    }


@pytest.mark.parametrize(
    ("telemetry", "reasons"),
    [
        (watched("gpu"), ()),
        (
            watched("gpu", 0x40),
            ("train: GPU 0 was slowed down in 16.7% of the samples: temperature (hardware)",),
        ),
        (watched("cpu", 0x40), ()),
        (
            watched("cpu", clocks=(2000.0,) * 6 + (1800.0,) * 6),
            ("train: the clock of the cores fell by 10.0%, from 2000 to 1800 MHz, more than 5.0%",),
        ),
        (watched("cpu", clocks=(2000.0,) * 6 + (1920.0,) * 6), ()),
        (watched("cpu", clocks=(1000.0,) * 6 + (2000.0,) * 6), ()),
    ],
)
def test_clocks_that_fell_and_a_hot_gpu_are_reasons(
    telemetry: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    assert verdict(run(telemetry)).reasons == reasons


def test_a_gpu_at_its_power_limit_is_a_remark() -> None:
    assert verdict(run(watched("gpu", 0x4))).to_dict() == {
        "word": "quiet",
        "reasons": [],
        "remarks": ["train: GPU 0 ran at its power limit in 16.7% of the samples"],
    }
