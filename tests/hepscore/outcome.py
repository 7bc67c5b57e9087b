"""What hep-score left behind, and whether it is a score: its exit code does not tell."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

# Where a summary says what became of an argument of the configuration.
ECHOED = {
    "copies": "copies",
    "threads": "threads_per_copy",
    "events": "events_per_thread",
    "gpus": "world_size",
    "preset": "preset",
    "epochs": "epochs",
    "batch-size": "batch_size",
    "precision": "precision",
    "seed": "seed",
}


def read_strictly(path: Path) -> dict[str, Any]:
    """JSON as the standard has it, which Python's is not: no NaN, no infinity."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"expected strict JSON, got {constant}")


def read_outcome(folder: Path, configuration: Path) -> dict[str, Any]:
    """The one report below hep-score's OUTDIR."""
    name = _settings(configuration)["name"]
    (report,) = folder.glob(f"HEPscore_*/{name}.json")
    return read_strictly(report)


def problems(outcome: Mapping[str, Any], folder: Path, configuration: Path) -> Iterator[str]:
    """What is wrong with a run of hep-score, line by line; nothing, if its score can be used.

    Args:
        outcome: Its report.
        folder: Where the folders of the benchmarks are: ``OUTDIR/HEPscore_DATE``, ``RUNDIR/HEPSCORE``.
        configuration: What it was told.
    """
    if outcome["status"] != "success":
        yield f"status: expected success, got {outcome['status']} ({outcome.get('error')})"
    if not (isinstance(outcome["score"], float) and 0 < outcome["score"] < math.inf):
        yield f"score: expected a positive number, got {outcome['score']}"
    repetitions = _settings(configuration)["repetitions"]
    for name, asked in _read(configuration)["benchmarks"].items():
        summaries = sorted(folder.glob(f"{name}/run*/{asked['results_file']}"))
        if len(summaries) != repetitions:
            yield f"{name}: expected {repetitions} summaries, got {len(summaries)}"
        reported = [key for key in outcome["benchmarks"][name] if key.removeprefix("run").isdigit()]
        if len([key for key in reported if outcome["benchmarks"][name][key].get("report")]) != repetitions:
            yield f"{name}: expected the reports of {repetitions} runs, got {', '.join(reported)}"
        for file in summaries:
            info = read_strictly(file)["run_info"]
            for argument, value in asked["args"].items():
                came = info[ECHOED[argument]]
                if came != value:
                    yield f"{file.parent.name} of {name}: expected {argument} {value}, got {came}"


def _settings(configuration: Path) -> dict[str, Any]:
    settings: dict[str, Any] = _read(configuration)["settings"]
    return settings


def _read(configuration: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(configuration.read_text(encoding="utf-8"))
    section: dict[str, Any] = content["hepscore_benchmark"]
    return section
