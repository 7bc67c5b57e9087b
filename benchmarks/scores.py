"""What each kind of workload reports of a result, in words that no kind needs to be known for.

The scores are made again from the raw repetitions each time, so that a changed figure shows.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.result import RunResult, Score, Spread

MIN_OVERLAP = 0.8  # share of a repetition in which all processes of a node must have worked


@dataclass(frozen=True)
class Account:
    """What a summary, a table and a verdict need of a result.

    Attributes:
        scores: By name, higher is better.
        repetitions: The raw values behind the scores, by name, as far as the result has them.
        statistics: Other figures that were repeated, by name, such as the duration of an epoch in seconds.
        work: How much was done, as ``run_info`` of a summary has it.
        events: Events of one repetition, over all ranks.
        details: What else a summary has of this kind, such as latencies.
        input_wait: Share of the time of each phase in which no input was ready, by the score's name.
        repetition_seconds: Median duration of the repetitions of a phase whose length the preset fixes.
        phases: Start and end of each timed phase by its name, in seconds since 1970 (UTC).
        shortfall: One line that says what is missing for a score; empty if nothing is.
    """

    scores: Mapping[str, Score] = field(default_factory=dict)
    repetitions: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    statistics: Mapping[str, Score] = field(default_factory=dict)
    work: Mapping[str, Any] = field(default_factory=dict)
    events: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    input_wait: Mapping[str, float] = field(default_factory=dict)
    repetition_seconds: Mapping[str, float] = field(default_factory=dict)
    phases: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    shortfall: str = ""


def account(result: RunResult) -> Account:
    """Returns what the result's kind of workload reports of it.

    Raises:
        ValueError: This version does not know the kind.
    """
    if result.kind not in _ACCOUNTS:
        raise ValueError(f"expected a kind of workload among {', '.join(_ACCOUNTS)}, got {result.kind!r}")
    return _ACCOUNTS[result.kind](result)


def _account_of_training(result: RunResult) -> Account:
    config, timed, inference = result.config, result.timed, result.inference
    if not timed:
        return Account(shortfall=f"expected a timed epoch, got {len(result.epochs)} warm-up epochs")
    if not inference:
        return Account(shortfall="expected inference to be measured, got none")
    requested, count = config["epochs"], len(result.epochs)
    batch = inference["batch"]

    # Results of earlier versions have no passes of inference, only their spread.
    repetitions = {"train": tuple(epoch.events / epoch.seconds for epoch in timed)}
    if "pass_seconds" in batch:
        repetitions["infer"] = tuple(batch["events_per_pass"] / seconds for seconds in batch["pass_seconds"])
        infer = Spread.of(repetitions["infer"])
    else:
        infer = Spread(**batch["events_per_second"])

    return Account(
        scores={
            "train": Score(Spread.of(repetitions["train"]), "events/s"),
            "infer": Score(infer, "events/s"),
        },
        repetitions=repetitions,
        statistics={"epoch_time": Score(result.epoch_seconds(), "s")},
        work={
            "events_per_epoch": timed[0].events,
            **{key: config[key] for key in ("epochs", "warmup_epochs", "batch_size")},
        },
        events=timed[0].events,
        details={"latency_seconds": dict(inference["single"]["latency_seconds"])},
        input_wait={
            "train": statistics.median(epoch.input_wait_fraction for epoch in timed),
            **({"infer": batch["input_wait_fraction"]} if "input_wait_fraction" in batch else {}),
        },
        repetition_seconds={"train": result.epoch_seconds().median},
        phases={
            **{
                f"epoch {epoch.index}": (epoch.started_at, epoch.started_at + epoch.seconds)
                for epoch in timed
                if epoch.started_at is not None
            },
            **({"inference": (batch["started_at"], batch["ended_at"])} if "started_at" in batch else {}),
        },
        shortfall=""
        if count == requested
        else f"expected the {requested} epochs that were asked for, got {count}",
    )


def _account_of_kernel(result: RunResult) -> Account:
    kernel, name = result.kernel, result.config["implementation"]
    rows = {row["implementation"]: row for row in kernel.get("rows", ())}
    if "seconds" not in rows.get(name, {}):
        return Account(shortfall=f"expected the implementation {name} to be measured, got none")
    scored, events = rows[name], result.config["events"]
    if dict(result.quality) != dict(scored["quality"]):
        return Account(shortfall=f"expected the quality of {name}, {scored['quality']}, got {result.quality}")
    if fault := next(filter(None, (_node_fault(node, result.config) for node in kernel.get("node", ()))), ""):
        return Account(shortfall=fault)
    nodes = [node for node in kernel.get("node", ()) if is_quotable(node)]
    if not nodes:
        return Account(shortfall="expected processes that start and end together, got none")

    ensembles = scored["calls"] * scored["ensembles_per_call"]
    best = max(nodes, key=lambda node: Spread.of(ensembles_per_hour(node)).median)
    repetitions = {
        "evaluations": tuple(ensembles * events / seconds for seconds in scored["seconds"]),
        "node": tuple(ensembles_per_hour(best)),
    }
    return Account(
        scores={
            "evaluations": Score(Spread.of(repetitions["evaluations"]), "events/s"),
            "node": Score(Spread.of(repetitions["node"]), "ensembles/h"),
        },
        repetitions=repetitions,
        statistics={
            "ensemble_time": Score(Spread.of([seconds / ensembles for seconds in scored["seconds"]]), "s")
        },
        work={
            "events_per_ensemble": events,
            "implementation": name,
            "processes": best["processes"],
            "repetitions": len(scored["seconds"]),
        },
        events=events,
        details={"implementations": kernel_details(kernel)},
        phases={
            "evaluations": (
                scored["started_at"][0],
                scored["started_at"][-1] + scored["seconds"][-1],
            )
        },
        shortfall=""
        if len(scored["seconds"]) == result.config["repetitions"]
        else f"expected the {result.config['repetitions']} repetitions that were asked for, "
        f"got {len(scored['seconds'])}",
    )


def _node_fault(node: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Says which repetitions of which processes a record lacks; empty if it has all of them."""
    count, repetitions = node["processes"], config["repetitions"]
    for key in ("started_at", "seconds"):
        shape = [len(times) for times in node[key]]
        if shape != [count] * repetitions:
            return f"expected {repetitions} repetitions of {count} process(es), got {key} of {shape}"
    return ""


def kernel_details(kernel: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Returns the time of an ensemble, in seconds, and the peak memory, in bytes, of each implementation."""
    return {
        row["implementation"]: {
            "seconds_per_ensemble": ensemble_seconds(row),
            "peak_memory_bytes": row["peak_memory_bytes"],
            "deviation": row["quality"]["deviation"],
        }
        for row in kernel["rows"]
        if "seconds" in row
    }


def ensemble_seconds(row: Mapping[str, Any]) -> float:
    """Returns the median time of one ensemble, in seconds, of what one implementation has measured."""
    return float(statistics.median(row["seconds"]) / (row["calls"] * row["ensembles_per_call"]))


def overlaps(node: Mapping[str, Any]) -> list[float]:
    """Returns, for each repetition, the share of its time in which all processes worked."""
    shares = []
    for started_at, seconds in zip(node["started_at"], node["seconds"], strict=True):
        ends = [start + duration for start, duration in zip(started_at, seconds, strict=True)]
        shares.append(max(0.0, min(ends) - max(started_at)) / (max(ends) - min(started_at)))
    return shares


def is_quotable(node: Mapping[str, Any]) -> bool:
    """Says whether the processes started and ended together in most of the repetitions."""
    return statistics.median(overlaps(node)) >= MIN_OVERLAP


def ensembles_per_hour(node: Mapping[str, Any]) -> list[float]:
    """Returns, for each repetition, the ensembles per hour from the first start to the last end."""
    work = node["processes"] * node["calls"] * node["ensembles_per_call"]
    rates = []
    for started_at, seconds in zip(node["started_at"], node["seconds"], strict=True):
        ends = [start + duration for start, duration in zip(started_at, seconds, strict=True)]
        rates.append(3600 * work / (max(ends) - min(started_at)))
    return rates


def _account_of_service(result: RunResult) -> Account:
    config, rows = result.config, result.serving.get("rows", ())
    precision, batch_size = config["precision"], config["batch_size"]
    scored = next(
        (row for row in rows if (row["precision"], row["batch_size"]) == (precision, batch_size)), None
    )
    if scored is None:
        return Account(shortfall=f"expected local inference in {precision} at batch {batch_size}, got none")
    requested, counts = config["repetitions"], [len(scored[key]) for key in ("started_at", "seconds")]
    if counts != [requested] * 2:
        return Account(shortfall=f"expected the {requested} repetitions that were asked for, got {counts[1]}")

    # A service whose server cannot be scored leaves local inference alone.
    service = result.serving.get("service", {})
    if not service:
        return Account(shortfall="expected the service to be measured, got none")
    load = None
    if not service["without_score"]:
        if shortfall := service_shortfall(service, config):
            return Account(shortfall=shortfall)
        load = scored_load(service, config)

    patches = scored["calls"] * batch_size
    repetitions = {"offline": tuple(patches / seconds for seconds in scored["seconds"])}
    phases = {"offline": (scored["started_at"][0], scored["started_at"][-1] + scored["seconds"][-1])}
    if load is not None:
        repetitions["service"] = tuple(load["patches_per_second"])
        phases["service"] = (load["started_at"][0], load["started_at"][-1] + load["window_seconds"])
    event_times = [config["event_patches"] / rate for rate in repetitions["offline"]]
    return Account(
        scores={name: Score(Spread.of(rates), "patches/s") for name, rates in repetitions.items()},
        repetitions=repetitions,
        statistics={"event_time": Score(Spread.of(event_times), "s")},
        work={
            "event_patches": config["event_patches"],
            "patches_per_call": batch_size,
            "repetitions": requested,
            **({"clients": load["clients"]} if load else {}),
        },
        events=patches,
        details={"local": local_details(result.serving), "service": service_details(service)},
        phases=phases,
    )


def service_details(service: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the server and its loads, without the times of single requests and events."""
    left_out = ("request_times", "event_times")
    loads = [{key: value for key, value in load.items() if key not in left_out} for load in service["loads"]]
    return {**service, "loads": loads}


def listed_loads(service: Mapping[str, Any], config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the loads among which the scored one is: those with the first request size and delay."""
    batch, delay = (int(config[key].split(",")[0]) for key in ("request_batches", "queue_delays"))
    return [load for load in service["loads"] if (load["batch"], load["queue_delay"]) == (batch, delay)]


def scored_load(service: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the listed load with the most clients whose p99 is within the bound; None if there is none."""
    within = [load for load in listed_loads(service, config) if load_p99(load) <= config["max_p99"]]
    return max(within, key=lambda load: load["clients"], default=None)


def service_shortfall(service: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Says what a service lacks for a score; empty if it lacks nothing."""
    loads = listed_loads(service, config)
    requested = [int(word) for word in config["clients"].split(",")]
    if (counts := [load["clients"] for load in loads]) != requested:
        return f"expected loads of {requested} clients, got {counts}"
    for load in loads:
        windows = [len(load[key]) for key in ("started_at", "patches_per_second")]
        if windows != [config["repetitions"]] * 2:
            return (
                f"{load['clients']} clients: expected the {config['repetitions']} repetitions that were "
                f"asked for, got {windows[1]}"
            )
    if scored_load(service, config) is None:
        times = ", ".join(f"{load_p99(load):.3g} s with {load['clients']}" for load in loads)
        return (
            f"expected a load whose p99 is at most {config['max_p99']:g} s, got {times} client(s); "
            "raise --set max_p99, or lower --set clients or --set request_batches"
        )
    return ""


def load_rate(load: Mapping[str, Any]) -> float:
    """Returns the median patches per second over the repetitions of a load."""
    return float(statistics.median(load["patches_per_second"]))


def load_p99(load: Mapping[str, Any]) -> float:
    """Returns the time of a request that one in a hundred exceeds, in seconds."""
    times = load["request_times"]
    return float(times[0] if len(times) == 1 else statistics.quantiles(times, n=100, method="inclusive")[98])


def local_details(serving: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Returns the rate and the latencies of each row of local inference, by number format and batch size."""
    return {
        f"{row['precision']} at batch {row['batch_size']}": {
            "patches_per_second": row_rate(row),
            **row["latency_seconds"],
        }
        for row in serving["rows"]
    }


def row_rate(row: Mapping[str, Any]) -> float:
    """Returns the median patches per second of a row of local inference."""
    return float(row["calls"] * row["batch_size"] / statistics.median(row["seconds"]))


_ACCOUNTS: Mapping[str, Callable[[RunResult], Account]] = {
    "training": _account_of_training,
    "numerical kernel": _account_of_kernel,
    "inference service": _account_of_service,
}
