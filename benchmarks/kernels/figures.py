"""What a numerical kernel measured, as rows of tables: plain arithmetic on the record of a run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.result import RunResult
from benchmarks.scores import ensemble_seconds, ensembles_per_hour, is_quotable, overlaps

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
    for row in rows:
        seconds, job = ensemble_seconds(row), job_hours(row, result.config["bootstraps"])
        cells = (
            1000 * seconds,
            ensemble_seconds(rows[0]) / seconds,
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
                "-" if row["roofline_share"] is None else f"{100 * row['roofline_share']:.1f} %",
                f"{row['quality']['deviation']:.1e}",
            )
        )
    return table


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
        overlap = f"{100 * statistics.median(overlaps(node)):.0f} %"
        if not is_quotable(node):
            table.append((str(node["processes"]), "not quoted", "-", overlap))
            continue
        rate = statistics.median(ensembles_per_hour(node))
        efficiency = parallel_efficiency(node, nodes[0])
        table.append((str(node["processes"]), f"{rate:.4g}", f"{efficiency:.2f}", overlap))
    return table


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
