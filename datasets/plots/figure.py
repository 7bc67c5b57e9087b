"""The plotting libraries, and the figure that every page of plots begins with."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

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
