"""The figure that every page of plots begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets.errors import DataError


def new_figure(output: Path, size: tuple[float, float]) -> Any:
    """Return an empty figure for a page.

    Args:
        output: the page, .pdf or .png.
        size: width and height, inches.

    Raises:
        DataError: matplotlib is missing, or the output is neither .pdf nor .png.
    """
    if output.suffix not in (".pdf", ".png"):
        raise DataError(f"{output}: the page must be a .pdf or a .png")
    try:
        import mplhep  # noqa: F401
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError("plots need matplotlib and mplhep: pip install '.[report]'") from error
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
