"""What a page says of one run: state, figures, charts, tables, and how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.kernels import figures
from benchmarks.report import EPOCH_HEADER, epoch_row, machine, number
from benchmarks.reporting import charts
from benchmarks.reporting.physics import physics_charts
from benchmarks.reporting.svg import Chart, draw_chart
from benchmarks.reporting.telemetry import missing_quantities, telemetry_charts
from benchmarks.result import RunResult
from benchmarks.scaling.figures import draw_curves, point_rows
from benchmarks.scores import Account, account
from benchmarks.timing import date_text
from benchmarks.workload import REGISTRY, describe

_GIB = 1 << 30
_PREFERRED = ("accuracy", "auc", "deviation")  # figures of merit that are shown large, if there are such


@dataclass(frozen=True)
class Tile:
    """A figure that is shown large, with its unit and a line of detail."""

    label: str
    value: str
    unit: str
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text. The first one is a header if ``head`` is set, and a folded table opens on a click."""

    title: str
    rows: Sequence[Sequence[str]]
    head: bool = True
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a page with charts first, then tables, lines of text and commands."""

    title: str
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    lines: Sequence[str] = ()
    commands: str = ""


@dataclass(frozen=True)
class RunPart:
    """A run as a page shows it.

    Attributes:
        name: Where it comes from, such as its folder.
        title: What ran.
        state: A word for the verdict, or how the run ended.
        reasons: Why it is in this state.
        lines: What a reader has to know first.
        tiles: The most important figures.
        sections: Everything else.
    """

    name: str
    title: str
    state: str
    reasons: Sequence[str]
    lines: Sequence[str]
    tiles: Sequence[Tile]
    sections: Sequence[Section]


def describe_run(name: str, result: RunResult) -> RunPart:
    """Returns what a page says of a run, whether it ended well or not.

    Args:
        name: Name of the run, such as its folder.
        result: The run.

    Raises:
        UsageError: Its kind is unknown, or the plotting libraries are missing.
    """
    try:
        of_kind = account(result)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    is_ok = result.status == "ok"
    state = result.verdict.get("word", "ok") if is_ok else result.status
    reasons = [*result.verdict.get("reasons", ()), *result.verdict.get("remarks", ())]
    sections = [*_measured(result, of_kind), *_documented(name, result)]
    return RunPart(
        name=name,
        title=f"{result.workload}, preset {result.config.get('preset')}",
        state=state,
        reasons=reasons if is_ok else [result.reason],
        lines=list(_introduction(result)),
        tiles=list(_tiles(result, of_kind)) if is_ok else [],
        sections=[part for part in sections if part.charts or part.tables or part.lines or part.commands],
    )


def describe_scaling(name: str, content: Mapping[str, Any]) -> RunPart:
    """Returns what a page says of a ``scaling.json``.

    Args:
        name: Its name, such as its folder.
        content: What it holds.
    """
    curves = draw_chart(
        "Throughput and efficiency",
        content["projection"]["assumption"] if content["projection"]["points"] else "Measured points.",
        lambda figure: draw_curves(content, *figure.subplots(2, 1, sharex=True)),
        height=6.0,
    )
    return RunPart(
        name=name,
        title=f"{content['mode']} scaling of {content['workload']}, preset {content['preset']}",
        state="ok",
        reasons=[],
        lines=[f"{content['machine']}, {content['threads_per_rank']} thread(s) for each rank"],
        tiles=[],
        sections=[Section("Scaling", [curves], [Table("Points", point_rows(content))])],
    )


def _introduction(result: RunResult) -> Iterator[str]:
    if result.workload in REGISTRY:
        yield describe(result.workload)
    device = {"gpu": "on the GPU", "cpu": "on the CPU"}.get(result.device, "")
    ranks = f"{result.world_size} ranks" if result.world_size > 1 else ""
    yield ", ".join(filter(None, (device, machine(result.provenance), ranks)))
    version = result.provenance.get("benchmark", {}).get("version")
    started = [epoch.started_at for epoch in result.epochs if epoch.started_at is not None]
    words = (date_text(started[0]) if started else "", f"hepbench {version}" if version else "")
    yield ", ".join(filter(None, (*words, f"seed {result.seed}")))


def _tiles(result: RunResult, of_kind: Account) -> Iterator[Tile]:
    """Yields scores first, then quality, latency, memory and energy."""
    for name, score in of_kind.scores.items():
        spread = f"spread {100 * score.spread.relative_spread:.1f} % over {score.spread.count}"
        yield Tile(f"score {name}", number(score.spread.median), score.unit, spread)
    for name in [name for name in _PREFERRED if name in result.quality][:1]:
        loss = result.quality.get("loss")
        yield Tile(name, number(result.quality[name]), "", "" if loss is None else f"loss {number(loss)}")
    if result.inference:
        latency = result.inference["single"]["latency_seconds"]
        detail = f"p99 {1000 * latency['p99']:.4g} ms"
        yield Tile("latency of one event", f"{1000 * latency['p50']:.4g}", "ms", detail)
    for name, parts in result.energy_scored.items():
        for part, energy in parts.items():
            if isinstance(energy, Mapping) and energy["joules_per_event"] is not None:
                detail = f"{part.upper()}, {energy['source']}"
                yield Tile(f"energy of an event, {name}", number(energy["joules_per_event"]), "J", detail)
    peaks = result.peak_memory_bytes
    if place := next((place for place in ("device", "host") if place in peaks), ""):
        detail = f"predicted {peaks['expected'] / _GIB:.2f} GiB" if "expected" in peaks else ""
        yield Tile(f"peak memory, {place}", f"{peaks[place] / _GIB:.2f}", "GiB", detail)


def _measured(result: RunResult, of_kind: Account) -> Iterator[Section]:
    """Yields what the run measured, charts first."""
    physics = physics_charts(result.breakdown)
    yield Section("Physics" if physics else "Quality", physics, _quality_table(result.quality))
    yield Section("Speed", charts.speed_charts(result, of_kind))
    epochs = Table("Epochs", [EPOCH_HEADER, *map(epoch_row, result.epochs)])
    yield Section("Training", charts.training_charts(result.epochs), [epochs] if result.epochs else [])
    if result.kernel:
        yield Section("Implementations", charts.kernel_charts(result.kernel), *_kernel_tables(result))

    memory = result.provenance.get("memory", {})
    available = memory.get("limit_bytes") or memory.get("total_bytes")
    drawn = telemetry_charts(result.telemetry)
    if result.peak_memory_bytes:
        drawn.append(charts.memory_chart(result.peak_memory_bytes, available))
    tables = [*_energy_tables(result.energy_scored), *_telemetry_tables(result.telemetry)]
    yield Section("Machine", drawn, tables)


def _quality_table(quality: Mapping[str, float]) -> list[Table]:
    rows = [(name.replace("_", " "), number(value)) for name, value in quality.items()]
    return [Table("Figures of merit", rows, head=False, folded=True)] if rows else []


def _kernel_tables(result: RunResult) -> tuple[list[Table], list[str]]:
    """Returns the tables of a numerical kernel, and a line for what was left out."""
    kernel, tables = result.kernel, []
    if any("seconds" in row for row in kernel.get("rows", ())):
        tables.append(Table("One process", figures.implementation_rows(result)))
    if kernel.get("node"):
        tables.append(Table("Several processes", figures.node_rows(kernel["node"])))
    return tables, figures.left_out_lines(kernel) if kernel.get("rows") else []


def _energy_tables(energy_scored: Mapping[str, Any]) -> Iterator[Table]:
    """Yields the energy behind each score, with its source, or why there is none."""
    rows = [("score", "part", "energy [J]", "an event [J]", "events/J", "from", "not in it")]
    for score, parts in energy_scored.items():
        for part, energy in parts.items():
            if isinstance(energy, Mapping):
                figures_of_part = (energy[key] for key in ("joules", "joules_per_event", "events_per_joule"))
                source = energy["missing"] or energy["source"]
                rows.append(
                    (score, part.upper(), *map(number, figures_of_part), source, energy["leaves_out"])
                )
    if len(rows) > 1:
        yield Table("Energy of the scored phases", rows, folded=True)


def _telemetry_tables(telemetry: Mapping[str, Any]) -> Iterator[Table]:
    phases = telemetry.get("phases", ())
    if phases:
        rows = [("phase", "score", "start [s]", "length [s]", "events", "this run [cores]")]
        for phase in phases:
            cores = [rank["columns"].get("cpu_cores") for rank in phase["ranks"]]
            means = [column["mean"] for column in cores if column]
            rows.append(
                (
                    phase["name"],
                    phase["score"] or "-",
                    f"{phase['start'] - phases[0]['start']:.1f}",
                    f"{phase['end'] - phase['start']:.2f}",
                    "-" if phase["events"] is None else str(phase["events"]),
                    number(sum(means)) if means else "-",
                )
            )
        yield Table("Phases", rows, folded=True)
    flat = [
        (key.replace("_", " "), _plain(value))
        for key, value in telemetry.items()
        if key not in ("phases", "series", "gpus")
    ]
    if flat:
        yield Table("Whole run", flat, head=False, folded=True)
    if missing := missing_quantities(telemetry):
        yield Table("Not measured, and why", list(missing.items()), head=False, folded=True)


def _documented(name: str, result: RunResult) -> Iterator[Section]:
    """Yields configuration and provenance, and how to repeat the run."""
    config = result.config
    changed = config.get("changed", ())
    settings = [
        (key, _plain(value), "changed" if key in changed else "")
        for key, value in config.items()
        if key not in ("changed", "resolved")
    ]
    origin = list(_flat({"weights_sha256": result.weights_sha256, "data_sha256": result.data_sha256}))
    origin += _flat(result.provenance)
    yield Section(
        "Provenance",
        tables=[
            Table("Machine, versions and hashes", origin, head=False, folded=True),
            Table("Configuration", [("key", "value", ""), *settings], folded=True),
        ],
    )
    assignments = [f"--set {shlex.quote(f'{key}={_plain(config[key])}')}" for key in changed if key in config]
    if result.world_size > 1:
        assignments.append(f"--{'gpus' if result.device == 'gpu' else 'ranks'} {result.world_size}")
    commands = [" ".join(["hepbench run", result.workload, f"--preset {config.get('preset')}", *assignments])]

    # What did not end well cannot be compared with.
    lines = []
    if result.status == "ok":
        commands.insert(0, f"hepbench reproduce {shlex.quote(name)}")
        lines = ["The first command runs the same configuration and says how well the two results agree."]
    yield Section("How to repeat it", lines=lines, commands="\n".join(commands))


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields the leaves of nested JSON values with their paths, but none that says nothing."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _flat(item, f"{prefix}.{index}")
    elif value not in (None, ""):
        yield prefix, _plain(value)


def _plain(value: Any) -> str:
    """Returns a value as a person writes it in a configuration."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else str(value)
