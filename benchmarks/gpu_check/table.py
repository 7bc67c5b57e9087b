"""The short table at the end of a check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gpu_check.check import PRECISIONS, Check
from benchmarks.report import align, machine, number

TERA, GIGA = 1e12, 1e9


def table(check: Check, provenance: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the table: the machine, its ceilings, the scores beside them, and the parts without a score.

    Args:
        check: The check.
        provenance: Of the machine.
        records: What each part wrote, by its name.
    """
    lines = [machine(provenance), *_ceilings(check), *_scores(records)]
    # Parts that ended in the same way share a line, because there may be many for which no time was left.
    names_by_end: dict[tuple[str, str], list[str]] = {}
    for name, record in records.items():
        if record["status"] != "ok":
            names_by_end.setdefault((record["status"], record["reason"]), []).append(name)
    for (status, reason), names in names_by_end.items():
        lines.append(f"{status}: {reason}: {', '.join(names)}")
    counts = [
        f"{sum(record['status'] == status for record in records.values())} {status}"
        for status in ("ok", "failed", "not run")
    ]
    return "\n".join([*lines, f"parts: {', '.join(counts)}"])


def _ceilings(check: Check) -> list[str]:
    """Returns the rows of the ceilings."""
    if not check.ceilings:
        return []
    rows = [("ceilings", *(f"product {name}" for name in PRECISIONS), "copy")]
    for backend, figures in check.ceilings.items():
        rates = [f"{number(figures['product'][name] / TERA)} TFLOP/s" for name in PRECISIONS]
        rows.append((backend, *rates, f"{number(figures['copy'] / GIGA)} GB/s"))
    return ["", *align(rows)]


def _scores(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns the rows of the scores."""
    rows = [("run", "train events/s", "of ceiling", "infer events/s", "latency ms", "peak GB", "expected")]
    for name, record in records.items():
        if record["status"] == "ok" and "share_of_ceiling" in record:
            peak, share = record["peak_memory_bytes"], record["share_of_ceiling"]
            rows.append(
                (
                    name.removeprefix("train-"),
                    number(record["scores"]["train"]["spread"]["median"]),
                    "-" if share is None else f"{100 * share:.1f} %",
                    number(record["scores"]["infer"]["spread"]["median"]),
                    number(1000 * record["latency_seconds"]["p50"]),
                    number(peak.get("device", peak["host"]) / GIGA),
                    number(peak["expected"] / GIGA),
                )
            )
    return ["", *align(rows), ""] if len(rows) > 1 else [""]
