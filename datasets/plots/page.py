"""The page of plots of a data set of any kind."""

from __future__ import annotations

from pathlib import Path

from datasets.delphes.generator import TABLE
from datasets.plots.delphes import plot_delphes
from datasets.plots.tracking import plot_event
from datasets.store import open_store


def plot(folder: Path, output: Path) -> Path:
    """Draws distributions of an MLPF data set, or an event of a data set of hits or graphs.

    Args:
        folder: Folder of the data set.
        output: File of the page, .pdf or .png.

    Returns:
        The file.

    Raises:
        DataError: The data set or matplotlib is missing, or the output is neither .pdf nor .png.
    """
    splits = open_store(folder, verify=False).splits.values()
    of_mlpf = all(TABLE in split.tables for split in splits)
    return (plot_delphes if of_mlpf else plot_event)(folder, output)
