"""The parts of a check, in their fixed order. Each returns JSON values, or raises what is wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.errors import RunFailedError
from benchmarks.gpu_check.check import (
    BACKENDS,
    PRECISIONS,
    SMALL,
    Check,
    Spec,
    checked_workloads,
    share_of_ceiling,
)
from benchmarks.machine import nvml
from benchmarks.result import RunResult

REFERENCES = Path(__file__).with_name("references.json")
LEAST_TOLERANCE = 0.001  # of a figure of merit, and of a loss relative to it
MODE_TOLERANCE = 1e-3  # of the first loss between memory modes, relative to it
ENERGY_TOLERANCE = 0.15  # between the energy counter and mean power times time
MEMORY_MODES = "memory_mode"  # the key of workloads that trade time for memory


class NotHereError(Exception):
    """A part that this machine cannot have."""


@dataclass(frozen=True)
class Part:
    """A part of a check.

    Attributes:
        name: Its name, which is that of its file.
        work: Does it.
    """

    name: str
    work: Callable[[Check], dict[str, Any]]


def plan() -> list[Part]:
    """Returns the parts in their order: what says most about a machine comes first."""
    pairs = [(workload, backend) for workload in checked_workloads() for backend in BACKENDS]
    return [
        *(Part(f"ceilings-{backend}", partial(_ceilings, backend)) for backend in BACKENDS),
        *(
            Part(f"train-{workload}-{backend}-{precision}", partial(_train, workload, backend, precision))
            for precision in PRECISIONS
            for workload, backend in pairs
        ),
        *(Part(f"accuracy-{'-'.join(pair)}", partial(_accuracy, *pair)) for pair in pairs),
        *(Part(f"repeat-{'-'.join(pair)}", partial(_repeat, *pair)) for pair in pairs),
        *(
            Part(f"memory-{'-'.join(pair)}", partial(_memory, *pair))
            for pair in pairs
            if _modes(Spec(*pair, SMALL))
        ),
        Part("peaks", _peaks),
        Part("telemetry", _telemetry),
    ]


def _ceilings(backend: str, check: Check) -> dict[str, Any]:
    """Measures the ceilings in a framework."""
    return check.measure_ceilings(backend)


def _train(workload: str, backend: str, precision: str, check: Check) -> dict[str, Any]:
    """Trains at the size of the device, and returns the scores beside their share of the ceiling."""
    spec = Spec(workload, backend, check.preset, precision)
    result = check.run(spec)
    return {
        **_figures(result),
        "operations_per_event": spec.config().operations_per_event(),
        "share_of_ceiling": share_of_ceiling(check, spec, result),
    }


def _accuracy(workload: str, backend: str, check: Check) -> dict[str, Any]:
    """Compares loss and figures of merit of small runs with those of TensorFlow on a CPU.

    Raises:
        NotHereError: Nobody has made the references yet.
        RunFailedError: A figure is further away than the seeds of the references are from each other.
    """
    if not REFERENCES.exists():
        raise NotHereError(f"there is no {REFERENCES.name}; docs/gpu-check.md says how it is made")
    reference = json.loads(REFERENCES.read_text(encoding="utf-8"))[workload]
    result = check.run(Spec(workload, backend, SMALL))
    rows = {}
    for name, values in reference["figures"].items():
        # The reference of a seed is that seed's run. The others say how much chance there is in a figure.
        expected, spread = values[str(result.seed)], max(values.values()) - min(values.values())
        scale = abs(expected) if name == "loss" else 1.0
        rows[name] = {
            "value": result.quality[name],
            "expected": expected,
            "difference": abs(result.quality[name] - expected),
            "tolerance": max(LEAST_TOLERANCE * scale, 2 * spread),
        }
    if outliers := [name for name, row in rows.items() if not row["difference"] <= row["tolerance"]]:
        raise RunFailedError("; ".join(_line(name, rows[name]) for name in outliers))
    same_data = result.data_sha256 == reference["data_sha256"]
    return {"figures": rows, "same_data": same_data}


def _line(name: str, row: Mapping[str, float]) -> str:
    return f"{name}: expected {row['expected']:.6g} within {row['tolerance']:.2g}, got {row['value']:.6g}"


def _repeat(workload: str, backend: str, check: Check) -> dict[str, Any]:
    """Trains twice with equal bits asked for, and says what that costs.

    Raises:
        RunFailedError: The weights differ.
    """
    plain = Spec(workload, backend, check.preset)
    usual_run = check.run(plain)
    if usual_run.config["deterministic"] == "on":
        first_run, second_run = usual_run, check.run(dataclasses.replace(plain, copy=2))
    else:
        spec = dataclasses.replace(plain, settings=(("deterministic", "on"),))
        first_run, second_run = check.run(spec), check.run(dataclasses.replace(spec, copy=2))
    ratio = usual_run.scores["train"].spread.median / first_run.scores["train"].spread.median
    if first_run.weights_sha256 != second_run.weights_sha256:
        raise RunFailedError(
            f"deterministic: expected the same weights twice, got {first_run.weights_sha256[:12]} "
            f"and {second_run.weights_sha256[:12]}"
        )
    return {
        "weights_sha256": first_run.weights_sha256,
        "usual_setting": usual_run.config["deterministic"],
        "seconds_over_usual": ratio,
    }


def _modes(spec: Spec) -> tuple[str, ...]:
    """Returns the memory modes of a workload, or nothing if it has one way only."""
    for key in dataclasses.fields(spec.config()):
        if key.name == MEMORY_MODES:
            return tuple(mode for mode in key.metadata["choices"] if mode != "auto")
    return ()


def _memory(workload: str, backend: str, check: Check) -> dict[str, Any]:
    """Trains in each memory mode, and returns the peaks.

    Raises:
        RunFailedError: A mode has another loss.
    """
    plain = Spec(workload, backend, check.preset)
    rows = {}
    for mode in _modes(plain):
        is_usual = getattr(plain.config(), MEMORY_MODES) == mode
        spec = plain if is_usual else dataclasses.replace(plain, settings=((MEMORY_MODES, mode),))
        result = check.run(spec)
        rows[mode] = {**_figures(result), "first_loss": result.epochs[0].loss}
    losses = {mode: row["first_loss"] for mode, row in rows.items()}
    low, high = min(losses.values()), max(losses.values())
    if high - low > MODE_TOLERANCE * abs(high):
        raise RunFailedError(f"memory modes: expected one loss in the first epoch, got {losses}")
    return {"modes": rows}


def _peaks(check: Check) -> dict[str, Any]:
    """Returns the predicted and the measured peak memory of every run so far.

    Raises:
        NotHereError: There is no run yet.
    """
    rows = {}
    for name, result in check.results.items():
        if result.status == "ok":
            peak = result.peak_memory_bytes
            measured = peak.get("device", peak["host"])
            rows[name] = {
                "expected": peak["expected"],
                "measured": measured,
                "ratio": measured / peak["expected"],
            }
    if not rows:
        raise NotHereError("no run has ended well")
    return {"runs": rows, "above_expected": [name for name, row in rows.items() if row["ratio"] > 1]}


def _telemetry(check: Check) -> dict[str, Any]:
    """Compares what runs say of their GPU with what the driver says.

    Raises:
        NotHereError: The driver sees no GPU, or there is no run yet.
        RunFailedError: They contradict each other.
    """
    handles = nvml.visible_handles() if check.device == "gpu" else {}
    if not handles:
        raise NotHereError("NVML sees no GPU" if check.device == "gpu" else "this is a check of a CPU")
    names = {str(nvml.read("nvmlDeviceGetName", handle)) for handle in handles.values()}
    runs = {name: result for name, result in check.results.items() if result.status == "ok"}
    if not runs:
        raise NotHereError("no run has ended well")
    rows = {name: dict(_gpu_figures(result)) for name, result in runs.items()}
    faults = [f"{name}: {fault}" for name, result in runs.items() for fault in _faults(result, names)]
    if faults:
        raise RunFailedError("; ".join(faults))
    return {"runs": rows}


def _gpu_figures(result: RunResult) -> Iterator[tuple[str, Any]]:
    """Yields the figures of a run's GPU that can be compared, with their names."""
    for gpu in result.telemetry["gpus"]:
        yield from gpu.items()
    yield "seconds", result.telemetry["seconds"]
    yield "device_peak_bytes", result.peak_memory_bytes.get("device")


def _faults(result: RunResult, names: set[str]) -> Iterator[str]:
    """Yields what contradicts itself in a run's telemetry, a line each.

    Args:
        result: The run.
        names: Names of the GPUs as the driver has them.
    """
    gpus, seconds = result.telemetry["gpus"], result.telemetry["seconds"]
    if len(gpus) != 1:
        yield f"expected one GPU, got {len(gpus)}"
        return
    gpu, peak = gpus[0], result.peak_memory_bytes.get("device")
    if gpu["name"] not in names:
        yield f"expected a GPU among {', '.join(sorted(names))}, got {gpu['name']}"
    if peak is not None and gpu["memory_used_bytes_max"] is not None:
        # The driver's figure has the framework's own memory in it, and is sampled once a second.
        total = max(gpu["memory_used_bytes_max"], 1)
        if peak > 1.1 * total and seconds > 10:
            total_text = f"{total / 1e9:.1f} GB"
            yield f"expected a peak of at most what the driver saw, {total_text}, got {peak / 1e9:.1f}"
    if gpu["energy_joules"] is not None and gpu["power_watts_mean"] is not None and seconds > 10:
        by_power = gpu["power_watts_mean"] * seconds
        if abs(gpu["energy_joules"] - by_power) > ENERGY_TOLERANCE * by_power:
            yield f"expected an energy near {by_power:.0f} J by the power, got {gpu['energy_joules']:.0f} J"


def _figures(result: RunResult) -> dict[str, Any]:
    """Returns what a run came to."""
    return {
        "scores": {name: dataclasses.asdict(score) for name, score in result.scores.items()},
        "quality": dict(result.quality),
        "latency_seconds": result.inference["single"]["latency_seconds"],
        "input_wait": [epoch.input_wait_fraction for epoch in result.timed],
        "peak_memory_bytes": dict(result.peak_memory_bytes),
        "weights_sha256": result.weights_sha256,
        "data": {key: result.data.get(key) for key in ("generator", "hits_generator", "settings")},
        "settings": {key: result.config[key] for key in ("precision", "tf32", "xla", "deterministic")},
        "seconds": dict(result.seconds),
    }
