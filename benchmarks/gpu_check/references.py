"""Trains with several seeds in one framework, and writes loss and figures of merit.

    python -m benchmarks.gpu_check.references FILE [PRESET] [BACKEND]

The file has, for each workload of a check, the figures by seed. How far they are from each other says how
much chance there is in a figure. ``references.json`` comes from TensorFlow on a CPU, with the small preset.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.files import write_json
from benchmarks.gpu_check.check import SMALL, Check, Spec, checked_workloads
from benchmarks.result import RunResult
from benchmarks.timing import clock

SEEDS = range(1, 6)
SECONDS = 24 * 3600.0  # no limit that a person meets


def main(file: str, preset: str = SMALL, backend: str = "tensorflow") -> None:
    """Trains and writes the file.

    Args:
        file: The file.
        preset: Preset of the runs.
        backend: The framework.
    """
    content: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        check = Check("cpu", Path(folder), clock() + SECONDS)
        for workload in checked_workloads():
            specs = [Spec(workload, backend, preset, settings=(("seed", str(seed)),)) for seed in SEEDS]
            results = [check.run(spec) for spec in specs]
            content[workload] = {
                "preset": preset,
                "backend": backend,
                "versions": results[0].provenance["framework"],
                "data_sha256": results[0].data_sha256,
                "figures": {name: _by_seed(name, results) for name in _figure_names(results[0])},
            }
    write_json(Path(file), content)


def _by_seed(name: str, results: list[RunResult]) -> dict[str, float]:
    return {str(result.seed): result.quality[name] for result in results}


def _figure_names(result: RunResult) -> list[str]:
    """Returns the loss, and each figure of merit that the workload has a floor for."""
    return ["loss", *(name for name in result.quality if f"min_{name}" in result.config)]


if __name__ == "__main__":
    main(*sys.argv[1:])
