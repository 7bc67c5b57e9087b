"""A folder with one JSON file for each machine, which holds the results of that machine.

A file has ``schema_version``, ``machine``, which is the line that describes it, and ``results``, a list of
objects with ``result``, the content of a ``result.json``, and ``sha256``, the hash of that content. The hash
finds what was damaged or edited by accident. Whoever edits on purpose can make the hash again, so it proves
nothing against fraud.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.files import write_json
from benchmarks.report import machine
from benchmarks.result import RunResult
from datasets.errors import DataError
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import validate_summary

SCHEMA_VERSION = 1
NO_PROOF = "A hash finds results that were damaged or edited by accident. It is no proof against fraud."


def content_hash(content: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of JSON values, which does not depend on the order of keys or on blanks."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def add_to_collection(results: Sequence[tuple[str, RunResult]], folder: Path) -> list[Path]:
    """Adds results to the files of their machines. A result that is there already is not added twice.

    Args:
        results: Results with status ``ok``, with the names that errors call them by.
        folder: Of the collection. It is made if it is missing.

    Returns:
        The files that have a result among those given.

    Raises:
        UsageError: A result has no score, or contradicts its own record.
        DataError: A file of the collection is damaged.
        OSError: The folder cannot be written.
    """
    for name, result in results:
        check_result(name, result)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[Path, list[RunResult]] = {}
    for _, result in results:
        files.setdefault(folder / file_name(machine(result.provenance)), []).append(result)

    for file, additions in files.items():
        entries = _entries(file) if file.exists() else []
        hashes = {entry["sha256"] for entry in entries}
        for result in additions:
            content = result.to_dict()
            if (sha256 := content_hash(content)) not in hashes:
                entries.append({"sha256": sha256, "result": content})
                hashes.add(sha256)
        description = machine(additions[0].provenance)
        write_json(file, {"schema_version": SCHEMA_VERSION, "machine": description, "results": entries})
    return list(files)


def check_result(name: str, result: RunResult) -> None:
    """Checks that a result has a score, and that its scores are those of its own repetitions.

    Raises:
        UsageError: They are not; the line begins with ``name``.
    """
    if result.status != "ok":
        raise UsageError(f"{name}: expected a result with status ok, got {result.status}: {result.reason}")
    try:
        validate_summary(summary(result), result)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def file_name(description: str) -> str:
    """Returns the name of a machine's file: its description in lower case, with dashes."""
    return f"{re.sub(r'[^a-z0-9]+', '-', description.lower()).strip('-')}.json"


def read_collection(folder: Path) -> list[tuple[str, RunResult]]:
    """Reads all results of a collection, with names such as ``example-cpu.json, result 2``.

    Raises:
        DataError: A file is damaged or edited, or there is none.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(
            f"{folder}: expected a JSON file for each machine, got none; make them with "
            f"`hepbench export RESULT --format json --output {folder}`"
        )
    named_results = []
    for file in files:
        for number, entry in enumerate(_entries(file), start=1):
            name = f"{file.name}, result {number}"
            try:
                result = RunResult.from_dict(entry["result"])
                check_result(name, result)
            except (ValueError, UsageError) as error:
                raise DataError(f"{folder}: {error}") from None
            named_results.append((name, result))
    return named_results


def _entries(file: Path) -> list[dict[str, Any]]:
    """Reads the entries of a machine's file and checks their hashes.

    Raises:
        DataError: It is no such file, or the hash of a result is not that of its content.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version, entries = content["schema_version"], content["results"]
        pairs = [(entry["sha256"], content_hash(entry["result"])) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: expected the results of a machine as JSON, got: {error!r}") from None
    if version != SCHEMA_VERSION:
        raise DataError(f"{file}: expected schema version {SCHEMA_VERSION}, got {version!r}")
    for number, (expected, actual) in enumerate(pairs, start=1):
        if expected != actual:
            raise DataError(
                f"{file}: result {number} was damaged or edited: expected the hash {expected[:12]}, "
                f"got {actual[:12]}; take the file out and export the result again"
            )
    return list(entries)
