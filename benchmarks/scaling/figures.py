"""How a workload scales: measurements, model and projection, as JSON values, text and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.result import RunResult
from benchmarks.scaling.model import AllReduce, Computing, Model, Ring

FILE = "scaling.json"
SCHEMA_VERSION = 1
LAST_PROJECTED = 1024
ASSUMPTION = "not measured: the model, as if every link were like those between the measured ranks"
IN_MESSAGES = "; fitted on one number of ranks, where the fixed cost of a call counts as messages"
_HEADER = ("ranks", "", "batch", "events/s", "spread", "speed-up", "efficiency", "communication", "model")


def scaling(mode: str, measured: Mapping[int, RunResult], smaller_batch: RunResult | None) -> dict[str, Any]:
    """Returns how a workload scales: measurements, the model, and a projection.

    The model is fitted to the training on the fewest ranks and to all-reduces. What it says of other numbers
    of ranks is not fitted to their throughput.

    Args:
        mode: ``weak`` or ``strong``.
        measured: Runs by number of ranks, ascending, at least two.
        smaller_batch: In strong scaling the run on the fewest ranks with a smaller batch.

    Returns:
        The content of ``scaling.json``.
    """
    # Everything is compared with the run on the fewest ranks.
    fewest, most = next(iter(measured)), list(measured)[-1]
    base = measured[fewest]
    model, reduces = _fit_model(base, smaller_batch, measured)
    rate = base.training().median

    def point(count: int, batch_size: int, throughput: float, communication: float) -> dict[str, Any]:
        return {
            "ranks": count,
            "batch_size": batch_size,
            "events_per_second": throughput,
            "speed_up": throughput / rate,
            "efficiency": throughput / rate * fewest / count,
            "communication_share": communication,
        }

    # The model's throughput stands beside the measured one, except where it was fitted to it.
    points = []
    for count, result in measured.items():
        batch_size, training = result.config["batch_size"], result.training()
        points.append(
            point(count, batch_size, training.median, _communication_share(result))
            | {
                "relative_spread": training.relative_spread,
                "model_events_per_second": model.throughput(count, batch_size) if count > fewest else None,
                "quality": dict(result.quality),
            }
        )

    # Projected are powers of two beyond the measured ranks that divide the batch.
    projected = []
    for count in (1 << power for power in range(LAST_PROJECTED.bit_length())):
        batch_size = base.config["batch_size"]
        if mode == "strong":
            batch_size, remainder = divmod(base.config["global_batch_size"], count)
            if remainder:
                continue
        if count > most:
            throughput = model.throughput(count, batch_size)
            share = model.communication_share(count, batch_size)
            projected.append(point(count, batch_size, throughput, share))

    # Without a second batch size nothing tells the serial part of a step from the rest.
    serial_share = model.computing.serial_share(base.config["batch_size"])
    return {
        "schema_version": SCHEMA_VERSION,
        "workload": base.workload,
        "preset": base.config["preset"],
        "mode": mode,
        "threads_per_rank": base.config["threads"],
        "machine": report.machine(base.provenance),
        "measured": points,
        "model": {
            "call_seconds": model.ring.call,
            "alpha_seconds": model.ring.alpha,
            "beta_seconds_per_byte": model.ring.beta,
            "relative_deviation": model.ring.deviation(reduces),
            "bytes_per_step": model.size,
            "all_reduce": [
                {"ranks": reduce.ranks, "bytes": reduce.size, "seconds": reduce.seconds} for reduce in reduces
            ],
            "serial_share": serial_share if smaller_batch else None,
        },
        "projection": {
            "assumption": ASSUMPTION if model.ring.call is not None else ASSUMPTION + IN_MESSAGES,
            "points": projected,
        },
    }


def _fit_model(
    base: RunResult, smaller_batch: RunResult | None, measured: Mapping[int, RunResult]
) -> tuple[Model, list[AllReduce]]:
    """Returns the model, and the all-reduces that it is fitted to."""
    # Runs on several ranks time the all-reduces of a step, and of messages of several sizes.
    reduces, size = [], 0
    for count, result in measured.items():
        if count == 1:
            continue
        size = _message_bytes(result)
        reduces.append(AllReduce(count, size, result.distributed["seconds_per_step"]))
        reduces += [
            AllReduce(count, reduce["bytes"], reduce["seconds"])
            for reduce in result.distributed["all_reduce"]
        ]
    ring = Ring.fit(reduces)

    # A step computes in the time that is left without its all-reduces.
    def computing_step(result: RunResult) -> tuple[int, float]:
        seconds = result.config["global_batch_size"] / result.training().median
        return result.config["batch_size"], max(0.0, seconds - ring.seconds(result.world_size, size))

    if smaller_batch is None:
        return Model(Computing.proportional(*computing_step(base)), ring, size), reduces
    computing = Computing.through(computing_step(base), computing_step(smaller_batch))
    return Model(computing, ring, size), reduces


def _message_bytes(result: RunResult) -> int:
    """Returns the bytes that each rank sends in a step, which compression makes fewer."""
    if result.config["compression"] == "fp16":
        return 2 * int(result.model["trainable_parameters"])
    return int(result.distributed["bytes_per_step"])


def _communication_share(result: RunResult) -> float:
    return statistics.median(epoch.communication_seconds / epoch.seconds for epoch in result.timed)


def table(content: Mapping[str, Any]) -> str:
    """Returns the content of ``scaling.json`` as lines for a person."""
    measured, model, projection = (content[key] for key in ("measured", "model", "projection"))
    base, rows = measured[0], point_rows(content)
    same_batch = "each rank" if content["mode"] == "weak" else "all ranks together"
    lines = [
        f"{content['mode']} scaling of {content['workload']}, preset {content['preset']}: "
        f"the batch of {same_batch} is the same, {content['threads_per_rank']} thread(s) for each rank",
        "",
        *report.align(rows),
        "",
        f"against {base['ranks']} rank(s); the column model is predicted from them and from all-reduces",
        f"all-reduce: {_ring(model)}, {model['bytes_per_step']} bytes a step; "
        f"{len(model['all_reduce'])} measured ones deviate by {100 * model['relative_deviation']:.1f} %",
    ]
    if model["serial_share"] is not None:
        lines.append(f"serial: {100 * model['serial_share']:.1f} % of a step on {base['ranks']} rank(s)")
    if projection["points"]:
        lines.append(f"projection: {projection['assumption']}")
    return "\n".join(lines)


def point_rows(content: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Returns the table of all points of ``scaling.json``, with its header."""
    rows: list[tuple[str, ...]] = [(*_HEADER, "val. loss")]
    for kind, points in (("", content["measured"]), ("projection", content["projection"]["points"])):
        rows += [_row(kind, point) for point in points]
    return rows


def _ring(model: Mapping[str, Any]) -> str:
    terms = [("call_seconds", 1e6, "us a call"), ("alpha_seconds", 1e6, "us a message")]
    terms.append(("beta_seconds_per_byte", 1e9, "ns a byte"))
    return ", ".join(
        f"{report.number(scale * model[key])} {unit}" for key, scale, unit in terms if model[key] is not None
    )


def _row(kind: str, point: Mapping[str, Any]) -> tuple[str, ...]:
    spread = point.get("relative_spread")
    return (
        str(point["ranks"]),
        kind,
        str(point["batch_size"]),
        report.number(point["events_per_second"]),
        "-" if spread is None else f"{100 * spread:.1f} %",
        report.number(point["speed_up"]),
        f"{100 * point['efficiency']:.1f} %",
        f"{100 * point['communication_share']:.1f} %",
        report.number(point.get("model_events_per_second")),
        report.number(point.get("quality", {}).get("loss")),
    )


def plot(content: Mapping[str, Any], path: Path) -> None:
    """Draws throughput and efficiency against ranks, with the projection.

    Args:
        content: The content of ``scaling.json``.
        path: File of the picture.

    Raises:
        UsageError: The plotting libraries are missing, or the path has no ending of an image format.
    """
    report.draw(path, lambda *axes: draw_curves(content, *axes))


def draw_curves(content: Mapping[str, Any], throughput: Any, efficiency: Any) -> None:
    """Draws throughput and efficiency against ranks into two axes of matplotlib."""
    measured, projected = content["measured"], content["projection"]["points"]
    base = measured[0]
    ranks = [point["ranks"] for point in measured + projected]
    ideal = [base["events_per_second"] * count / base["ranks"] for count in ranks]
    throughput.plot(ranks, ideal, ":", color="gray", label="Ideal")

    for axes, key in ((throughput, "events_per_second"), (efficiency, "efficiency")):
        _curve(axes, measured, key, "o-", "Measured")
        _curve(axes, projected, key, "s--", "Projection, not measured")
    _curve(efficiency, measured, "communication_share", "^-", "Communication, alone")
    _curve(efficiency, projected, "communication_share", "v--", "Communication, projection")

    # Both axes share the number of ranks, which doubles from tick to tick.
    throughput.set_xscale("log", base=2)
    throughput.set_yscale("log")
    throughput.set_ylabel("Training throughput [events/s]")
    efficiency.set_xlabel("Ranks")
    efficiency.set_ylabel(f"Share; efficiency against {base['ranks']} rank(s)")
    efficiency.set_ylim(bottom=0)
    for axes in (throughput, efficiency):
        axes.legend(fontsize="x-small")


def _curve(axes: Any, points: Sequence[Mapping[str, Any]], key: str, style: str, label: str) -> None:
    if points:
        axes.plot([point["ranks"] for point in points], [point[key] for point in points], style, label=label)
