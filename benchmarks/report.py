"""Runs as text and as a figure; matplotlib is loaded only to draw."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.kernels import figures
from benchmarks.result import EpochRecord, RunResult, Spread
from benchmarks.serving import figures as serving_figures
from datasets.errors import DataError
from datasets.plots.figure import load_mplhep

_GIB = 1 << 30
_COLOURS = 6  # of the style
EPOCH_HEADER = ("epoch", "", "seconds", "events/s", "loss", "input wait", "val. loss", "val. accuracy")


def table(results: Sequence[tuple[str, RunResult]]) -> str:
    """Returns each run with its epochs and figures.

    Args:
        results: Runs with the names to show them under, such as their files.
    """
    return "\n\n".join(_run(name, result) for name, result in results)


def plot(results: Sequence[tuple[str, RunResult]], path: Path) -> None:
    """Draws loss and throughput by epoch, warm-up epochs as open markers; raises as ``draw``.

    Kernels have time and memory against the number of events in their place, and services throughput and
    latency against the batch size.
    """
    if not results:
        raise UsageError("--plot: expected a result.json, got none; hepbench scale --plot draws a scaling")
    if all(result.serving for _, result in results):
        return draw(path, lambda *axes: _draw_services(results, *axes))
    if all(result.kernel for _, result in results):
        return draw(path, lambda *axes: _draw_kernels(results, *axes))

    def fill(loss: Any, throughput: Any) -> None:
        for name, result in results:
            _draw(loss, name, result.epochs, [epoch.loss for epoch in result.epochs])
            _draw(throughput, name, result.epochs, [epoch.throughput for epoch in result.epochs])
        loss.set_ylabel("Training loss")
        throughput.set_ylabel("Training throughput [events/s]")
        throughput.set_xlabel("Epoch (open: warm-up, not scored)")
        throughput.set_ylim(bottom=0)
        throughput.xaxis.get_major_locator().set_params(integer=True)
        throughput.legend(loc="lower right", fontsize="x-small")

    return draw(path, fill)


def _draw_kernels(results: Sequence[tuple[str, RunResult]], time: Any, memory: Any) -> None:
    """Draws the time per event and the memory of each implementation against the number of events."""
    lines = [
        (f"{name}: {implementation}" if len(results) > 1 else implementation, points)
        for name, result in results
        for implementation, points in figures.series_lines(result.kernel).items()
    ]
    for index, (label, points) in enumerate(lines):
        # The style has fewer colours than there are implementations.
        style = "o" + ("-", "--", ":")[index // _COLOURS % 3]
        events, seconds, sizes = zip(*points, strict=True)
        rates = [1e6 * duration / count for count, duration in zip(events, seconds, strict=True)]
        time.plot(events, rates, style, label=label)
        memory.plot(events, [size / 1e6 for size in sizes], style, label=label)
    time.set_ylabel("Time per event [µs]")
    memory.set_ylabel("Memory [MB]")
    memory.set_xlabel("Events of an ensemble")
    for axes in (time, memory):
        axes.set_xscale("log")
        axes.set_yscale("log")
    time.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="x-small")


def _draw_services(results: Sequence[tuple[str, RunResult]], throughput: Any, latency: Any) -> None:
    """Draws throughput and median latency of local inference in each number format against the batch size."""
    for name, result in results:
        for precision, points in serving_figures.lines_by_batch(result.serving).items():
            batches, rates, medians = zip(*points, strict=True)
            label = f"{name}: {precision}" if len(results) > 1 else precision
            throughput.plot(batches, rates, "o-", label=label)
            latency.plot(batches, [1000 * seconds for seconds in medians], "o-", label=label)
    throughput.set_ylabel("Local inference [patches/s]")
    latency.set_ylabel("Median latency [ms]")
    latency.set_xlabel("Batch size")
    for axes in (throughput, latency):
        axes.set_xscale("log")
        axes.set_yscale("log")
    throughput.legend(loc="lower right", fontsize="x-small")


def draw(path: Path, fill: Callable[[Any, Any], None]) -> None:
    """Draws two diagrams, one above the other, with one x axis; raises as ``draw_figure``.

    Args:
        path: Of the picture.
        fill: Draws into the axes of the upper and the lower one.
    """
    draw_figure(path, lambda figure: fill(*figure.subplots(2, 1, sharex=True)))


def draw_figure(path: Path, fill: Callable[[Any], None]) -> None:
    """Draws a figure in the style of the field.

    Args:
        path: Of the picture.
        fill: Adds the axes to the figure and draws into them.

    Raises:
        UsageError: The plotting libraries are missing, or the file's ending is not an image format.
    """
    try:
        mplhep = load_mplhep()
    except DataError as error:
        raise UsageError(str(error)) from None
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(mplhep.style.ROOT):
        figure = Figure(figsize=(10, 12), layout="constrained")
        fill(figure)
        try:
            figure.savefig(path, dpi=100)
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from None


def _draw(axes: Any, name: str, epochs: Sequence[EpochRecord], values: Sequence[float]) -> None:
    (line,) = axes.plot([epoch.index for epoch in epochs], values, label=name)
    for epoch, value in zip(epochs, values, strict=True):
        fill = axes.get_facecolor() if epoch.warmup else line.get_color()
        axes.plot(epoch.index, value, "o", color=line.get_color(), markerfacecolor=fill, markersize=10)


def _run(name: str, result: RunResult) -> str:
    config = result.config
    title = f"{name}: {result.workload}, preset {config.get('preset')}, seed {result.seed}, {result.status}"
    lines = [title if not result.reason else f"{title}: {result.reason}"]
    if result.epochs:
        lines += ["", *align([EPOCH_HEADER, *map(epoch_row, result.epochs)])]
    if result.kernel.get("node"):
        lines += ["", *align(figures.implementation_rows(result)), ""]
        lines += [*align(figures.node_rows(result.kernel["node"])), *figures.left_out_lines(result.kernel)]
    if published := result.kernel.get("published"):
        lines += ["", *align(published)]
    if result.serving.get("rows"):
        lines += ["", *align(serving_figures.local_rows(result))]
    if result.serving.get("service", {}).get("loads"):
        lines += ["", *align(serving_figures.load_rows(result)), ""]
        lines.append(serving_figures.service_line(result.serving["service"], config))
    details = [(label, text) for label, text in _details(result) if text]
    width = max(len(label) for label, _ in details)
    return "\n".join([*lines, "", *(f"{label:<{width}}  {text}" for label, text in details)])


def epoch_row(epoch: EpochRecord) -> tuple[str, ...]:
    """Returns the cells of an epoch below ``EPOCH_HEADER``."""
    return (
        str(epoch.index),
        "warm-up" if epoch.warmup else "",
        number(epoch.seconds),
        number(epoch.throughput),
        number(epoch.loss),
        f"{100 * epoch.input_wait_fraction:.1f} %",
        number(epoch.validation.get("loss")),
        number(epoch.validation.get("accuracy")),
    )


def _details(result: RunResult) -> Iterable[tuple[str, str]]:
    """Yields what the block of a run says below its epochs, empty for what the run did not reach."""
    config, timed = result.config, result.timed
    yield "verdict", verdict_line(result.verdict)
    yield "training", _spread(result.training()) if timed else ""
    yield "real elements", _elements(timed)
    yield from _inference(result.inference)
    yield from _energies(result.energy_scored)
    yield "quality", ", ".join(f"{name} {number(value)}" for name, value in result.quality.items())
    yield "peak memory", ", ".join(f"{name} {_gib(size)}" for name, size in result.peak_memory_bytes.items())
    keys = ("batch_size", "implementation", "events", "precision", "xla", "deterministic", "threads")
    settings = [f"{key} {config[key]}" for key in keys if key in config]
    yield "settings", ", ".join([*settings, f"world_size {result.world_size}"])
    yield "communication", _communication(result)
    yield "data", result.data_sha256[:12]
    yield "weights", result.weights_sha256[:12]
    yield "machine", machine(result.provenance)


def _energies(energy_scored: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yields events per joule of each score and kind of device, as far as they were measured."""
    for score, energies in energy_scored.items():
        for part in ("gpu", "cpu"):
            energy = energies[part]
            if energy["events_per_joule"] is not None:
                rates = (number(energy["events_per_joule"]), number(energy["joules_per_event"]))
                origin = f"by {energy['source']}, without {energy['leaves_out']}"
                yield f"{part.upper()} energy, {score}", f"{rates[0]} events/J, {rates[1]} J/event {origin}"


def verdict_line(verdict: Mapping[str, Any]) -> str:
    """Returns the word and its reasons in one line; empty for a result that has none."""
    if not verdict:
        return ""
    reasons = "; ".join([*verdict["reasons"], *verdict["remarks"]])
    return f"{verdict['word']}: {reasons}" if reasons else verdict["word"]


def _elements(timed: Sequence[EpochRecord]) -> str:
    padded = sum(epoch.padded_elements for epoch in timed)
    if not padded:
        return ""
    rate = statistics.median(epoch.elements / epoch.seconds for epoch in timed)
    padding = 1 - sum(epoch.elements for epoch in timed) / padded
    return f"{number(rate)} per second, padding {100 * padding:.1f} %"


def _communication(result: RunResult) -> str:
    """Returns what the messages between the ranks take on their own."""
    size = result.distributed.get("bytes_per_step")
    if size is None:
        return ""
    text = f"{size} bytes a step from each of {result.world_size} ranks"
    if not result.timed:
        return text
    share = statistics.median(epoch.communication_seconds / epoch.seconds for epoch in result.timed)
    return f"{text}, alone {100 * share:.1f} % of an epoch"


def _inference(inference: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if not inference:
        return
    batch, single = inference["batch"], inference["single"]
    latency = single["latency_seconds"]
    quantiles = ", ".join(f"{name} {1000 * latency[name]:.4g} ms" for name in ("p50", "p95", "p99"))
    yield f"inference, batch {batch['batch_size']}", _spread(Spread(**batch["events_per_second"]))
    yield "inference, batch 1", _spread(Spread(**single["events_per_second"]))
    yield "latency, batch 1", f"{quantiles} ({latency['count']} events)"


def machine(provenance: Mapping[str, Any]) -> str:
    """Describes the machine of a run in one line: CPU, cores, GPUs."""
    if not provenance:
        return ""
    cpu, gpus = provenance["cpu"], [gpu["name"] for gpu in provenance["gpus"]]
    counted = [f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus)]
    processor = cpu["model"] or provenance["system"]["architecture"]  # older results may lack the name
    return ", ".join([f"{processor}, {cpu['usable_cores']} of {cpu['logical_cores']} cores", *counted])


def _gib(size: int) -> str:
    return f"{size / _GIB:.2f} GiB"


def _spread(spread: Spread) -> str:
    return (
        f"median {number(spread.median)} events/s ({number(spread.min)} to {number(spread.max)},"
        f" spread {100 * spread.relative_spread:.1f} %, n {spread.count})"
    )


def number(value: float | None) -> str:
    """Returns a figure to four digits, and a dash for None."""
    return "-" if value is None else "nan" if math.isnan(value) else f"{value:.4g}"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the rows of a table as lines, with each column flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(cells).rstrip() for cells in padded]
