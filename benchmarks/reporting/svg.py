"""Charts as SVG that becomes a part of a page and takes its colours, in the style of the field.

Charts are drawn in colours that nobody sees, each of which becomes a variable of the page's style. So the
same chart is readable on a light and on a dark page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.errors import UsageError
from datasets.errors import DataError
from datasets.plots.figure import load_mplhep

# A phone shows this width in inches at a scale of one, so that its letters keep their size there.
WIDTH, HEIGHT = 4.6, 3.4
INK, FAINT = "#0a0a01", "#0a0a02"
COLOURS = tuple(f"#0a0b{number:02x}" for number in range(6))
_VARIABLES = {INK: "ink", FAINT: "faint", **{colour: f"series-{i}" for i, colour in enumerate(COLOURS)}}

_SMALL = 9.0
_SETTINGS: dict[str, Any] = {
    # Letters stay text. Room is made for a wide font, because the reader's machine has one of these.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "mathtext.fontset": "dejavusans",
    **dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize", "figure.titlesize"), 10.0),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), _SMALL),
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
    "grid.color": FAINT,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    **{f"{axis}tick.major.size": 5.0 for axis in "xy"},
    **{f"{axis}tick.minor.size": 2.5 for axis in "xy"},
    **{f"{axis}tick.{kind}.width": 0.7 for axis in "xy" for kind in ("major", "minor")},
}


@dataclass(frozen=True)
class Chart:
    """A drawing of the page.

    Attributes:
        title: Short, and what a screen reader says.
        caption: What is seen, with numbers and units.
        svg: The drawing.
    """

    title: str
    caption: str
    svg: str


def draw_chart(title: str, caption: str, fill: Callable[[Any], None], height: float = HEIGHT) -> Chart:
    """Draws a chart.

    Args:
        title: Of the chart.
        caption: Of the chart.
        fill: Adds axes to an empty matplotlib figure and draws into them.
        height: Of the figure, inches.

    Raises:
        UsageError: The plotting libraries are missing.
    """
    try:
        mplhep = load_mplhep()
    except DataError as error:
        raise UsageError(str(error)) from None
    from cycler import cycler
    from matplotlib import style
    from matplotlib.figure import Figure

    # Equal drawings get equal names inside, whenever they are drawn.
    settings = {**_SETTINGS, "axes.prop_cycle": cycler(color=COLOURS), "svg.hashsalt": title}
    with style.context([mplhep.style.ROOT, settings]):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        fill(figure)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    return Chart(title, caption, _for_page(buffer.getvalue()))


def _for_page(svg: str) -> str:
    """Returns the element alone, without a size of its own, in the colours of the page."""
    element = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    element = re.sub(r' (width|height)="[\d.]+pt"', "", element, count=2)
    element = re.sub(r"(\.\d\d)\d+", r"\1", element)  # hundredths of a point are enough
    return re.sub(r"#0a0[ab][\da-f]{2}", lambda colour: f"var(--{_VARIABLES[colour[0]]})", element)


def prefix_names(svg: str, prefix: str) -> str:
    """Returns the drawing with a prefix before its names, which have to be unique in a page."""
    return re.sub(r'(\bid="|href="#|url\(#)', lambda start: f"{start[0]}{prefix}-", svg)
