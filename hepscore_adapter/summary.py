"""``RunResult`` to the summary that hep-score reads: a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.result import RunResult, Spread

# What the workloads of HEPscore write who take nothing from CVMFS: the MD5 of no input.
_MD5_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"


def summary(
    *copies: RunResult, extra_arguments: str = "", events_per_thread: int | None = None
) -> dict[str, Any]:
    """Makes the summary of a run that ended well; ``hepscore_adapter/schema`` describes every key.

    The scores of several copies are the sums of their scores, and the statistics run over the copies; those
    of one run over its repetitions.

    Args:
        copies: Runs of one configuration, side by side, each with status ``ok`` and at least one timed epoch.
        extra_arguments: The text of ``--extra-args``, given back as it came.
        events_per_thread: What ``--events`` asked for; None where it was not given.
    """
    return {
        "run_info": _run_info(copies, extra_arguments, events_per_thread),
        "report": _report(copies),
        "app": _app(copies[0]),
    }


def _run_info(
    copies: tuple[RunResult, ...], extra_arguments: str, events_per_thread: int | None
) -> dict[str, Any]:
    result = copies[0]
    config = result.config
    events = result.timed[0].events
    # 0 asks for all that the process may use.
    threads = config["threads"] or result.provenance["cpu"]["usable_cores"]
    return {
        "copies": len(copies),
        "threads_per_copy": threads,
        "events_per_thread": events_per_thread or max(1, events // threads),
        "extra_arguments": extra_arguments,
        "events_per_epoch": events,
        "world_size": result.world_size,
        "seed": result.seed,
        **{key: config[key] for key in ("preset", "epochs", "warmup_epochs", "batch_size", "precision")},
        # A preset's name says little of a run that changed its model; the data are named by their hash.
        "changed_settings": {key: config[key] for key in config.get("changed", ()) if key != "data"},
    }


def _report(copies: tuple[RunResult, ...]) -> dict[str, Any]:
    each = [_spreads(result) for result in copies]
    if len(copies) == 1:
        scored, details = each[0], _details(copies[0])
    else:
        scored = {name: Spread.of([spreads[name].median for spreads in each]) for name in each[0]}
        details = {"copies": [_details(result) for result in copies]}
    qualities = {name: Spread.of([result.quality[name] for result in copies]) for name in copies[0].quality}
    return {
        "wl-scores": {
            name: float(sum(spreads[name].median for spreads in each)) for name in ("train", "infer")
        },
        "wl-stats": {name: _five(spread) for name, spread in (scored | qualities).items()},
        "relative_spread": {name: float(spread.relative_spread) for name, spread in scored.items()},
        **details,
        "log": "ok",
    }


def _spreads(result: RunResult) -> dict[str, Spread]:
    """What one copy measured again and again: events/s, and s for the epoch."""
    return {
        "train": result.training(),
        "infer": Spread(**result.inference["batch"]["events_per_second"]),
        "epoch_time": result.epoch_seconds(),
    }


def _details(result: RunResult) -> dict[str, Any]:
    """What of one copy stands beside its scores."""
    telemetry = result.telemetry
    return {
        "quality": _floats(result.quality),
        "latency_seconds": dict(result.inference["single"]["latency_seconds"]),
        "peak_memory_bytes": dict(result.peak_memory_bytes),
        "energy": {"gpu_joules": telemetry.get("gpu_energy_joules"), "seconds": telemetry.get("seconds")},
        "telemetry": dict(telemetry),
        "weights_sha256": result.weights_sha256,
    }


def _app(result: RunResult) -> dict[str, Any]:
    benchmark = result.provenance["benchmark"]
    return {
        "version": benchmark["version"],
        "description": f"hepbench {result.workload}: training and inference throughput in events/s",
        "containment": result.provenance["container"]["containment"],
        "bmk_checksum": benchmark["source_md5"],
        "bmkdata_checksum": result.data_sha256,
        "cvmfs_checksum": _MD5_OF_NOTHING,
        "git": benchmark["git"],
    }


def _five(spread: Spread) -> dict[str, Any]:
    """A ``Spread`` in HEPscore's words."""
    numbers = {"avg": spread.mean, "median": spread.median, "min": spread.min, "max": spread.max}
    return {**_floats(numbers), "count": spread.count}


def _floats(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in numbers.items()}
