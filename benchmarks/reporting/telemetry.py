"""Draws what the machine did during a run against time, with the phases of the run marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.machine.series import Readings, Values, read_series
from benchmarks.machine.throttling import names
from benchmarks.reporting.svg import COLOURS, INK, Chart, draw_chart

_LEGEND_LINES = 8
_NAMED_SHARE = 0.025  # of the time of a run that a phase takes at least, for its name to have room


@dataclass(frozen=True)
class _Panel:
    """A chart of quantities of one unit.

    Attributes:
        title: Of the chart.
        unit: Of its y axis.
        of_machine: Columns of the machine and what they are called.
        of_gpu: Columns of each GPU, likewise.
    """

    title: str
    unit: str
    of_machine: Mapping[str, str]
    of_gpu: Mapping[str, str]


_PANELS = (
    _Panel("Processor", "cores", {"cpu_cores": "this run", "foreign_cpu_cores": "others"}, {}),
    _Panel("Utilisation of GPUs", "%", {}, {"utilization": "busy"}),
    _Panel("Power", "W", {"package_power": "processor"}, {"power": "power"}),
    _Panel("Memory in use", "MB", {"memory": "processes of the run"}, {"memory": "memory"}),
    _Panel("Clocks", "MHz", {"cpu_frequency": "cores"}, {"sm_clock": "processors", "memory_clock": "memory"}),
    _Panel("Temperature", "°C", {}, {"temperature": "temperature"}),
    _Panel(
        "Disk and network",
        "MB/s",
        {
            "disk_read": "read",
            "disk_write": "written",
            "network_received": "received",
            "network_sent": "sent",
        },
        {},
    ),
    _Panel("PCIe traffic", "MB/s", {}, {"pcie_received": "received", "pcie_sent": "sent"}),
    _Panel(
        "Memory errors (ECC)",
        "errors",
        {},
        {"ecc_corrected": "corrected", "ecc_uncorrected": "not corrected"},
    ),
)


def telemetry_charts(telemetry: Mapping[str, Any]) -> list[Chart]:
    """Returns a chart for each group of quantities that was sampled; none for results of earlier versions."""
    series = [(entry, read_series(entry)) for entry in telemetry.get("series", ())]
    series = [(entry, readings) for entry, readings in series if len(readings.times) > 1]
    if not series:
        return []
    start = min(readings.times[0] for _, readings in series)
    drawn = []
    for panel in _PANELS:
        lines = [(name, times, values) for name, times, values in _lines(panel, series) if _has_value(values)]
        if lines:
            drawn.append(_draw(panel, lines, telemetry.get("phases", ()), start))
    reasons = _throttling(series)
    return [*drawn, _draw_reasons(reasons, telemetry.get("phases", ()), start)] if reasons else drawn


def missing_quantities(telemetry: Mapping[str, Any]) -> dict[str, str]:
    """Returns what could not be sampled, with the reasons."""
    missing: dict[str, str] = {}
    for entry in telemetry.get("series", ()):
        readings = read_series(entry)
        prefixes = ["", *(f"GPU {gpu['index']}: " for gpu in entry["gpus"])]
        for prefix, columns in zip(prefixes, (readings.host, *readings.gpus), strict=True):
            missing |= {prefix + name.replace("_", " "): why for name, why in columns.reasons.items()}
    return missing


def _lines(
    panel: _Panel, series: Sequence[tuple[Mapping[str, Any], Readings]]
) -> Iterator[tuple[str, list[float], Values]]:
    """Yields name, times and values of each line of a panel."""
    for entry, readings in series:
        rank = f"rank {entry['rank']}: " if len(series) > 1 else ""
        for column, label in panel.of_machine.items():
            yield rank + label, readings.times, readings.host.values.get(column, [])
        for gpu, columns in zip(entry["gpus"], readings.gpus, strict=True):
            for column, label in panel.of_gpu.items():
                yield f"{rank}GPU {gpu['index']}, {label}", readings.times, columns.values.get(column, [])


def _has_value(values: Values) -> bool:
    return any(value is not None for value in values)


def _draw(
    panel: _Panel,
    lines: Sequence[tuple[str, list[float], Values]],
    phases: Sequence[Mapping[str, Any]],
    start: float,
) -> Chart:
    def fill(figure: Any) -> None:
        axes = figure.subplots()
        for index, (name, times, values) in enumerate(lines):
            points = [
                (time - start, value) for time, value in zip(times, values, strict=True) if value is not None
            ]
            axes.plot(
                *zip(*points, strict=True), color=COLOURS[index % len(COLOURS)], label=name, linewidth=1.2
            )
        end = max(times[-1] for _, times, _ in lines) - start
        _mark_phases(axes, phases, start, end)
        axes.set(ylabel=f"{panel.title} [{panel.unit}]", xlabel="Time [s]")
        axes.set_ylim(bottom=0)
        if len(lines) <= _LEGEND_LINES:
            figure.legend(loc="outside lower center", ncols=2)

    values = [value for _, _, column in lines for value in column if value is not None]
    caption = f"Between {min(values):.4g} and {max(values):.4g} {panel.unit}. Shaded: phases that are scored."
    return draw_chart(panel.title, caption, fill)


def _mark_phases(axes: Any, phases: Sequence[Mapping[str, Any]], start: float, end: float) -> None:
    """Shades the scored phases, draws where each phase begins, and writes its name above if there is room."""
    scores = list(dict.fromkeys(phase["score"] for phase in phases if phase["score"]))
    for phase in phases:
        first, last = phase["start"] - start, phase["end"] - start
        if phase["score"]:
            colour = COLOURS[(3 + scores.index(phase["score"])) % len(COLOURS)]
            axes.axvspan(first, last, color=colour, alpha=0.13, linewidth=0)
        axes.axvline(first, color=INK, linewidth=0.4, alpha=0.5)
        if last - first > _NAMED_SHARE * end:
            axes.annotate(
                phase["name"][:20],
                (0.5 * (first + last), 1.02),
                xycoords=("data", "axes fraction"),
                rotation=90,
                ha="center",
                va="bottom",
                fontsize=7.5,
            )
    axes.set_xlim(0, end)


def _throttling(
    series: Sequence[tuple[Mapping[str, Any], Readings]],
) -> dict[str, list[float]]:
    """Returns the times at which GPUs said that something held their clocks down, by what it was."""
    times: dict[str, list[float]] = {}
    for _, readings in series:
        for columns in readings.gpus:
            for time, bits in zip(readings.times, columns.values.get("throttle_reasons", []), strict=False):
                for name in names(int(bits or 0)):
                    times.setdefault(name, []).append(time)
    return times


def _draw_reasons(
    reasons: Mapping[str, Sequence[float]], phases: Sequence[Mapping[str, Any]], start: float
) -> Chart:
    def fill(figure: Any) -> None:
        axes = figure.subplots()
        for row, times in enumerate(reasons.values()):
            axes.plot([time - start for time in times], [row] * len(times), "|", markersize=12)
        axes.set_yticks(range(len(reasons)), list(reasons))
        _mark_phases(axes, phases, start, max(time for times in reasons.values() for time in times) - start)
        axes.set(xlabel="Time [s]", ylim=(-0.6, len(reasons) - 0.4))

    counts = ", ".join(f"{name} {len(times)}" for name, times in reasons.items())
    return draw_chart("Limits of the clocks of GPUs", f"Samples: {counts}.", fill)
