"""What the model says, as text and as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.report import align, draw, number
from benchmarks.sonic.measured import MeasuredService
from benchmarks.sonic.model import Chain, Network

MOST_PROCESSES = 1_000_000  # per GPU; the exact solution takes a step for each
_SHARES_OF_KNEE = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0)
_DRAWN_POINTS = 400
_HEADER = (
    "processes per GPU",
    "lower bound [s]",
    "exact queue [s]",
    "difference",
    "speed-up, at most",
    "speed-up, queue",
    "GPU busy",
)


def processes_around_knee(chain: Chain) -> list[int]:
    """Returns numbers of processes per GPU that show where it saturates, ascending from 1.

    Raises:
        UsageError: The GPU saturates with more processes than the exact solution is made for.
    """
    knee = chain.gpu_queue().knee
    if knee * max(_SHARES_OF_KNEE) > MOST_PROCESSES:
        raise UsageError(
            f"the GPU saturates with {number(knee)} processes, more than a table around that number is made "
            f"for; give the numbers of processes per GPU that you mean, up to {MOST_PROCESSES}, with "
            "--processes A,B,..."
        )
    return sorted({1, *(max(1, round(share * knee)) for share in _SHARES_OF_KNEE)})


def table(
    chain: Chain, processes: Sequence[int], network: Network | None, measured: Mapping[int, float]
) -> str:
    """Returns the parts of an event, the time of an event by processes per GPU, and the limits.

    Args:
        chain: Parts of an event.
        processes: Numbers of processes per GPU, ascending.
        network: What all jobs share, or None where that is not known.
        measured: Time of an event in seconds by processes, as far as a run has measured it.
    """
    queue = chain.gpu_queue()
    exact_times = queue.mean_times(processes[-1])
    rows: list[tuple[str, ...]] = [(*_HEADER, "measured [s]") if measured else _HEADER]
    for count in processes:
        bound, exact = queue.lower_bound(count), exact_times[count - 1]
        cells = (
            str(count),
            _seconds(bound),
            _seconds(exact),
            f"{100 * max(0.0, exact / bound - 1):.1f} %",
            f"{chain.cpu / bound:.2f}",
            f"{chain.cpu / exact:.2f}",
            f"{100 * count * queue.service / exact:.1f} %",
        )
        rows.append((*cells, _seconds(measured.get(count))) if measured else cells)
    return "\n".join([*_parts(chain), "", *align(rows), "", *_limits(chain, network)])


def _seconds(value: float | None) -> str:
    """Returns seconds with as many digits as a reader compares, and a dash for None."""
    return number(value) if value is None or value < 1 else f"{value:.2f}"


def _parts(chain: Chain) -> list[str]:
    """Returns lines on an event with and without the service."""
    parts = (chain.preprocess, chain.transfer, chain.travel, chain.gpu)
    sum_of_parts = " + ".join(
        f"{number(seconds)} {name}"
        for seconds, name in zip(parts, ("preprocessing", "transfer", "travel", "GPU"), strict=True)
    )
    return [
        f"CPU alone    {number(chain.cpu)} s an event, {100 * chain.ml / chain.cpu:.1f} % of it "
        f"machine learning ({number(chain.ml)} s)",
        f"service      {_seconds(chain.ideal)} s an event where nobody waits: {number(chain.non_ml)} s, "
        f"and {sum_of_parts} = {number(chain.remote_ml)} s",
        f"speed-up     {number(chain.ml / chain.remote_ml)} of the machine learning, "
        f"{number(chain.cpu / chain.ideal)} of the whole chain, where nobody waits",
    ]


def _limits(chain: Chain, network: Network | None) -> list[str]:
    """Returns lines on what saturates first, the GPU or the network."""
    queue = chain.gpu_queue()
    lines = [
        f"knee         {number(queue.knee)} processes per GPU; beyond it, an event takes "
        f"{number(queue.service)} s for each process"
    ]
    if network is not None:
        jobs = chain.network_queue(network).knee
        lines.append(
            f"network      {number(jobs)} jobs at most with {number(network.gigabits)} Gb an event on "
            f"{number(network.bandwidth)} Gb/s, which {number(jobs / queue.knee)} GPUs serve"
        )
    return lines


def saturation_line(service: MeasuredService) -> str:
    """Says in one line whether a run has found out how fast its server is."""
    busy = "unknown" if service.busy is None else f"{100 * service.busy:.0f} %"
    if service.is_saturated:
        return f"measured     the server was saturated: it computed for {busy} of the time"
    return (
        f"measured     the server was not saturated (it computed for {busy} of the time), so that the GPU "
        "may be faster than this; measure more clients"
    )


def plot(chain: Chain, processes: Sequence[int], path: Path, measured: Mapping[int, float]) -> None:
    """Draws time of an event and speed-up of the chain against processes per GPU.

    Args:
        chain: Parts of an event.
        processes: Numbers of processes per GPU, ascending.
        path: Of the picture.
        measured: Time of an event in seconds by processes, as far as a run has measured it.

    Raises:
        UsageError: The plotting libraries are missing, or the path has no ending of an image format.
    """
    # On a logarithmic axis, few of the many whole numbers can be told apart.
    queue, most = chain.gpu_queue(), processes[-1]
    steps = (math.exp(math.log(most) * step / _DRAWN_POINTS) for step in range(_DRAWN_POINTS + 1))
    counts = sorted({round(step) for step in steps})
    exact_times = queue.mean_times(most)
    exact = [(count, exact_times[count - 1]) for count in counts]
    # The bound has a kink at the knee, which is hardly ever a whole number.
    bound = [(count, queue.lower_bound(count)) for count in sorted({*counts, min(queue.knee, most)})]

    # Both diagrams have the same curves, times and what they come to against a CPU alone.
    def fill(time: Any, speed_up: Any) -> None:
        for label, points, style in (("Lower bound", bound, "--"), ("Exact queue", exact, "-")):
            ratios, times = zip(*points, strict=True)
            time.plot(ratios, times, style, label=label)
            speed_up.plot(ratios, [chain.cpu / value for value in times], style)
        if measured:
            clients, seconds = list(measured), list(measured.values())
            time.plot(clients, seconds, "o", color="black", label="Measured")
            speed_up.plot(clients, [chain.cpu / value for value in seconds], "o", color="black")
        time.axhline(chain.cpu, color="gray", linestyle=":", label="CPU alone")
        speed_up.axhline(1.0, color="gray", linestyle=":")
        for axes in (time, speed_up):
            axes.axvline(queue.knee, color="gray", linestyle="-.", label=f"Knee, {queue.knee:.1f}")
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
        time.set_ylabel("Time per event [s]")
        time.legend(loc="upper left", fontsize="x-small")
        speed_up.set_ylabel("Speed-up of the whole chain")
        speed_up.set_xlabel("CPU processes per GPU")

    draw(path, fill)
