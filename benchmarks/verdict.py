"""Whether the machine was quiet while a run was measured, with reasons in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import throttling
from benchmarks.result import RunResult
from benchmarks.scores import Account, account

ENOUGH_REPETITIONS = 3  # of fewer, a spread says little
SHORT_SECONDS = 10.0  # clocks of processors have not settled in less
# Of what a score's phases begin with, and of their samples. A GPU says that it is slowed down at the edges of
# its power limit, too, and one reading of many is no more than that.
MAX_CLOCK_DROP = 0.05
MAX_SLOWED_DOWN = 0.05


@dataclass(frozen=True)
class Verdict:
    """What can be said of a measurement.

    Attributes:
        word: ``quiet``, ``disturbed``, or ``unknown`` where there is too little to tell by.
        reasons: Why it is not quiet, one line each.
        remarks: What a reader has to know all the same.
    """

    word: str
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the verdict as JSON values."""
        return {"word": self.word, "reasons": list(self.reasons), "remarks": list(self.remarks)}


def verdict(result: RunResult) -> Verdict:
    """Judges a finished run by the bounds of its configuration."""
    report = account(result)
    disturbances = [
        *_of_machine(result.telemetry, result.config),
        *_of_clocks(result),
        *_of_repetitions(report, result.config),
    ]
    remarks = (*_of_devices(result), *_of_power_limits(result), *_of_short_phases(report, result.config))
    if disturbances:
        return Verdict("disturbed", tuple(disturbances), remarks)
    unknowns = [
        f"{name}: {score.spread.count} repetitions, {ENOUGH_REPETITIONS} are needed to tell"
        for name, score in report.scores.items()
        if score.spread.count < ENOUGH_REPETITIONS
    ]
    if result.telemetry.get("foreign_cpu_cores_mean") is None:
        unknowns.append("the load of others was not measured")
    return Verdict("unknown" if unknowns else "quiet", tuple(unknowns), remarks)


def _of_devices(result: RunResult) -> Iterator[str]:
    """Yields what computed, where a reader may take it for something else."""
    if result.device == "cpu" and result.provenance.get("gpus"):
        yield "there is a GPU, and it was not used: the framework cannot use it"


def _of_short_phases(report: Account, config: Mapping[str, Any]) -> Iterator[str]:
    """Yields the phases that are short, where the preset allows them."""
    for name, seconds in report.repetition_seconds.items():
        if config.get("quiet_epoch_seconds", SHORT_SECONDS) <= seconds < SHORT_SECONDS:
            yield (
                f"{name}: a repetition takes {seconds:.2g} s; "
                f"under {SHORT_SECONDS:g} s, clocks may not have settled"
            )


def _of_machine(telemetry: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """Yields what others took from the run."""
    foreign, bound = telemetry.get("foreign_cpu_cores_mean"), config.get("max_foreign_cores", 0.1)
    if foreign is not None and foreign > bound:
        yield f"others kept {foreign:.2f} of the run's cores busy, more than {bound:g}"
    stolen, bound = telemetry.get("stolen_fraction"), config.get("max_stolen_fraction", 0.01)
    if stolen is not None and stolen > bound:
        yield f"a hypervisor took {stolen:.1%} of the CPU time, more than {bound:.1%}"
    if error := telemetry.get("error"):
        yield f"the machine was not watched to the end: {error}"


def _of_clocks(result: RunResult) -> Iterator[str]:
    """Yields what slowed processors and GPUs down while a score was measured."""
    for drop in throttling.clock_drops(result.telemetry):
        if drop.fraction > MAX_CLOCK_DROP:
            change = f"by {drop.fraction:.1%}, from {drop.first:.0f} to {drop.last:.0f} MHz"
            yield f"{drop.score}: {drop.clock} fell {change}, more than {MAX_CLOCK_DROP:.1%}"
    for score, gpu, share, names in throttling.throttled_shares(result.telemetry, throttling.SLOWDOWNS):
        if share > MAX_SLOWED_DOWN:
            yield f"{score}: {gpu} was slowed down in {share:.1%} of the samples: {', '.join(names)}"


def _of_power_limits(result: RunResult) -> Iterator[str]:
    """Yields how often GPUs ran at their power limit, which is theirs or that of whoever set it."""
    for score, gpu, share, _ in throttling.throttled_shares(result.telemetry, throttling.POWER_LIMIT):
        yield f"{score}: {gpu} ran at its power limit in {share:.1%} of the samples"


def _of_repetitions(report: Account, config: Mapping[str, Any]) -> Iterator[str]:
    """Yields what the repetitions themselves show."""
    bound = config.get("max_spread", 0.05)
    for name, score in report.scores.items():
        spread = score.spread.relative_spread
        if spread > bound:
            yield f"{name}: a spread of {spread:.1%} over {score.spread.count}, more than {bound:.1%}"
    bound = config.get("max_input_wait", 0.1)
    for name, share in report.input_wait.items():
        if share > bound:
            yield f"{name}: {share:.1%} of the time without input, more than {bound:.1%}"
    bound = config.get("quiet_epoch_seconds", SHORT_SECONDS)
    for name, seconds in report.repetition_seconds.items():
        if seconds < bound:
            yield f"{name}: a repetition takes {seconds:.2g} s, less than {bound:g} s"
