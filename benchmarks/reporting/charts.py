"""Charts of a run: repetitions, losses, quality, latencies, memory, and the series of a numerical kernel."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.kernels import figures
from benchmarks.report import number
from benchmarks.reporting.svg import COLOURS, FAINT, INK, Chart, draw_chart
from benchmarks.result import EpochRecord, RunResult, Score
from benchmarks.scores import Account, ensembles_per_hour, is_quotable

_GIB = 1 << 30
_MARGIN = (
    0.1  # of the median, which the axis of repetitions shows at least, so that noise does not look large
)
_STYLES = ("-", "--", ":")
_MEMORY_NAMES = {"host": "host, measured", "device": "device, measured", "expected": "predicted"}


def speed_charts(result: RunResult, account: Account) -> list[Chart]:
    """Returns the repetitions of each score and the latencies.

    Args:
        result: The run.
        account: What its kind reports of it.
    """
    drawn = [
        _repetitions(name, values, account.scores[name])
        for name, values in account.repetitions.items()
        if name in account.scores
    ]
    if latencies := result.inference.get("single", {}).get("latencies"):
        drawn.append(_latencies(latencies, result.inference["single"]["latency_seconds"]))
    return drawn


def training_charts(epochs: Sequence[EpochRecord]) -> list[Chart]:
    """Returns losses and quality by epoch; none for a run without epochs."""
    if not epochs:
        return []
    losses: dict[str, list[float | None]] = {
        "training": [epoch.loss for epoch in epochs],
        "validation": [epoch.validation.get("loss") for epoch in epochs],
    }
    finals = ", ".join(f"{name} {number(values[-1])}" for name, values in losses.items())
    caption = f"At the end: {finals}. Open: warm-up, not scored."
    drawn = [_by_epoch("Loss", "Loss", caption, epochs, losses)]

    # An epoch whose loss is lost was not validated.
    names = dict.fromkeys(name for epoch in epochs for name in epoch.validation)
    quality = {name: [epoch.validation.get(name) for epoch in epochs] for name in names}
    shares = {
        name: values
        for name, values in quality.items()
        if name not in ("loss", "seconds") and all(map(_is_share, values))
    }
    if shares:
        finals = ", ".join(f"{_words(name)} {number(values[-1])}" for name, values in shares.items())
        caption = f"On validation events. At the end: {finals}."
        drawn.append(_by_epoch("Quality", "Figure of merit", caption, epochs, shares))
    return drawn


def _is_share(value: float | None) -> bool:
    return value is None or 0 <= value <= 1


def _words(name: str) -> str:
    return name.replace("_", " ")


def memory_chart(peaks: Mapping[str, int], available: int | None) -> Chart:
    """Returns the peaks of memory beside what the configuration predicted.

    Args:
        peaks: Of the result, in bytes.
        available: Memory of the machine, in bytes, or None.
    """
    names = [name for name in _MEMORY_NAMES if name in peaks]

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        sizes = [peaks[name] / _GIB for name in names]
        colours = [COLOURS[1] if name == "expected" else COLOURS[0] for name in names]
        bars = axes.barh([_MEMORY_NAMES[name] for name in names], sizes, color=colours, height=0.55)
        axes.bar_label(bars, [f"{size:.2f} GiB" for size in sizes], padding=4, color=INK)
        axes.set_xlim(0, 1.25 * max(sizes))
        axes.set_xlabel("Peak memory [GiB]")
        axes.invert_yaxis()
        axes.tick_params(axis="y", which="both", length=0)

    of_machine = f" The machine has {available / _GIB:.1f} GiB." if available else ""
    caption = f"What the configuration predicted is of the place that holds the model.{of_machine}"
    return draw_chart("Peak memory", caption, fill, height=0.55 * len(names) + 1.2)


def kernel_charts(kernel: Mapping[str, Any]) -> list[Chart]:
    """Returns how time and memory grow with the events, and the processes of the node, if measured."""
    lines = figures.series_lines(kernel) if kernel.get("series") else {}
    drawn = []
    if lines:
        times = {
            name: [(events, 1e6 * seconds / events) for events, seconds, _ in points]
            for name, points in lines.items()
        }
        sizes = {name: [(events, size / 1e6) for events, _, size in points] for name, points in lines.items()}
        drawn = [
            _against_events("Time of an event", "Time of an event [µs]", times),
            _against_events("Memory of an ensemble", "Peak memory [MB]", sizes),
        ]
    nodes = [node for node in kernel.get("node", ()) if is_quotable(node)]
    return [*drawn, _processes(nodes)] if nodes else drawn


def _repetitions(name: str, values: Sequence[float], score: Score) -> Chart:
    spread = score.spread
    reach = max(_MARGIN * spread.median, 1.3 * max(spread.max - spread.median, spread.median - spread.min))

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        axes.axhspan(spread.min, spread.max, color=COLOURS[0], alpha=0.15, linewidth=0)
        axes.axhline(spread.median, color=COLOURS[1], linestyle="--", label=f"median {number(spread.median)}")
        axes.plot(range(1, len(values) + 1), values, "o", color=COLOURS[0], markersize=6)
        axes.set_ylim(spread.median - reach, spread.median + reach)
        axes.set(xlabel="Repetition", ylabel=f"{name} [{score.unit}]")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.minorticks_off()
        axes.legend(loc="upper right")

    caption = (
        f"Median {number(spread.median)} {score.unit}, {number(spread.min)} to {number(spread.max)}: "
        f"a spread of {100 * spread.relative_spread:.1f} % over {spread.count}."
    )
    return draw_chart(f"Repetitions of {name}", caption, fill)


def _latencies(latencies: Sequence[float], quantiles: Mapping[str, float]) -> Chart:
    def fill(figure: Any) -> None:
        axes = figure.subplots()
        axes.hist([1000 * latency for latency in latencies], bins=40, color=COLOURS[0], alpha=0.8)
        for name, style in zip(("p50", "p95", "p99"), _STYLES, strict=True):
            value = 1000 * quantiles[name]
            axes.axvline(value, color=COLOURS[1], linestyle=style, label=f"{name} {value:.4g} ms")
        axes.set(xlabel="Latency of one event [ms]", ylabel="Events")
        axes.legend(loc="upper right")

    caption = f"{len(latencies)} events one by one, from host array to predictions on the host."
    return draw_chart("Latency", caption, fill)


def _by_epoch(
    title: str,
    label: str,
    caption: str,
    epochs: Sequence[EpochRecord],
    series: Mapping[str, Sequence[float | None]],
) -> Chart:
    """Draws lines with open markers for warm-up epochs."""

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        for index, (name, values) in enumerate(series.items()):
            colour, style = COLOURS[index % len(COLOURS)], _STYLES[index // len(COLOURS) % len(_STYLES)]
            points = [
                (epoch, value) for epoch, value in zip(epochs, values, strict=True) if value is not None
            ]
            indices, heights = [epoch.index for epoch, _ in points], [value for _, value in points]
            axes.plot(indices, heights, style, color=colour, label=_words(name))
            for epoch, value in points:
                inside = "none" if epoch.warmup else colour
                axes.plot(epoch.index, value, "o", color=colour, markerfacecolor=inside)
        axes.set(xlabel="Epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color=FAINT, linewidth=0.5)
        figure.legend(loc="outside lower center", ncols=3)

    return draw_chart(title, caption, fill)


def _against_events(title: str, label: str, lines: Mapping[str, Sequence[tuple[int, float]]]) -> Chart:
    def fill(figure: Any) -> None:
        axes = figure.subplots()
        styles = itertools.product(_STYLES, COLOURS)
        for (name, points), (style, colour) in zip(lines.items(), styles, strict=False):
            axes.plot(*zip(*points, strict=True), f"o{style}", color=colour, label=name)
        axes.set(xlabel="Events of an ensemble", ylabel=label, xscale="log", yscale="log")
        axes.grid(color=FAINT, linewidth=0.5)
        figure.legend(loc="outside lower center", ncols=2)

    return draw_chart(title, "Each implementation in processes of its own, one ensemble.", fill, height=4.4)


def _processes(nodes: Sequence[Mapping[str, Any]]) -> Chart:
    def fill(figure: Any) -> None:
        axes = figure.subplots()
        for node in nodes:
            rates = ensembles_per_hour(node)
            axes.plot([node["processes"]] * len(rates), rates, "o", color=COLOURS[0], markersize=6)
        axes.set(xlabel="Processes at once", ylabel="Node [ensembles/h]")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.minorticks_off()

    best = max(nodes, key=lambda node: max(ensembles_per_hour(node)))
    caption = f"A point for each repetition. The most at {best['processes']} process(es)."
    return draw_chart("Processes on the node", caption, fill)
