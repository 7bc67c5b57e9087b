"""What a report is about: results and scalings, read from files and folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.report import table
from benchmarks.result import RunResult, read_result
from benchmarks.scaling import figures

RESULT = "result.json"


@dataclass(frozen=True)
class Sources:
    """What a report is about.

    Attributes:
        results: Runs with the names to show them under, such as their folders.
        scalings: Contents of ``scaling.json``, likewise.
    """

    results: Sequence[tuple[str, RunResult]]
    scalings: Sequence[tuple[str, Mapping[str, Any]]] = ()

    def texts(self) -> Iterator[str]:
        """Yields each of them for a terminal."""
        for _, content in self.scalings:
            yield figures.table(content)
        if self.results:
            yield table(self.results)


def read_sources(paths: Sequence[Path]) -> Sources:
    """Reads results and scalings.

    Args:
        paths: Each a ``result.json``, its folder, or the folder of ``run --repeat`` or of ``scale``.

    Raises:
        UsageError: One of them cannot be read.
    """
    results, scalings = [], []
    for path in paths:
        repeats = sorted(path.glob("repeat-*")) if path.is_dir() else []
        if (path / figures.FILE).is_file():
            scalings.append((str(path), _read_scaling(path / figures.FILE)))
        else:
            results += [read_named_result(each) for each in repeats or [path]]
    return Sources(results, scalings)


def read_named_result(path: Path) -> tuple[str, RunResult]:
    """Reads a ``result.json``, given itself or its folder, with a name to show it under.

    Raises:
        UsageError: It cannot be read.
    """
    file = path / RESULT if path.is_dir() else path
    try:
        return str(file.parent if file.name == RESULT else file), read_result(file)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None


def _read_scaling(file: Path) -> Mapping[str, Any]:
    """Reads a ``scaling.json``.

    Raises:
        UsageError: It cannot be read, or is of another version.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: expected the result of hepbench scale, got: {error}") from None
    if content.get("schema_version") != figures.SCHEMA_VERSION:
        version = content.get("schema_version")
        raise UsageError(f"{file}: expected schema version {figures.SCHEMA_VERSION}, got {version!r}")
    return content
