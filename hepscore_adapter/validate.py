"""The last gate before a score: the JSON schema, the checks it cannot express, and the file."""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
import reprlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError, best_match

from benchmarks.files import write_json
from benchmarks.result import RunResult
from benchmarks.scores import account
from benchmarks.verdict import verdict
from hepscore_adapter.summary import Request, gpu_score_name, summary

SCHEMA_FILE = "schema/summary-1.json"
# hep-score divides by a reference and rounds to 4 digits after the point. This is a hundredth of the smallest
# shipped reference, 0.068 events/s for whole events on two cores: below, the rounding shows.
SMALLEST_SCORE = 0.0007


def summary_path(workload: str, folder: Path) -> Path:
    """Returns the path of a workload's summary, which hep-score's configuration calls results_file."""
    return folder / f"{workload}_summary.json"


def write_summary(
    copies: Sequence[RunResult],
    folder: Path,
    request: Request | None = None,
) -> Path:
    """Writes the summary of a run that earned a score, whole or not at all.

    Args:
        copies: The finished run; several where copies of it ran side by side.
        folder: An existing folder.
        request: What the caller of an image asked for; None for nothing.

    Returns:
        The file.

    Raises:
        ValueError: The run has no score, or its summary is not what HEPscore needs. No file is written.
        OSError: The folder cannot be written.
    """
    for result in copies:
        if result.status != "ok":
            raise ValueError(f"no score: expected a run with status ok, got {result.status}: {result.reason}")
        if shortfall := account(result).shortfall:
            raise ValueError(f"no score: {shortfall}")
    content = summary(*copies, request=request)
    validate_summary(content, *copies)
    path = summary_path(copies[0].workload, folder)
    write_json(path, content)
    return path


def validate_summary(content: Mapping[str, Any], *copies: RunResult) -> None:
    """Checks a summary, and against its run where that is given, copy by copy.

    The scores are made again from the raw repetitions of the run, so that a changed figure is refused.

    Raises:
        ValueError: One line that says which value is wrong, what was expected and what came.
    """
    _check_numbers(content)
    error = best_match(_validator().iter_errors(content))
    if error is not None:
        raise ValueError(f"summary: {_explain(error)}")
    report = content["report"]
    count = content["run_info"]["copies"]
    _check_copies(report, count)
    for name, score in report["wl-scores"].items():
        for table in ("wl-stats", "relative_spread"):
            if name not in report[table]:
                raise ValueError(
                    f"summary: report.{table}: expected the score {name}, got {_keys(report[table])}"
                )
        _check_score(f"report.wl-scores.{name}", score, report["wl-stats"][name], count)
    _check_round_trip(content)
    if copies:
        _check_against(content, copies)


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    text = importlib.resources.files("hepscore_adapter").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def _check_numbers(content: Mapping[str, Any]) -> None:
    """Checks that every number is finite and that every name can become the field of an index."""
    for path, value in _leaves(content, ()):
        if any("." in name for name in path):
            raise ValueError(f"summary: expected names without dots, got {path[-1]!r} in {_join(path[:-1])}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"summary: {_join(path)}: expected a finite number, got {value}")


def _check_round_trip(content: Mapping[str, Any]) -> None:
    try:
        again = json.loads(json.dumps(content, allow_nan=False))
    except TypeError as error:
        raise ValueError(f"summary: expected JSON values only: {error}") from None
    if again != content:
        raise ValueError("summary: expected the same after JSON and back (no tuples, no numbers as keys)")


def _check_copies(report: Mapping[str, Any], count: int) -> None:
    described = len(report.get("copies", [None]))
    if described != count:
        raise ValueError(f"summary: report: expected the {count} copies of run_info, got {described}")
    for name in report["wl-scores"] if count > 1 else ():
        repetitions = report["wl-stats"][name]["count"]
        if repetitions != count:
            raise ValueError(
                f"summary: report.wl-stats.{name}.count: expected {count} copies, got {repetitions}"
            )


def _check_score(path: str, score: float, figures: Mapping[str, float], copies: int) -> None:
    if not isinstance(score, float):
        raise ValueError(f"summary: {path}: expected a float, always, got the integer {score}")
    if copies > 1:
        name, expected = f"{copies} times the average in wl-stats", copies * figures["avg"]
    else:
        name, expected = "the median in wl-stats", figures["median"]
    if not math.isclose(score, expected, rel_tol=1e-9):
        raise ValueError(f"summary: {path}: expected {name}, {expected}, got {score}")
    if score < SMALLEST_SCORE:
        raise ValueError(f"summary: {path}: expected at least {SMALLEST_SCORE} per second, got {score}")


def _check_against(content: Mapping[str, Any], copies: Sequence[RunResult]) -> None:
    """Compares the scores with those that are made again from what was counted and timed."""
    claimed = content["run_info"]["copies"]
    if claimed != len(copies):
        raise ValueError(f"summary: run_info.copies: expected the {len(copies)} that ran, got {claimed}")
    accounts = [account(result) for result in copies]
    for result, remade in zip(copies, accounts, strict=True):
        if remade.shortfall:
            raise ValueError(f"summary: {remade.shortfall}")
        # Results of earlier versions declare neither scores nor a verdict, and do not date their phases.
        is_dated = bool(result.scores or result.verdict or remade.phases)
        if is_dated and dict(result.scores) != dict(remade.scores):
            raise ValueError("summary: expected the scores of the run's own record, got others in the result")
        if is_dated and dict(result.verdict) != verdict(result).to_dict():
            raise ValueError(
                "summary: expected the verdict of the run's own record, got another in the result"
            )
    scores = content["report"]["wl-scores"]
    expected = {
        name: sum(remade.scores[name].spread.median for remade in accounts) for name in accounts[0].scores
    }
    if (name := gpu_score_name(copies[0].workload)) in scores:
        expected[name] = statistics.geometric_mean(expected.values())
    if scores.keys() != expected.keys():
        raise ValueError(
            f"summary: report.wl-scores: expected the scores {_keys(expected)}, got {_keys(scores)}"
        )
    for name, value in expected.items():
        if not math.isclose(scores[name], value, rel_tol=1e-9):
            path = f"report.wl-scores.{name}"
            raise ValueError(f"summary: {path}: expected {value} from the run's record, got {scores[name]}")


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields each value with its path, mappings and lists included, so that no name is missed."""
    yield path, value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, str(index)))


def _explain(error: ValidationError) -> str:
    """Returns one short line, because jsonschema's own message prints the whole object."""
    where = _join(tuple(str(part) for part in error.absolute_path)) or "top level"
    rule: Any = error.validator_value
    came: Any = error.instance
    if error.validator == "required":
        missing = next(key for key in rule if key not in came)
        return f"{where}: expected the key {missing!r}, got {_keys(came)}"
    if error.validator == "additionalProperties":
        schema: Any = error.schema
        return f"{where}: expected no keys but {_keys(schema['properties'])}, got {_keys(came)}"
    return f"{where}: expected {error.validator} {json.dumps(rule)}, got {reprlib.repr(came)}"


def _keys(mapping: Mapping[str, Any]) -> str:
    return ", ".join(mapping) or "none"


def _join(path: tuple[str, ...]) -> str:
    return ".".join(path)
