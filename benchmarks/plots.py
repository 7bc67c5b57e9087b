"""Plots of a workload as data: what a validation leaves in ``breakdown["plots"]`` for a report to draw.

A plot is a mapping of JSON values. Its key ``form`` says how it is drawn, and no report needs to know a
workload. Labels may hold mathematics as ``$p_T$``. Bins are fixed, so that counts of several runs can be
added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Plot = dict[str, Any]


def histogram(
    title: str,
    labels: tuple[str, str],
    edges: np.ndarray,
    series: Mapping[str, np.ndarray],
    log: str = "",
) -> Plot:
    """Counts values in bins.

    Args:
        title: Of the plot.
        labels: Of the x axis and the y axis, with units.
        edges: (bins + 1,) ascending edges of the bins. The last bin has its upper edge.
        series: Values of each series, (values,), by its name.
        log: Which axes are logarithmic, such as ``xy``.

    Returns:
        ``form`` "histogram", ``edges``, ``counts`` by series, and ``outside``: how many values of each series
        no bin takes.
    """
    counts = {name: np.histogram(values, edges)[0] for name, values in series.items()}
    return {
        "form": "histogram",
        "title": title,
        "labels": list(labels),
        "log": log,
        "edges": _rounded(edges),
        "counts": {name: bins.tolist() for name, bins in counts.items()},
        "outside": {name: len(series[name]) - int(bins.sum()) for name, bins in counts.items()},
    }


def shares(
    title: str,
    labels: tuple[str, str],
    edges: np.ndarray,
    series: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Plot:
    """Describes shares in bins, such as efficiencies, by their counts.

    Args:
        title: Of the plot.
        labels: Of the x axis and the y axis, with units.
        edges: (bins + 1,) ascending edges of the bins. The last one may be infinite.
        series: Counts in each bin of what passed and of all, (bins,) each, by the name of the share.

    Returns:
        ``form`` "shares", ``edges`` with null for infinity, and ``passed`` and ``total`` by series.
    """
    return {
        "form": "shares",
        "title": title,
        "labels": list(labels),
        "edges": _rounded(edges),
        "passed": {name: passed.tolist() for name, (passed, _) in series.items()},
        "total": {name: total.tolist() for name, (_, total) in series.items()},
    }


def matrix(title: str, labels: tuple[str, str], classes: Sequence[str], counts: np.ndarray) -> Plot:
    """Describes a confusion matrix.

    Args:
        title: Of the plot.
        labels: Of the columns and of the rows.
        classes: Their names.
        counts: (classes, classes) counts, a row for each true class.
    """
    return {
        "form": "matrix",
        "title": title,
        "labels": list(labels),
        "classes": list(classes),
        "counts": counts.tolist(),
    }


def event_display(
    title: str, position: np.ndarray, highlighted: np.ndarray, pairs: Mapping[str, np.ndarray]
) -> Plot:
    """Describes an event as points in a detector and lines between them.

    Args:
        title: Of the plot.
        position: (points, 3) x, y and z, mm.
        highlighted: (points,) bool, False for points that are drawn as background.
        pairs: (lines, 2) int, the points that lines connect, by the kind of the lines.

    Returns:
        ``form`` "event" with these as texts of numbers, because a list would take a line for each of them.
        ``position`` has the coordinates of one point after another, rounded to mm.
    """
    return {
        "form": "event",
        "title": title,
        "position": _text(position),
        "highlighted": _text(highlighted),
        "pairs": {name: _text(ends) for name, ends in pairs.items()},
    }


def read_numbers(text: str, columns: int) -> np.ndarray:
    """Returns the numbers of a text of ``event_display`` as rows, (rows, columns) int64."""
    return np.array(text.split(), np.int64).reshape(-1, columns)


def _text(values: np.ndarray) -> str:
    return " ".join(str(int(value)) for value in np.round(values.ravel().astype(np.float64)))


def _rounded(edges: np.ndarray) -> list[float | None]:
    """Returns edges with six digits, and null for infinity, which JSON lacks."""
    return [float(f"{edge:.6g}") if np.isfinite(edge) else None for edge in edges]
