"""``RunResult`` to the summary that hep-score reads: a pure function."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.result import RunResult, Score, Spread
from benchmarks.scores import Account, account

# What the workloads of HEPscore write who take nothing from CVMFS: the MD5 of no input.
_MD5_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"
# Keys of the configuration that say nothing of how an event is computed.
_NO_SETTINGS = {"workload", "kind", "preset", "changed", "resolved", "data"}


@dataclass(frozen=True)
class Request:
    """What the caller of an image asked for, and the summary gives back.

    Attributes:
        extra_arguments: The text of ``--extra-args``.
        events_per_thread: The number of ``--events``; None where it was not given.
        gpu_score: Whether the summary has one more score, for configurations that read a single one.
    """

    extra_arguments: str = ""
    events_per_thread: int | None = None
    gpu_score: bool = False


def gpu_score_name(workload: str) -> str:
    """Returns the name of the one score that hep-score's configurations of GPU workloads read."""
    return f"{workload.replace('_', '-')}-gpu"


def summary(*copies: RunResult, request: Request | None = None) -> dict[str, Any]:
    """Makes the summary of a run that ended well; ``hepscore_adapter/schema`` describes every key.

    The scores of several copies are the sums of their scores, and the statistics run over the copies; those
    of one run over its repetitions.

    Args:
        copies: Runs of one configuration, side by side, each with status ``ok`` and with scores.
        request: What the caller of an image asked for; None for nothing.

    Raises:
        ValueError: This version does not know the kind of workload.
    """
    request = request or Request()
    accounts = [account(result) for result in copies]
    return {
        "run_info": _run_info(copies, accounts[0], request),
        "report": _report(copies, accounts, request),
        "app": _app(copies[0], accounts[0]),
    }


def _run_info(copies: tuple[RunResult, ...], work: Account, request: Request) -> dict[str, Any]:
    """Returns the load as it really was."""
    result = copies[0]
    config = result.config
    # 0 asks for all that the process may use.
    threads = config["threads"] or result.provenance["cpu"]["usable_cores"]
    return {
        "copies": len(copies),
        "threads_per_copy": threads,
        "events_per_thread": request.events_per_thread or max(1, work.events // threads),
        "extra_arguments": request.extra_arguments,
        "world_size": result.world_size,
        "seed": result.seed,
        "kind": result.kind,
        "preset": config["preset"],
        "precision": config["precision"],
        **work.work,
        # A preset's name says little of a run that changed its model; the data are named by their hash.
        "changed_settings": {key: config[key] for key in config.get("changed", ()) if key != "data"},
        "resolved_settings": {key: config[key] for key in config.get("resolved", ())},
    }


def _report(copies: tuple[RunResult, ...], accounts: list[Account], request: Request) -> dict[str, Any]:
    """Returns the scores, their statistics, and what stands beside them."""
    repeated = [_spreads(of_copy) for of_copy in accounts]
    if len(copies) == 1:
        spreads, details = repeated[0], _details(copies[0], accounts[0])
    else:
        spreads = {name: Spread.of([of_copy[name].median for of_copy in repeated]) for name in repeated[0]}
        parts = zip(copies, accounts, strict=True)
        details = {
            "copies": [_details(result, of_copy) for result, of_copy in parts],
            "overlap": _overlap(accounts),
        }
    scores = {name: float(sum(of_copy[name].median for of_copy in repeated)) for name in accounts[0].scores}
    if request.gpu_score:
        name = gpu_score_name(copies[0].workload)
        spreads = {**spreads, name: _geometric_mean([spreads[score] for score in scores])}
        scores[name] = statistics.geometric_mean(scores.values())
    qualities = {name: Spread.of([result.quality[name] for result in copies]) for name in copies[0].quality}
    return {
        "wl-scores": scores,
        "wl-stats": {name: _statistics(spread) for name, spread in (spreads | qualities).items()},
        "relative_spread": {name: float(spread.relative_spread) for name, spread in spreads.items()},
        "settings": {key: value for key, value in copies[0].config.items() if key not in _NO_SETTINGS},
        "machine": _machine(copies[0].provenance),
        **details,
        "log": "ok",
    }


def _geometric_mean(spreads: Sequence[Spread]) -> Spread:
    """Returns the geometric means of several spreads, with the count of the score with the fewest values."""
    mean, median, low, high = (
        statistics.geometric_mean(getattr(spread, name) for spread in spreads)
        for name in ("mean", "median", "min", "max")
    )
    return Spread(
        count=min(spread.count for spread in spreads),
        mean=mean,
        median=median,
        min=low,
        max=high,
        relative_spread=(high - low) / median,
    )


def _overlap(accounts: list[Account]) -> float | None:
    """Returns the share of the time of a phase in which all copies measured, the smallest over the phases.

    None where a result of an earlier version does not say when it measured what.
    """
    shares = []
    for name in accounts[0].phases:
        if not all(name in of_copy.phases for of_copy in accounts):
            return None
        starts, ends = zip(*(of_copy.phases[name] for of_copy in accounts), strict=True)
        shares.append(max(0.0, min(ends) - max(starts)) / (max(ends) - min(starts)))
    return min(shares, default=None)


def _spreads(of_copy: Account) -> dict[str, Spread]:
    """Returns what one copy measured again and again."""
    repeated: Mapping[str, Score] = {**of_copy.scores, **of_copy.statistics}
    return {name: score.spread for name, score in repeated.items()}


def _details(result: RunResult, of_copy: Account) -> dict[str, Any]:
    """Returns what stands beside the scores of one copy."""
    telemetry = result.telemetry
    return {
        "verdict": dict(result.verdict),
        "quality": _floats(result.quality),
        "input_wait": _floats(of_copy.input_wait),
        **of_copy.details,
        "peak_memory_bytes": dict(result.peak_memory_bytes),
        "energy": {"gpu_joules": telemetry.get("gpu_energy_joules"), "seconds": telemetry.get("seconds")},
        "energy_scored": dict(result.energy_scored),
        "telemetry": _without_series(telemetry),
        **({"weights_sha256": result.weights_sha256} if result.weights_sha256 else {}),
    }


def _without_series(telemetry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the telemetry without its series, because hep-score keeps the report of every repetition.

    Phases keep their names, times and energy.
    """
    short = {key: value for key, value in telemetry.items() if key != "series"}
    if "phases" in telemetry:
        phases = telemetry["phases"]
        short["phases"] = [{key: phase[key] for key in phase if key != "ranks"} for phase in phases]
    return short


def _machine(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the device, its driver and the versions of what computed on it."""
    return {
        "cpu": provenance["cpu"]["model"],
        "gpus": [gpu["name"] for gpu in provenance["gpus"]],
        "driver": provenance.get("gpu_driver"),
        "framework": dict(provenance.get("framework") or {}),
    }


def _app(result: RunResult, of_copy: Account) -> dict[str, Any]:
    """Returns what ran."""
    benchmark = result.provenance["benchmark"]
    scores = ", ".join(f"{name} in {score.unit}" for name, score in of_copy.scores.items())
    return {
        "version": benchmark["version"],
        "description": f"hepbench {result.workload}: {scores}",
        "containment": result.provenance["container"]["containment"],
        "bmk_checksum": benchmark["source_md5"],
        "bmkdata_checksum": result.data_sha256,
        "cvmfs_checksum": _MD5_OF_NOTHING,
        "git": benchmark["git"],
    }


def _statistics(spread: Spread) -> dict[str, Any]:
    """Returns a ``Spread`` in HEPscore's words."""
    numbers = {"avg": spread.mean, "median": spread.median, "min": spread.min, "max": spread.max}
    return {**_floats(numbers), "count": spread.count}


def _floats(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in numbers.items()}
