"""The plotting libraries, and the figure that every page of plots begins with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError, explain_import_error


def load_mplhep() -> ModuleType:
    """Imports the plotting libraries and returns ``mplhep``.

    Raises:
        DataError: Matplotlib or mplhep is missing or cannot be loaded.
    """
    # Pages are files, for which the backend of a notebook or a desktop is of no use. Where this environment
    # lacks the backend that the variable names, matplotlib refuses to be imported.
    os.environ["MPLBACKEND"] = "agg"
    try:
        import matplotlib.figure  # noqa: F401
        import mplhep
    except ImportError as error:
        reason = explain_import_error(error, "report")
        raise DataError(f"plots need matplotlib and mplhep, one of which is {reason}") from error
    module: ModuleType = mplhep
    return module


def new_figure(output: Path, size: tuple[float, float]) -> Any:
    """Returns an empty figure for a page.

    Args:
        output: File of the page, .pdf or .png.
        size: Width and height, inches.

    Raises:
        DataError: Matplotlib is missing or cannot be loaded, or the output is neither .pdf nor .png.
    """
    if output.suffix not in (".pdf", ".png"):
        raise DataError(f"{output}: the page must be a .pdf or a .png")
    load_mplhep()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_histogram(
    axis: Any,
    histplot: Callable[..., Any],
    values: NDArray[Any],
    bins: NDArray[Any],
    label: str,
    density: bool = False,
) -> None:
    """Draws a histogram, as counts or normalised to 1."""
    counts, edges = np.histogram(values, bins)
    scale = 1.0 / max(counts.sum(), 1) / np.diff(edges) if density else np.ones(len(counts))
    # Without variances, mplhep computes the error bars with scipy, which need not be installed.
    heights, variances = counts * scale, counts * scale**2
    histplot(heights, edges, w2=variances, w2method="sqrt", ax=axis, label=label)


def add_legend(axis: Any) -> None:
    """Puts a legend at the top, with room for it above the curves."""
    low, high = axis.get_ylim()
    entries = len(axis.get_legend_handles_labels()[0])
    if axis.get_yscale() == "log":
        axis.set_ylim(low, high * (high / low) ** (0.09 * entries))
    else:
        axis.set_ylim(low, high + 0.11 * entries * (high - low))
    axis.legend(fontsize="small", frameon=False, loc="upper right")
