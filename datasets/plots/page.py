"""The page of plots of a data set of any kind."""

from __future__ import annotations

from pathlib import Path

from datasets.delphes.generator import TABLE as ELEMENTS
from datasets.liquid_argon.generator import TABLE as PATCHES
from datasets.plots.delphes import plot_delphes
from datasets.plots.liquid_argon import plot_patches
from datasets.plots.tracking import plot_event
from datasets.store import open_store


def plot(folder: Path, output: Path) -> Path:
    """Draws distributions of a data set of MLPF or of patches, or an event of one of hits or graphs.

    Args:
        folder: Folder of the data set.
        output: File of the page, .pdf or .png.

    Returns:
        The file.

    Raises:
        DataError: The data set or matplotlib is missing, or the output is neither .pdf nor .png.
    """
    splits = open_store(folder, verify=False).splits.values()
    for table, draw in ((ELEMENTS, plot_delphes), (PATCHES, plot_patches)):
        if all(table in split.tables for split in splits):
            return draw(folder, output)
    return plot_event(folder, output)
