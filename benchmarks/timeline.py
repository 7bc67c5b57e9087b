"""When a run did what: the phases of a result of each kind, from the times that its kind has recorded."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.machine.phases import Phase
from benchmarks.result import RunResult
from benchmarks.scores import ensembles_per_hour, is_quotable, scored_load


def timeline(result: RunResult) -> list[Phase]:
    """Returns the phases of a run, also of one that failed or was stopped, in no particular order."""
    return list(_TIMELINES[result.kind](result))


def _phases_of_training(result: RunResult) -> Iterator[Phase]:
    """Yields epochs, validation and inference, as far as the run came."""
    for epoch in result.epochs:
        if epoch.started_at is None:  # a result of an earlier version
            continue
        end = epoch.started_at + epoch.seconds
        score = None if epoch.warmup else "train"
        yield Phase(f"epoch {epoch.index}", epoch.started_at, end, score, epoch.events, result.device)
        if (start := epoch.validation_started_at) is not None:
            end = start + epoch.validation["seconds"]
            yield Phase(f"validation {epoch.index}", start, end, device=result.device)
    if "started_at" in (batch := result.inference.get("batch", {})):
        events = batch["events_per_pass"] * len(batch["pass_seconds"])
        yield Phase("inference", batch["started_at"], batch["ended_at"], "infer", events, result.device)


def _phases_of_kernel(result: RunResult) -> Iterator[Phase]:
    """Yields the repetitions of each implementation, and of each number of processes."""
    devices: dict[str, str] = {}
    for row in result.kernel.get("rows", ()):
        if "seconds" not in row:
            continue
        name, end = row["implementation"], row["started_at"][-1] + row["seconds"][-1]
        score = "evaluations" if name == result.config["implementation"] else None
        events = _kernel_events(row, result, 1)
        devices[name] = row["device"]
        yield Phase(f"implementation {name}", row["started_at"][0], end, score, events, devices[name])

    nodes = result.kernel.get("node", ())
    best = max(
        filter(is_quotable, nodes), key=lambda node: statistics.median(ensembles_per_hour(node)), default=None
    )
    for node in nodes:
        ends = [
            start + seconds
            for start, seconds in zip(node["started_at"][-1], node["seconds"][-1], strict=True)
        ]
        score = "node" if node is best else None
        events = _kernel_events(node, result, node["processes"])
        device = devices[result.config["implementation"]]
        start = min(node["started_at"][0])
        yield Phase(f"{node['processes']} processes", start, max(ends), score, events, device)


def _kernel_events(entry: Mapping[str, Any], result: RunResult, processes: int) -> int:
    """Returns the events of all ensembles that were calculated in the repetitions of an entry."""
    ensembles = processes * len(entry["seconds"]) * entry["calls"] * entry["ensembles_per_call"]
    return int(ensembles * result.config["events"])


def _phases_of_service(result: RunResult) -> Iterator[Phase]:
    """Yields the repetitions of each row of local inference, and of each load, with patches as events."""
    config = result.config
    for row in result.serving.get("rows", ()):
        precision, batch_size = row["precision"], row["batch_size"]
        is_scored = (precision, batch_size) == (config["precision"], config["batch_size"])
        end = row["started_at"][-1] + row["seconds"][-1]
        patches = len(row["seconds"]) * row["calls"] * batch_size
        name = f"{precision} at batch {batch_size}"
        score = "offline" if is_scored else None
        yield Phase(name, row["started_at"][0], end, score, patches, result.device)

    service = result.serving.get("service", {"loads": (), "without_score": ""})
    scored = None if service["without_score"] else scored_load(service, config)
    for load in service["loads"]:
        name = f"{load['clients']} clients, {load['batch']} patches, delay {load['queue_delay']} us"
        end = load["started_at"][-1] + load["window_seconds"]
        patches = round(sum(load["patches_per_second"]) * load["window_seconds"])
        score = "service" if load is scored else None
        yield Phase(name, load["started_at"][0], end, score, patches, result.device)


_TIMELINES: Mapping[str, Callable[[RunResult], Iterator[Phase]]] = {
    "training": _phases_of_training,
    "numerical kernel": _phases_of_kernel,
    "inference service": _phases_of_service,
}
