"""The page of a tracking event: hits, true tracks and the edges of its graph, in x-y and r-z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.graphs.dataset import NODES, read_graph
from datasets.graphs.doublets import Points
from datasets.graphs.tables import NHITS_MIN
from datasets.graphs.truth import particle_rows
from datasets.plots.figure import new_figure
from datasets.store import Split, open_store
from datasets.trackml.columns import read_event

TRACKS_MAX = 60
"""Largest number of true tracks that are drawn, those of highest pt."""

EDGES_MAX = 3000
"""Largest number of edges of each kind that are drawn, spread evenly over all of them."""

_KINDS = {
    "edges, false": ("0.45", 0.4),
    "edges, true": ("tab:blue", 0.6),
    "true doublets, lost": ("tab:red", 1.2),
}
"""Colour and line width of each kind of doublets of a graph, from the bottom of the drawing to the top."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class _Scene:
    """The parts of an event that are drawn.

    Args:
        name: Name of the event, for the title.
        points: Positions of the hits.
        particle: (hits,) row of each hit's particle, -1 for noise.
        pt: (particles,) transverse momentum, GeV.
        doublets: (pairs, 2) pairs of hits by the names of ``_KINDS``. Empty for a data set of hits.
    """

    name: str
    points: Points
    particle: Indices
    pt: NDArray[np.float32]
    doublets: Mapping[str, Indices]


def plot_event(folder: Path, output: Path) -> Path:
    """Draws the first event of a data set of hits, or the first graph of a data set of graphs.

    Args:
        folder: Folder of the data set.
        output: File of the page, .pdf or .png.

    Returns:
        The file.

    Raises:
        DataError: The data set or matplotlib is missing, or the output is neither .pdf nor .png.
    """
    # One row of axes for the hits and tracks, and one for the doublets of a graph.
    store = open_store(folder)
    split = next(iter(store.splits.values()))
    scene = _scene_of_graph(split) if NODES in split.tables else _scene_of_hits(split)
    rows = 2 if scene.doublets else 1
    figure = new_figure(output, (18, 6.5 * rows))
    axes = figure.subplots(rows, 2, squeeze=False, width_ratios=(1, 1.8))
    _draw_tracks(axes[0], scene)
    if scene.doublets:
        _draw_doublets(axes[1], scene)

    # Both views of a row share their labels and get a legend above, where it hides no hit.
    for row in axes:
        row[0].set(xlabel="x [mm]", ylabel="y [mm]", aspect="equal")
        row[1].set(xlabel="z [mm]", ylabel="r [mm]")
        row[1].set_ylim(bottom=0.0)
        row[1].legend(loc="upper center", bbox_to_anchor=(0.5, 1.09), ncols=3, markerscale=3, frameon=False)
    figure.suptitle(f"{folder.name}: {scene.name}")
    figure.savefig(output, dpi=150)
    return output


def _scene_of_hits(split: Split) -> _Scene:
    """Returns the first event of a data set of hits."""
    event = read_event(split, 0)
    x, y, z = event.hits["position"].astype(np.float64).T
    particle = particle_rows(event.hits["particle_id"], event.particles["particle_id"])
    pt = np.hypot(*event.particles["momentum"][:, :2].T)
    return _Scene(f"{split.name} event 0", Points(np.hypot(x, y), np.arctan2(y, x), z), particle, pt, {})


def _scene_of_graph(split: Split) -> _Scene:
    """Returns the first graph of a data set of graphs."""
    graph = read_graph(split, 0)
    label = graph.edges["label"] > 0
    doublets = (graph.edges["index"][~label], graph.edges["index"][label], graph.lost_doublets["index"])
    return _Scene(
        f"{split.name} event {graph.sector['event'][0]}, a graph of {len(graph.nodes['hit']):,} nodes",
        graph.points(),
        graph.nodes["particle"],
        graph.particles["pt"],
        dict(zip(_KINDS, doublets, strict=True)),
    )


def _draw_tracks(axes: NDArray[Any], scene: _Scene) -> None:
    """Draws all hits, and lines along the tracks of highest pt."""
    nhits = np.bincount(scene.particle[scene.particle >= 0], minlength=len(scene.pt))
    by_pt = np.argsort(-scene.pt, kind="stable")
    drawn = by_pt[nhits[by_pt] >= NHITS_MIN][:TRACKS_MAX]
    _draw_hits(axes, scene, f"hits ({len(scene.points):,})")
    for rank, track in enumerate(drawn):
        hits = np.flatnonzero(scene.particle == track)
        hits = hits[np.argsort(scene.points.r[hits])]
        label = (
            f"true tracks ({len(drawn)} with pt above {scene.pt[drawn].min():.2g} GeV)" if not rank else None
        )
        _draw_pairs(axes, scene, np.stack([hits[:-1], hits[1:]], axis=1), f"C{rank % 10}", 1.0, label)


def _draw_doublets(axes: NDArray[Any], scene: _Scene) -> None:
    """Draws edges and lost doublets."""
    _draw_hits(axes, scene, None)
    for kind, (colour, width) in _KINDS.items():
        pairs = scene.doublets[kind]
        shown = pairs[:: 1 + (len(pairs) - 1) // EDGES_MAX] if len(pairs) else pairs
        count = f"{len(pairs):,}" if len(shown) == len(pairs) else f"{len(shown):,} of {len(pairs):,}"
        _draw_pairs(axes, scene, shown, colour, width, f"{kind} ({count})")


def _draw_hits(axes: NDArray[Any], scene: _Scene, label: str | None) -> None:
    """Draws all hits as points, smaller where they are many."""
    size = 3.0 if len(scene.points) < 10_000 else 1.5
    for axis, (across, up) in zip(axes, _views(scene.points), strict=True):
        axis.plot(across, up, ".", color="0.8", markersize=size, rasterized=True, label=label, zorder=1)


def _draw_pairs(
    axes: NDArray[Any], scene: _Scene, pairs: Indices, colour: str, width: float, label: str | None
) -> None:
    """Draws a straight line for each pair of hits."""
    from matplotlib.collections import LineCollection

    for axis, view in zip(axes, _views(scene.points), strict=True):
        ends = np.stack(view, axis=1)[pairs]
        axis.add_collection(
            LineCollection(list(ends), colors=colour, linewidths=width, label=label, zorder=2)
        )


def _views(points: Points) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Returns the coordinates of both views, mm: x and y, then z and r."""
    return [(points.r * np.cos(points.phi), points.r * np.sin(points.phi)), (points.z, points.r)]
