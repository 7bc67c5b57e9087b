"""Draws the physics plots that a workload leaves in ``breakdown``, in the forms of ``benchmarks.plots``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.plots import read_numbers
from benchmarks.reporting.svg import COLOURS, FAINT, INK, Chart, draw_chart

_LINES = ("-", "--", "-.", ":")


def physics_charts(breakdown: Mapping[str, Any]) -> list[Chart]:
    """Returns the charts of a result; none for a result of an earlier version.

    A form that this version does not know is left out.

    Args:
        breakdown: Of the result.
    """
    plots = [plot for plot in breakdown.get("plots", ()) if plot["form"] in _FORMS]
    return [_FORMS[plot["form"]](plot) for plot in plots]


def _histogram(plot: Mapping[str, Any]) -> Chart:
    edges = np.array(plot["edges"], float)
    filled = np.flatnonzero(np.sum(list(plot["counts"].values()), axis=0))
    spare = max(3, len(edges) // 20)  # empty bins that are shown on each side

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        for index, (name, counts) in enumerate(plot["counts"].items()):
            line = _LINES[index % len(_LINES)]
            axes.stairs(
                counts, edges, label=f"{name} ({sum(counts):,})", color=COLOURS[index], linestyle=line
            )
        _label(axes, plot)
        if len(filled):
            axes.set_xlim(
                edges[max(filled[0] - spare, 0)], edges[min(filled[-1] + 1 + spare, len(edges) - 1)]
            )
        if "y" not in plot["log"]:
            axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=2)

    outside = {name: count for name, count in plot["outside"].items() if count}
    counted = ", ".join(f"{count:,} of {name}" for name, count in outside.items())
    caption = f"Entries in parentheses. Beyond the bins: {counted}." if outside else "Entries in parentheses."
    return draw_chart(plot["title"], caption, fill)


def _shares(plot: Mapping[str, Any]) -> Chart:
    # A bin without an upper end is drawn as wide as the one below it.
    ends = [edge for edge in plot["edges"] if edge is not None]
    is_open = len(ends) < len(plot["edges"])
    edges = np.array([*ends, 2 * ends[-1] - ends[-2]] if is_open else ends, float)
    centres, halves = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        for index, (name, total) in enumerate(plot["total"].items()):
            counted = np.array(total, float)
            there = counted > 0
            share = np.array(plot["passed"][name], float)[there] / counted[there]
            below, above = wilson_interval(share, counted[there])
            axes.errorbar(
                centres[there],
                share,
                xerr=halves[there],
                yerr=(np.maximum(share - below, 0), np.maximum(above - share, 0)),
                fmt="os^v"[index % 4],
                color=COLOURS[index],
                label=name,
                linewidth=1.2,
            )
        _label(axes, plot)
        axes.set_ylim(0, 1.05)
        figure.legend(loc="outside lower center", ncols=3)

    caption = "Bars: bin width, and the 68 % interval of the share (Wilson)."
    return draw_chart(plot["title"], f"{caption} The last bin is open." if is_open else caption, fill)


def wilson_interval(share: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of Wilson's interval of a share, at one standard deviation."""
    centre = (share + 0.5 / total) / (1 + 1 / total)
    half = np.sqrt(share * (1 - share) / total + 0.25 / total**2) / (1 + 1 / total)
    return centre - half, centre + half


def _matrix(plot: Mapping[str, Any]) -> Chart:
    counts = np.array(plot["counts"], float)
    totals = counts.sum(axis=1, keepdims=True)
    rows = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)

    def fill(figure: Any) -> None:
        from matplotlib.patches import Rectangle

        # A translucent colour lets the ink be read on light and on dark pages.
        axes = figure.subplots()
        for (row, column), share in np.ndenumerate(rows):
            cell = Rectangle((column, row), 1, 1, facecolor=COLOURS[0], alpha=0.55 * share, linewidth=0)
            axes.add_patch(cell)
            text = f"{100 * share:.1f}" if counts[row, column] else "-"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9, color=INK)
        ticks, classes = np.arange(len(rows)) + 0.5, plot["classes"]
        axes.set(xlim=(0, len(rows)), ylim=(len(rows), 0), xlabel=plot["labels"][0], ylabel=plot["labels"][1])
        axes.set_xticks(ticks, classes, rotation=25)
        axes.set_yticks(ticks, classes)
        axes.tick_params(which="both", length=0)

    caption = f"Share of each true class, in %, of {int(counts.sum()):,} elements. A dash: none."
    return draw_chart(plot["title"], caption, fill, height=3.7)


def _event(plot: Mapping[str, Any]) -> Chart:
    x, y, z = read_numbers(plot["position"], 3).T / 1000
    highlighted = read_numbers(plot["highlighted"], 1)[:, 0] > 0
    pairs = {name: read_numbers(text, 2) for name, text in plot["pairs"].items()}
    colours = dict(zip(pairs, (COLOURS[0], COLOURS[2], COLOURS[1]), strict=False))

    def draw(axes: Any, across: np.ndarray, up: np.ndarray) -> None:
        from matplotlib.collections import LineCollection

        axes.plot(across[~highlighted], up[~highlighted], ".", color=INK, alpha=0.25, markersize=2)
        for name, ends in pairs.items():
            lines = np.stack([across, up], axis=1)[ends]
            label = f"{name} ({len(ends)})"
            axes.add_collection(LineCollection(lines, colors=colours[name], linewidths=1.0, label=label))
        axes.plot(across[highlighted], up[highlighted], ".", color=INK, markersize=3)

    def fill(figure: Any) -> None:
        upper, lower = figure.subplots(2, 1, height_ratios=(1.5, 1))
        draw(upper, x, y)
        draw(lower, z, np.hypot(x, y))
        upper.set(xlabel="x [m]", ylabel="y [m]", aspect="equal")
        upper.set_adjustable("datalim")
        lower.set(xlabel="z [m]", ylabel="r [m]")
        lower.set_ylim(bottom=0)
        figure.legend(*upper.get_legend_handles_labels(), loc="outside lower center", ncols=3)

    caption = "Edges at the hits of these particles, after the cut of the network. Faint: other hits."
    return draw_chart(plot["title"], caption, fill, height=5.6)


def _label(axes: Any, plot: Mapping[str, Any]) -> None:
    """Writes labels and sets the scales of the axes."""
    log = plot.get("log", "")
    axes.set(xlabel=plot["labels"][0], ylabel=plot["labels"][1])
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    axes.grid(color=FAINT, linewidth=0.5)


_FORMS: Mapping[str, Callable[[Mapping[str, Any]], Chart]] = {
    "histogram": _histogram,
    "shares": _shares,
    "matrix": _matrix,
    "event": _event,
}
