"""The text in which a result keeps what was sampled: one value for each sample and quantity.

Numbers are separated by blanks. ``300x12`` is twelve times 300, and ``-`` is a sample without an answer. An
hour of a quantity that hardly changes is then a few words. Standard library only.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TIME_DIGITS = 2  # of the seconds between samples
Values = list[float | None]


@dataclass(frozen=True)
class Columns:
    """The columns of the host, or of one GPU.

    Attributes:
        values: By name, one for each sample; empty for a column that has none.
        reasons: Why a column has none, by name.
    """

    values: dict[str, Values]
    reasons: dict[str, str]


@dataclass(frozen=True)
class Readings:
    """What one rank sampled.

    Attributes:
        times: Of the samples, in seconds since 1970 (UTC).
        host: The machine and the process tree.
        gpus: Each GPU.
    """

    times: list[float]
    host: Columns
    gpus: list[Columns]


def write_values(values: Sequence[float | None], digits: int) -> str:
    """Returns values as text.

    Args:
        values: One for each sample, None where there was no answer.
        digits: Digits after the point that are kept.
    """
    words = ["-" if value is None else _number(value, digits) for value in values]
    runs = [(word, sum(1 for _ in group)) for word, group in itertools.groupby(words)]
    return " ".join(word if count == 1 else f"{word}x{count}" for word, count in runs)


def read_values(text: str) -> Values:
    """Returns the values that ``write_values`` has written.

    Raises:
        ValueError: The text holds something else.
    """
    values: Values = []
    for word in text.split():
        number, _, count = word.partition("x")
        values += [None if number == "-" else float(number)] * int(count or 1)
    return values


def write_steps(times: Sequence[float]) -> str:
    """Returns the seconds from each sample to the next as text, 0 for the first one."""
    scale = 10**_TIME_DIGITS
    # Differences of rounded times, so that their errors do not add up.
    ticks = [round(scale * (time - times[0])) for time in times]
    steps = [0.0, *((after - before) / scale for before, after in itertools.pairwise(ticks))]
    return write_values(steps[: len(times)], _TIME_DIGITS)


def read_times(entry: Mapping[str, Any]) -> list[float]:
    """Returns the times of the samples of an entry of ``telemetry.series``, in seconds since 1970 (UTC)."""
    steps = [step or 0.0 for step in read_values(entry["steps"])]
    return [entry["started_at"] + offset for offset in itertools.accumulate(steps)]


def read_series(entry: Mapping[str, Any]) -> Readings:
    """Returns what an entry of ``telemetry.series`` holds."""
    gpus = [_read_columns(gpu["columns"]) for gpu in entry["gpus"]]
    return Readings(read_times(entry), _read_columns(entry["columns"]), gpus)


def _read_columns(columns: Mapping[str, Any]) -> Columns:
    return Columns(
        {name: read_values(column["values"] or "") for name, column in columns.items()},
        {name: column["missing"] for name, column in columns.items() if column["values"] is None},
    )


def _number(value: float, digits: int) -> str:
    """Returns a number without zeros at its end that say nothing."""
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
