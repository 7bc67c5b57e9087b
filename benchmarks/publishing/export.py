"""Results for other programs: a table as CSV, and the text format of Prometheus."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from benchmarks.report import machine
from benchmarks.result import RunResult, Score
from benchmarks.scores import account

_COLUMNS = (
    *("name", "workload", "preset", "status", "reason", "machine", "device", "world_size", "backend"),
    *("precision", "seed", "version", "data_sha256", "weights_sha256", "verdict", "verdict_reasons"),
    *("score", "unit", "median", "min", "max", "relative_spread", "repetitions"),
)
_HELP = {
    "hepbench_score": "Median of a score over its repetitions, more is better.",
    "hepbench_score_relative_spread": "Largest less smallest repetition of a score, over its median.",
    "hepbench_quality": "Figures of merit of what was computed.",
    "hepbench_peak_memory_bytes": "Largest memory of a run, and what was expected.",
    "hepbench_run_ok": "1 for a run that has a score, 0 for any other one.",
    "hepbench_quiet": "1 for a run on a quiet machine, 0 for any other one.",
}


def csv_table(results: Sequence[tuple[str, RunResult]]) -> str:
    """Returns a line for each score of each result, and one for a result without scores."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for name, result in results:
        row = _row(name, result)
        scores = _scores(result)
        writer.writerows(row | _cells(score, scores[score]) for score in scores)
        if not scores:
            writer.writerow(row)
    return text.getvalue()


def _row(name: str, result: RunResult) -> dict[str, object]:
    """Returns what all lines of a result have."""
    return {
        "name": name,
        "workload": result.workload,
        "preset": result.config.get("preset"),
        "status": result.status,
        "reason": result.reason,
        "machine": machine(result.provenance),
        "device": result.device,
        "world_size": result.world_size,
        "backend": result.config.get("backend"),
        "precision": result.config.get("precision"),
        "seed": result.seed,
        "version": _version(result),
        "data_sha256": result.data_sha256,
        "weights_sha256": result.weights_sha256,
        "verdict": result.verdict.get("word"),
        "verdict_reasons": "; ".join(result.verdict.get("reasons", ())),
    }


def _cells(name: str, score: Score) -> dict[str, object]:
    """Returns what a line has of its score."""
    spread = score.spread
    return {
        "score": name,
        "unit": score.unit,
        "median": spread.median,
        "min": spread.min,
        "max": spread.max,
        "relative_spread": spread.relative_spread,
        "repetitions": spread.count,
    }


def prometheus_text(results: Sequence[tuple[str, RunResult]]) -> str:
    """Returns the figures of results as gauges in the text format of Prometheus.

    Args:
        results: Results, each with a name of its own, which becomes the label ``result``.
    """
    samples: dict[str, list[str]] = {name: [] for name in _HELP}
    for name, result in results:
        labels = {
            "result": name,
            "workload": result.workload,
            "preset": str(result.config.get("preset", "")),
            "machine": machine(result.provenance),
            "device": result.device,
            "version": _version(result),
        }
        for metric, extra, value in _samples(result):
            pairs = (f'{key}="{_escaped(text)}"' for key, text in {**labels, **extra}.items())
            samples[metric].append(f"{metric}{{{','.join(pairs)}}} {value!r}")

    lines = []
    for metric, rows in samples.items():
        if rows:
            lines += [f"# HELP {metric} {_HELP[metric]}", f"# TYPE {metric} gauge", *rows]
    return "\n".join([*lines, ""])


def _samples(result: RunResult) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yields metric, further labels and value of each figure of a result."""
    yield "hepbench_run_ok", {}, int(result.status == "ok")
    if result.verdict:
        yield "hepbench_quiet", {"verdict": result.verdict["word"]}, int(result.verdict["word"] == "quiet")
    for name, score in _scores(result).items():
        yield "hepbench_score", {"score": name, "unit": score.unit}, score.spread.median
        yield "hepbench_score_relative_spread", {"score": name}, score.spread.relative_spread
    for name, value in result.quality.items():
        if value is not None:  # what was not finite
            yield "hepbench_quality", {"figure": name}, value
    for kind, size in result.peak_memory_bytes.items():
        yield "hepbench_peak_memory_bytes", {"kind": kind}, size


def _scores(result: RunResult) -> dict[str, Score]:
    """Returns the scores of a run that ended well; no other run has any."""
    return dict(account(result).scores) if result.status == "ok" else {}


def _version(result: RunResult) -> str:
    return str(result.provenance.get("benchmark", {}).get("version") or "")


def _escaped(text: str) -> str:
    """Returns a text as the value of a label."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
