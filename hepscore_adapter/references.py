"""The reference runs that are shipped: results of a named CPU, to divide scores by and to reproduce."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable

from benchmarks.result import RunResult, read_result


def reference_names() -> list[str]:
    """Returns the names of the reference runs, which are ``WORKLOAD-PRESET``."""
    return sorted(
        file.name.removesuffix(".json") for file in _folder().iterdir() if file.name.endswith(".json")
    )


def read_reference(name: str) -> RunResult:
    """Reads one of ``reference_names``."""
    with importlib.resources.as_file(_folder() / f"{name}.json") as path:
        return read_result(path)


def _folder() -> Traversable:
    return importlib.resources.files("hepscore_adapter") / "configs/reference"
