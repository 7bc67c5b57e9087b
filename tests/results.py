"""A run whose every figure can be checked by hand: epochs of 10 s with 100, 200 and 300 events."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.result import EpochRecord, RunResult, Spread


def epoch(index: int, events: int, seconds: float = 10.0, warmup: bool = False) -> EpochRecord:
    """Ten real elements in each event, 20 with padding; ten events in a step; loss 1, 1/2, 1/3, …"""
    return EpochRecord(
        index=index,
        warmup=warmup,
        seconds=seconds,
        events=events,
        elements=10 * events,
        padded_elements=20 * events,
        steps=events // 10,
        throughput=events / seconds,
        loss=1.0 / (index + 1),
        input_wait_fraction=0.25,
        validation={"seconds": 2.0, "loss": 0.5, "accuracy": 0.75},
    )


def inference(*rates: float) -> dict[str, Any]:
    """Inference in batches of 5 at ``rates`` events/s, and at 2 events/s one by one."""
    return {
        "batch": {"batch_size": 5, "events_per_second": dataclasses.asdict(Spread.of(rates))},
        "single": {
            "events_per_second": dataclasses.asdict(Spread.of([2.0])),
            "latency_seconds": {"p50": 0.5, "p95": 0.6, "p99": 0.75, "count": 100},
        },
    }


def provenance() -> dict[str, Any]:
    """A machine with two cores and no GPU."""
    return {
        "benchmark": {
            "version": "1.2.3",
            "source_md5": "0123456789abcdef" * 2,
            "git": {"commit": "c0ffee00" * 5, "dirty": False},
        },
        "container": {"image": "mlpf-bmk:v1.2.3", "containment": "docker"},
        "cpu": {
            "model": "Example CPU",
            "sockets": 1,
            "physical_cores": 2,
            "logical_cores": 2,
            "usable_cores": 2,
        },
        "gpus": [],
        "gpu_driver": None,
        "framework": {"tensorflow": "2.20.0"},
    }


def result(**changes: Any) -> RunResult:
    """Training at 10, 20 and 30 events/s after a warm-up epoch at 1, inference at 40, 50 and 60."""
    run = RunResult(
        workload="mlpf",
        status="ok",
        config={
            "workload": "mlpf",
            "preset": "small",
            "epochs": 4,
            "warmup_epochs": 1,
            "batch_size": 5,
            "seed": 7,
            "precision": "float32",
            "xla": "off",
            "deterministic": "on",
            "threads": 2,
        },
        seed=7,
        epochs=(
            epoch(0, events=100, seconds=100.0, warmup=True),
            epoch(1, events=100),
            epoch(2, events=200),
            epoch(3, events=300),
        ),
        quality={"accuracy": 0.75, "auc": 0.875},
        inference=inference(40.0, 50.0, 60.0),
        peak_memory_bytes={"host": 3 << 30, "device": 1 << 30, "expected": 2 << 30},
        model={"parameters": 1000},
        weights_sha256="ab" * 32,
        data_sha256="cd" * 32,
        data={"name": "delphes"},
        telemetry={
            "seconds": 140.0,
            "rss_bytes_max": 3 << 30,
            "foreign_cpu_cores_mean": 0.5,
            "gpu_energy_joules": None,
        },
        provenance=provenance(),
        seconds={"total": 140.0},
    )
    return dataclasses.replace(run, **changes)


def decided_by_seed(result: dict[str, Any]) -> dict[str, Any]:
    """Everything that the seed decides, and no time."""
    validation = [{**epoch["validation"], "seconds": None} for epoch in result["epochs"]]
    return {
        "losses": [epoch["loss"] for epoch in result["epochs"]],
        "validation": validation,
        **{key: result[key] for key in ("quality", "weights_sha256", "data_sha256", "model")},
    }
