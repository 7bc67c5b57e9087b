"""What a numerical kernel measured, as rows of tables: plain arithmetic on the record of a run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.result import RunResult
from benchmarks.scores import ensemble_seconds, ensembles_per_hour, is_quotable, overlaps
from benchmarks.workload import Implementation

_HEADER = (
    "implementation",
    "threads",
    "ms/ensemble",
    "speed-up",
    "events/s",
    "ensembles/h",
    "job [h]",
    "",
    "memory [MB]",
    "compile [s]",
    "roofline",
    "deviation",
)
_NODE_HEADER = ("processes", "ensembles/h", "efficiency", "overlap")


def implementation_rows(result: RunResult) -> list[tuple[str, ...]]:
    """Returns the table of the implementations, with its header; speed-ups refer to the first that ran."""
    rows = [row for row in result.kernel["rows"] if "seconds" in row]
    table: list[tuple[str, ...]] = [_HEADER]
    ratios = speed_ups(rows)
    for row in rows:
        seconds, job = ensemble_seconds(row), job_hours(row, result.config["bootstraps"])
        cells = (
            1000 * seconds,
            ratios[row["implementation"]],
            row["events"] / seconds,
            3600 / seconds,
            job,
        )
        table.append(
            (
                row["implementation"],
                str(row["threads"]),
                *(f"{cell:.4g}" for cell in cells),
                "measured" if "job_seconds" in row else "scaled",
                f"{row['peak_memory_bytes'] / 1e6:.4g}",
                f"{row['compile_seconds']:.2f}",
                f"{100 * row['roofline_share']:.1f} %",
                f"{row['quality']['deviation']:.1e}",
            )
        )
    return table


def speed_ups(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the speed-ups of the implementations that ran against the first of them, by name."""
    seconds = {row["implementation"]: ensemble_seconds(row) for row in rows if "seconds" in row}
    first = next(iter(seconds.values()))
    return {name: first / own for name, own in seconds.items()}


def left_out_lines(kernel: Mapping[str, Any]) -> list[str]:
    """Returns a line for each implementation, and for each point of the series, that was left out."""
    rows = [row for row in kernel["rows"] if "left_out" in row]
    missing = {row["implementation"] for row in rows}
    points = [
        entry for entry in kernel["series"] if "left_out" in entry and entry["implementation"] not in missing
    ]
    return [f"left out: {entry['implementation']}: {entry['left_out']}" for entry in rows + points]


def job_hours(row: Mapping[str, Any], bootstraps: int) -> float:
    """Returns the time to the whole job, in hours: measured, or scaled from one ensemble."""
    seconds: float = row.get("job_seconds", bootstraps * ensemble_seconds(row))
    return seconds / 3600


def node_rows(nodes: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Returns the table of the numbers of processes, with its header; what is not quoted has no figures."""
    table: list[tuple[str, ...]] = [_NODE_HEADER]
    for node in nodes:
        name = f"{node['processes']}{on_ranks(node)}"
        overlap = f"{100 * statistics.median(overlaps(node)):.0f} %"
        if not is_quotable(node):
            table.append((name, "not quoted", "-", overlap))
            continue
        rate = statistics.median(ensembles_per_hour(node))
        efficiency = parallel_efficiency(node, nodes[0])
        table.append((name, f"{rate:.4g}", f"{efficiency:.2f}", overlap))
    return table


def on_ranks(node: Mapping[str, Any]) -> str:
    """Returns words for the ranks that processes belong to; empty where there is one."""
    ranks = node.get("ranks", 1)
    return f" on {ranks} ranks" if ranks > 1 else ""


def parallel_efficiency(node: Mapping[str, Any], alone: Mapping[str, Any]) -> float:
    """Returns the ensembles per hour of several processes over those of one, divided by their number."""
    rates = [statistics.median(ensembles_per_hour(entry)) for entry in (node, alone)]
    return float(rates[0] / (rates[1] * node["processes"] / alone["processes"]))


def series_lines(kernel: Mapping[str, Any]) -> dict[str, list[tuple[int, float, int]]]:
    """Returns, for each implementation, (events, seconds of an ensemble, bytes) in the order of events."""
    lines: dict[str, list[tuple[int, float, int]]] = {}
    for entry in kernel["series"]:
        if "seconds" in entry:
            point = (entry["events"], ensemble_seconds(entry), entry["peak_memory_bytes"])
            lines.setdefault(entry["implementation"], []).append(point)
    return {name: sorted(points) for name, points in lines.items()}


def roofline_share(
    row: Mapping[str, Any], implementation: Implementation, rates: Mapping[str, float], units: int
) -> float:
    """Returns the least time that the rates allow over the time that was measured.

    Args:
        row: What was measured.
        implementation: What an event takes.
        rates: Of one core or of a device, see ``worker.rates_of_machine``.
        units: How many of these worked.
    """
    least = max(
        implementation.operations_per_event / rates[f"{implementation.number}_operations_per_second"],
        implementation.bytes_per_event / rates["copy_bytes_per_second"],
    )
    return float(least * row["events"] / ensemble_seconds(row) / units)


def row_line(row: Mapping[str, Any]) -> str:
    """Returns what is shown of an implementation as soon as it is measured."""
    name = row["implementation"]
    if "left_out" in row:
        return f"{name}: left out: {row['left_out']}"
    return f"{name}: {1000 * ensemble_seconds(row):.4g} ms for an ensemble of {row['events']} events"


def node_line(node: Mapping[str, Any]) -> str:
    """Returns what is shown of processes side by side as soon as they are measured."""
    name = f"{node['processes']} processes{on_ranks(node)}"
    if not is_quotable(node):
        return f"{name}: not quoted, because they did not start and end together"
    return f"{name}: {statistics.median(ensembles_per_hour(node)):.4g} ensembles/h"
