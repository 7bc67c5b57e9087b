"""What an inference service measured, as rows of tables: plain arithmetic on the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.result import RunResult
from benchmarks.scores import load_p99, load_rate, row_rate, scored_load, service_shortfall

_HEADER = (
    "local inference",
    "batch",
    "patches/s",
    "event [s]",
    "p50 [ms]",
    "p95 [ms]",
    "p99 [ms]",
    "max [ms]",
    "compile [s]",
    "difference",
)


def local_rows(result: RunResult) -> list[tuple[str, ...]]:
    """Returns the table of local inference, with its header."""
    table: list[tuple[str, ...]] = [_HEADER]
    for row in result.serving["rows"]:
        rate, latency = row_rate(row), row["latency_seconds"]
        table.append(
            (
                row["precision"],
                str(row["batch_size"]),
                f"{rate:.4g}",
                f"{result.config['event_patches'] / rate:.3g}",
                *(f"{1000 * latency[name]:.4g}" for name in ("p50", "p95", "p99", "max")),
                f"{row['compile_seconds']:.2f}",
                f"{row['largest_difference']:.1e}",
            )
        )
    return table


_LOAD_HEADER = (
    "clients",
    "request",
    "delay [us]",
    "patches/s",
    "event [s]",
    "p50 [ms]",
    "p95 [ms]",
    "p99 [ms]",
    "max [ms]",
    "client [ms]",
    "network",
    "queue",
    "compute",
    "batch",
    "busy",
)


def load_rows(result: RunResult) -> list[tuple[str, ...]]:
    """Returns the table of the loads on the server, with its header."""
    table: list[tuple[str, ...]] = [_LOAD_HEADER]
    for load in result.serving["service"]["loads"]:
        latency, split = load["request_seconds"], load["split_seconds"]
        table.append(
            (
                *(str(load[key]) for key in ("clients", "batch", "queue_delay")),
                f"{load_rate(load):.4g}",
                f"{load['event_seconds']['p50']:.3g}",
                *(f"{1000 * latency[name]:.4g}" for name in ("p50", "p95", "p99", "max")),
                *(_cell(split[name], 1000) for name in ("client", "network", "queue", "compute")),
                _cell(load["mean_batch"]),
                _cell(load["busy"]),
            )
        )
    return table


def service_line(service: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Says in one line which server answered, and which of its loads is scored."""
    server = f"{service['version']} ({service['server']})"
    reason = service["without_score"] or service_shortfall(service, config)
    load = scored_load(service, config)
    if reason or load is None:
        return f"{server}, no score: {reason}"
    return (
        f"{server}, scored with {load['clients']} client(s): p99 {1000 * load_p99(load):.4g} ms "
        f"of at most {1000 * config['max_p99']:g} ms; "
        f"{load['bytes_per_event']['sent'] / 1e6:.4g} MB sent and "
        f"{load['bytes_per_event']['received'] / 1e6:.4g} MB received for an event"
    )


def load_line(load: Mapping[str, Any]) -> str:
    """Says in one line what came of a load."""
    return (
        f"{load['clients']} client(s), {load['batch']} patches a request, delay {load['queue_delay']} us: "
        f"{load_rate(load):.4g} patches/s, p99 {1000 * load_p99(load):.4g} ms"
    )


def _cell(value: float | None, factor: float = 1.0) -> str:
    """Returns a figure of the server's own counters, which some servers do not have."""
    return "-" if value is None else f"{factor * value:.4g}"


def lines_by_batch(serving: Mapping[str, Any]) -> dict[str, list[tuple[int, float, float]]]:
    """Returns (batch size, patches/s, p50 in seconds) of each number format, in the order of batch sizes."""
    lines: dict[str, list[tuple[int, float, float]]] = {}
    for row in serving["rows"]:
        point = (row["batch_size"], row_rate(row), row["latency_seconds"]["p50"])
        lines.setdefault(row["precision"], []).append(point)
    return {name: sorted(points) for name, points in lines.items()}
