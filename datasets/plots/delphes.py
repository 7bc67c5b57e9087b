"""The page of plots of an MLPF data set, by which a physicist can judge the events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.delphes.generator import TABLE
from datasets.delphes.simulation import CHARGED_HADRON, NEUTRAL_HADRON, NONE, PHOTON, TOWER, TRACK
from datasets.delphes.tracker import MM_PER_GEV, RADIUS
from datasets.plots.figure import add_legend, draw_histogram, load_mplhep, new_figure
from datasets.store import open_store

CLASSES = ("none", "ch. hadron", "n. hadron", "photon", "electron", "muon")
EVENTS_MAX = 500
"""Largest number of events of each split that are drawn."""

Columns = Mapping[str, NDArray[Any]]
_ETA_BINS = np.linspace(-5.2, 5.2, 53)


def plot_delphes(folder: Path, output: Path) -> Path:
    """Draws multiplicities, spectra, responses and the bending of tracks on one page.

    A data set keeps no particle that left neither a track nor a tower of its own, so that the tracking
    efficiency itself cannot be computed. The page shows the share of charged-hadron targets that are tracks.

    Args:
        folder: Folder of a data set of the generator or of the public reader.
        output: File of the page, .pdf or .png.

    Returns:
        The file.

    Raises:
        DataError: The data set or matplotlib is missing, or the output is neither .pdf nor .png.
    """
    figure = new_figure(output, (16, 12))
    histplot = load_mplhep().histplot

    # The first panel compares the splits, the others show all events together.
    store = open_store(folder)
    splits = {name: _columns(split.table(TABLE)) for name, split in store.splits.items()}
    all_rows = {
        name: np.concatenate([split[name] for split in splits.values()]) for name in ("inputs", "targets")
    }

    axes = figure.subplots(3, 4)
    _draw_multiplicities(axes[0, 0], histplot, splits)
    panels: list[Callable[[Any, Any, NDArray[Any], NDArray[Any]], None]]
    panels = [_draw_composition, _draw_pt, _draw_eta, _draw_target_pt, _draw_target_eta]
    panels += [_draw_tower_energy, _draw_track_angles, _draw_track_response, _draw_tower_response]
    panels += [_draw_tracked_share, _draw_bending]
    for axis, panel in zip(axes.flat[1:], panels, strict=True):
        panel(axis, histplot, all_rows["inputs"], all_rows["targets"])

    # Legends come last, when the height of the curves below them is known.
    for axis in axes.flat:
        if axis.get_legend_handles_labels()[0]:
            add_legend(axis)
    counts = ", ".join(f"{name}: {len(split['lengths'])} events" for name, split in splits.items())
    origin = store.manifest.get("generator", store.manifest.get("reader", "unknown origin"))
    figure.suptitle(f"{folder.name}, {origin} ({counts})")
    figure.savefig(output)
    return output


def _columns(table: Any) -> dict[str, NDArray[Any]]:
    """Returns the rows of the events that are drawn, and the numbers of elements and tracks of each event."""
    offsets = table.offsets[: EVENTS_MAX + 1]
    rows = {name: np.array(column[: offsets[-1]]) for name, column in table.columns.items()}
    is_track = rows["inputs"][:, 0] == TRACK
    tracks = np.diff(np.concatenate([[0], np.cumsum(is_track)])[offsets])
    return {**rows, "lengths": np.diff(offsets), "tracks": tracks}


def _draw_multiplicities(axis: Any, histplot: Callable[..., Any], splits: Mapping[str, Columns]) -> None:
    """Draws the numbers of tracks and towers per event, split by split."""
    counts = {f"{name}, tracks": split["tracks"] for name, split in splits.items()}
    counts |= {f"{name}, towers": split["lengths"] - split["tracks"] for name, split in splits.items()}
    all_counts = np.concatenate(list(counts.values()))
    bins = np.linspace(0.9 * all_counts.min(), 1.1 * all_counts.max() + 1, 25)
    for label, values in counts.items():
        draw_histogram(axis, histplot, values, bins, label)
    axis.set(xlabel="elements per event", ylabel="events")


def _draw_composition(axis: Any, _: Any, inputs: NDArray[Any], targets: NDArray[Any]) -> None:
    """Draws the shares of the classes among all elements, for tracks and towers."""
    for shift, kind, label in ((-0.2, TRACK, "tracks"), (0.2, TOWER, "towers")):
        chosen = targets[inputs[:, 0] == kind, 0].astype(np.int64)
        axis.bar(np.arange(6) + shift, np.bincount(chosen, minlength=6) / len(inputs), 0.4, label=label)
    axis.set(yscale="log", ylabel="share of the elements", xlabel="class of the target")
    axis.set_xticks(range(6), CLASSES, rotation=30, fontsize="small")


def _draw_pt(axis: Any, histplot: Callable[..., Any], inputs: NDArray[Any], targets: NDArray[Any]) -> None:
    """Draws the pt of tracks, measured and generated, and the Et of towers."""
    bins = np.geomspace(0.05, 500, 61)
    track = inputs[:, 0] == TRACK
    draw_histogram(axis, histplot, inputs[track, 1], bins, "tracks, measured")
    draw_histogram(axis, histplot, targets[track, 2], bins, "tracks, generated")
    draw_histogram(axis, histplot, inputs[~track, 1], bins, r"towers, $E_T$")
    axis.set(xscale="log", yscale="log", xlabel=r"$p_T$ or $E_T$ [GeV]", ylabel="elements")


def _draw_eta(axis: Any, histplot: Callable[..., Any], inputs: NDArray[Any], _: Any) -> None:
    """Draws eta of tracks, measured and at the exit point, and of the towers of each calorimeter."""
    track = inputs[:, 0] == TRACK
    draw_histogram(axis, histplot, inputs[track, 2], _ETA_BINS, "tracks, momentum")
    draw_histogram(axis, histplot, inputs[track, 6], _ETA_BINS, "tracks, exit point")
    for label, chosen in _calorimeter_rows(inputs).items():
        draw_histogram(axis, histplot, inputs[chosen, 2], _ETA_BINS, f"towers, {label}")
    axis.set(xlabel=r"$\eta$", ylabel="elements")


def _draw_target_pt(axis: Any, histplot: Callable[..., Any], _: Any, targets: NDArray[Any]) -> None:
    """Draws the generated pt of the targets of each class."""
    for kind, label in enumerate(CLASSES):
        if kind != NONE:
            draw_histogram(
                axis, histplot, targets[targets[:, 0] == kind, 2], np.geomspace(0.05, 500, 61), label
            )
    axis.set(xscale="log", yscale="log", xlabel=r"generated $p_T$ [GeV]", ylabel="targets")


def _draw_target_eta(axis: Any, histplot: Callable[..., Any], _: Any, targets: NDArray[Any]) -> None:
    """Draws the generated eta of the targets of each class."""
    for kind, label in enumerate(CLASSES):
        if kind != NONE:
            draw_histogram(axis, histplot, targets[targets[:, 0] == kind, 3], _ETA_BINS, label)
    axis.set(yscale="log", xlabel=r"generated $\eta$", ylabel="targets")


def _calorimeter_rows(inputs: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    """Returns (rows,) which rows are towers of each calorimeter."""
    tower = inputs[:, 0] == TOWER
    return {"ECAL": tower & (inputs[:, 6] > 0.0), "HCAL": tower & (inputs[:, 7] > 0.0)}


def _draw_tower_energy(axis: Any, histplot: Callable[..., Any], inputs: NDArray[Any], _: Any) -> None:
    """Draws the energy of the towers of each calorimeter."""
    for label, chosen in _calorimeter_rows(inputs).items():
        draw_histogram(axis, histplot, inputs[chosen, 5], np.geomspace(0.4, 4000, 61), label)
    axis.set(xscale="log", yscale="log", xlabel="tower energy [GeV]", ylabel="towers")


def track_angle_errors(inputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Returns measured minus generated eta and phi, rad, of all tracks by the name of the angle."""
    measured, generated = inputs[inputs[:, 0] == TRACK], targets[inputs[:, 0] == TRACK]
    # A target holds its angles one column further to the right.
    turn = np.arctan2(measured[:, 3], measured[:, 4]) - np.arctan2(generated[:, 4], generated[:, 5])
    return {"eta": measured[:, 2] - generated[:, 3], "phi": (turn + np.pi) % (2 * np.pi) - np.pi}


def _draw_track_angles(
    axis: Any, histplot: Callable[..., Any], inputs: NDArray[Any], targets: NDArray[Any]
) -> None:
    """Draws the errors of the directions of tracks."""
    for name, errors in track_angle_errors(inputs, targets).items():
        label = rf"$\{name}$: {errors.mean():.4f} $\pm$ {errors.std():.4f}"
        draw_histogram(axis, histplot, errors, np.linspace(-0.05, 0.05, 51), label, density=True)
    axis.set(xlabel="direction of tracks, measured - generated", ylabel="density")


def _draw_track_response(
    axis: Any, histplot: Callable[..., Any], inputs: NDArray[Any], targets: NDArray[Any]
) -> None:
    """Draws measured over generated pt of hadron tracks in three regions of eta."""
    hadrons = (inputs[:, 0] == TRACK) & (targets[:, 0] == CHARGED_HADRON)
    for low, high in ((0.0, 0.5), (0.5, 1.5), (1.5, 2.5)):
        outer = np.abs(inputs[:, 6])
        chosen = hadrons & (outer > low) & (outer <= high)
        ratio = inputs[chosen, 1] / targets[chosen, 2]
        label = rf"${low} < |\eta| < {high}$: {ratio.mean():.3f} $\pm$ {ratio.std():.3f}"
        draw_histogram(axis, histplot, ratio, np.linspace(0, 2, 81), label, density=True)
    axis.set(xlabel=r"$p_T$ of hadron tracks, measured / generated", ylabel="density")


def _draw_tower_response(
    axis: Any, histplot: Callable[..., Any], inputs: NDArray[Any], targets: NDArray[Any]
) -> None:
    """Draws tower energy over target energy for the particle that each calorimeter is made for."""
    towers = _calorimeter_rows(inputs).items()
    for (label, chosen), kind in zip(towers, (PHOTON, NEUTRAL_HADRON), strict=True):
        pure = chosen & (targets[:, 0] == kind) & (targets[:, 6] > 10.0)
        ratio = inputs[pure, 5] / targets[pure, 6]
        draw_histogram(
            axis, histplot, ratio, np.linspace(0, 3, 61), f"{label}, {CLASSES[kind]}", density=True
        )
    axis.set(xlabel="tower energy / target energy, target > 10 GeV", ylabel="density")


def _draw_tracked_share(axis: Any, _: Any, inputs: NDArray[Any], targets: NDArray[Any]) -> None:
    """Draws the share of charged-hadron targets that are tracks, by eta."""
    hadron = targets[:, 0] == CHARGED_HADRON
    bins = np.linspace(-2.6, 2.6, 27)
    total, _edges = np.histogram(targets[hadron, 3], bins)
    tracked, _edges = np.histogram(targets[hadron & (inputs[:, 0] == TRACK), 3], bins)
    filled = total > 0
    centres = 0.5 * (bins[1:] + bins[:-1])
    axis.plot(centres[filled], tracked[filled] / total[filled], "o", markersize=4)
    axis.set(xlabel=r"generated $\eta$", ylabel="charged-hadron targets that are tracks", ylim=(0.0, 1.05))


def _draw_bending(axis: Any, _: Any, inputs: NDArray[Any], __: Any) -> None:
    """Draws the turn from the vertex to the exit point, which is asin(R / 2r) for a track of radius r."""
    tracks = inputs[(inputs[:, 0] == TRACK) & (np.abs(inputs[:, 6]) < 1.2)][:4000]
    turn = np.arctan2(tracks[:, 7], tracks[:, 8]) - np.arctan2(tracks[:, 3], tracks[:, 4])
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    axis.plot(tracks[:, 1], turn * tracks[:, 9], ".", markersize=2, label="tracks, turn times charge")
    pt = np.geomspace(RADIUS / 2 / MM_PER_GEV, 50, 200)
    axis.plot(pt, -np.arcsin(RADIUS / (2 * MM_PER_GEV * pt)), label="from the axis, exactly measured")
    axis.set(xscale="log", xlim=(0.2, 50), ylim=(-2, 0.5), xlabel=r"measured $p_T$ [GeV]")
    axis.set_ylabel(r"$q\,(\phi_{outer} - \phi)$ [rad]")
