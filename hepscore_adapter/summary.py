"""``RunResult`` to the summary that hep-score reads: a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.result import RunResult

# What the workloads of HEPscore write who take nothing from CVMFS: the MD5 of no input.
_MD5_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"


def summary(result: RunResult, extra_arguments: str = "") -> dict[str, Any]:
    """Makes the summary of a run that ended well; ``hepscore_adapter/schema`` describes every key.

    Args:
        result: A run with status ``ok`` and at least one timed epoch.
        extra_arguments: The text of ``--extra-args``, given back as it came.
    """
    return {
        "run_info": _run_info(result, extra_arguments),
        "report": _report(result),
        "app": _app(result),
    }


def _run_info(result: RunResult, extra_arguments: str) -> dict[str, Any]:
    config = result.config
    events = result.timed[0].events
    # 0 asks for all that the process may use.
    threads = config["threads"] or result.provenance["cpu"]["usable_cores"]
    return {
        "copies": 1,
        "threads_per_copy": threads,
        "events_per_thread": max(1, events // threads),
        "extra_arguments": extra_arguments,
        "events_per_epoch": events,
        "world_size": result.world_size,
        "seed": result.seed,
        **{key: config[key] for key in ("preset", "epochs", "warmup_epochs", "batch_size", "precision")},
        # A preset's name says little of a run that changed its model; the data are named by their hash.
        "changed_settings": {key: config[key] for key in config.get("changed", ()) if key != "data"},
    }


def _report(result: RunResult) -> dict[str, Any]:
    training, epoch = result.training(), result.epoch_seconds()
    inference = result.inference["batch"]["events_per_second"]
    telemetry = result.telemetry
    return {
        "wl-scores": {"train": float(training.median), "infer": float(inference["median"])},
        "wl-stats": {
            "train": _five(vars(training)),
            "infer": _five(inference),
            "epoch_time": _five(vars(epoch)),
            **{name: _single(value) for name, value in result.quality.items()},
        },
        "relative_spread": {
            "train": float(training.relative_spread),
            "infer": float(inference["relative_spread"]),
            "epoch_time": float(epoch.relative_spread),
        },
        "quality": {name: float(value) for name, value in result.quality.items()},
        "latency_seconds": dict(result.inference["single"]["latency_seconds"]),
        "peak_memory_bytes": dict(result.peak_memory_bytes),
        "energy": {"gpu_joules": telemetry.get("gpu_energy_joules"), "seconds": telemetry.get("seconds")},
        "telemetry": dict(telemetry),
        "weights_sha256": result.weights_sha256,
        "log": "ok",
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


def _five(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """A ``Spread`` in HEPscore's words."""
    return {
        "avg": float(numbers["mean"]),
        **{name: float(numbers[name]) for name in ("median", "min", "max")},
        "count": numbers["count"],
    }


def _single(value: float) -> dict[str, Any]:
    return _five({"mean": value, "median": value, "min": value, "max": value, "count": 1})
