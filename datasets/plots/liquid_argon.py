"""The page of plots of a data set of liquid-argon patches: event displays, and spectra of the charge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.liquid_argon.detector import ELECTRONS_PER_COUNT, NOISE, PITCH, SIDE
from datasets.liquid_argon.generator import TABLE
from datasets.liquid_argon.patches import NONE, SHOWER, TRACK
from datasets.plots.figure import add_legend, draw_histogram, load_mplhep, new_figure
from datasets.store import open_store

PATCHES_MAX = 5000
"""Largest number of patches that are drawn into the spectra."""

EXAMPLES = 5
"""Patches of each kind that are shown as images."""

BRIGHT = 1000.0  # counts, at the upper end of the colours: about three relativistic particles in a pixel
HIT = 5 * NOISE / ELECTRONS_PER_COUNT  # counts, above which a pixel is a hit

Kinds = Mapping[str, NDArray[np.int16]]


def plot_patches(folder: Path, output: Path) -> Path:
    """Draws patches of each kind, and their charge, their brightest pixels, their hits and their noise.

    Args:
        folder: Folder of a data set of the generator.
        output: File of the page, .pdf or .png.

    Returns:
        The file.

    Raises:
        DataError: The data set or matplotlib is missing, or the output is neither .pdf nor .png.
    """
    figure = new_figure(output, (16, 15))
    histplot = load_mplhep().histplot
    store = open_store(folder)
    kinds = _kinds(store.split("validation").table(TABLE).columns)

    # Images take the upper four rows, a kind each, and spectra the lowest one.
    displays, spectra = figure.subfigures(2, 1, height_ratios=(3.2, 1))
    _draw_images(displays, kinds)
    for axis, draw in zip(
        spectra.subplots(1, 4), (_draw_charge, _draw_pixels, _draw_hits, _draw_noise), strict=True
    ):
        draw(axis, histplot, kinds)
        add_legend(axis)
    count = sum(map(len, kinds.values()))
    figure.suptitle(f"{folder.name}, {store.manifest['generator']} (spectra of {count} patches)")
    figure.savefig(output, dpi=110)
    return output


def _kinds(columns: Mapping[str, NDArray[Any]]) -> Kinds:
    """Returns the images of each kind, (patches, 48, 48), of the first patches of an event."""
    images, content, michel = (
        np.array(columns[name][:PATCHES_MAX]) for name in ("images", "content", "michel")
    )
    return {
        "track": images[content == TRACK],
        "shower": images[(content == SHOWER) & (michel == 0)],
        "Michel electron": images[michel == 1],
        "none": images[content == NONE],
    }


def _draw_images(figure: Any, kinds: Kinds) -> None:
    """Draws a row of patches of each kind, with one scale of colours for all."""
    axes = figure.subplots(len(kinds), EXAMPLES, sharex=True, sharey=True)
    width = SIDE * PITCH
    picture = None
    for row, (kind, images) in zip(axes, kinds.items(), strict=True):
        for axis, image in zip(row, images, strict=False):
            picture = axis.imshow(
                image.T, origin="lower", extent=(0, width, 0, width), cmap="viridis", vmin=-50, vmax=BRIGHT
            )
        row[0].set_ylabel(f"{kind}\ndrift [cm]")
    for axis in axes[-1]:
        axis.set_xlabel("across the wires [cm]")
    if picture is not None:
        figure.colorbar(
            picture, ax=axes, label=f"counts of {ELECTRONS_PER_COUNT:g} electrons", extend="max", shrink=0.6
        )


def _draw_charge(axis: Any, histplot: Any, kinds: Kinds) -> None:
    """Draws the charge of all hits of a patch."""
    for kind, images in kinds.items():
        charge = np.where(images > HIT, images, 0).sum(axis=(1, 2), dtype=np.int64) / 1e3
        draw_histogram(axis, histplot, charge, np.linspace(0, 60, 61), kind)
    axis.set(xlabel="charge of the hits [1000 counts]", ylabel="patches", yscale="log")


def _draw_pixels(axis: Any, histplot: Any, kinds: Kinds) -> None:
    """Draws the charge of the hits: a relativistic particle leaves about 300 counts in a pixel."""
    for kind, images in kinds.items():
        draw_histogram(axis, histplot, images[images > HIT], np.linspace(0, 2000, 81), kind)
    axis.set(xlabel="charge of a hit [counts]", ylabel="hits", yscale="log")


def _draw_hits(axis: Any, histplot: Any, kinds: Kinds) -> None:
    """Draws the number of hits of a patch."""
    for kind, images in kinds.items():
        draw_histogram(axis, histplot, (images > HIT).sum(axis=(1, 2)), np.linspace(0, 300, 61), kind)
    axis.set(xlabel="hits of a patch", ylabel="patches", yscale="log")


def _draw_noise(axis: Any, histplot: Any, kinds: Kinds) -> None:
    """Draws the pixels of empty patches, of which decays of argon 39 make the tail."""
    pixels = kinds["none"].ravel()
    bins = np.linspace(-100, 200, 61)
    draw_histogram(axis, histplot, pixels, bins, f"empty patches, width {np.std(pixels):.1f}")
    axis.set(xlabel="pixels [counts]", ylabel="pixels", yscale="log")
