"""The parts of an event from the result of an inference service."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.errors import UsageError
from benchmarks.result import RunResult
from benchmarks.scores import listed_loads, load_rate, row_rate
from benchmarks.sonic.model import Chain

SATURATED = 0.9  # share of the time in which a server with enough to do computes, at least


@dataclass(frozen=True)
class MeasuredService:
    """What a run says about an event.

    Attributes:
        chain: Its parts.
        gigabits: What a client sends of an event, 10^9 bits.
        event_seconds: Mean time of an event by the number of clients.
        busy: Largest share of the time in which the server computed; None where it does not count.
    """

    chain: Chain
    gigabits: float
    event_seconds: Mapping[int, float]
    busy: float | None

    @property
    def is_saturated(self) -> bool:
        """Says whether the largest rate is known to be all that the server can do."""
        return self.busy is not None and self.busy >= SATURATED


def measured_service(name: str, result: RunResult) -> MeasuredService:
    """Returns what the loads of a run say about an event.

    The largest rate of all listed loads gives the time on the GPU. What the fewest clients take beyond it,
    and beyond their own work, is what the service adds. Machine learning on the CPU is local inference.

    Args:
        name: What the result is called, such as its file.
        result: Of a run.

    Raises:
        UsageError: The result has no loads on a server.
    """
    config, loads = result.config, result.serving.get("service", {}).get("loads", [])
    if result.status != "ok" or not loads:
        raise UsageError(
            f"{name}: expected a finished run of the kind inference service with loads on a server, "
            f"got {result.kind}, status {result.status}, {len(loads)} loads"
        )
    listed = sorted(listed_loads(result.serving["service"], config), key=lambda load: int(load["clients"]))
    patches, alone = config["event_patches"], listed[0]
    local = next(
        row
        for row in result.serving["rows"]
        if (row["precision"], row["batch_size"]) == (config["precision"], config["batch_size"])
    )

    # Saturation gives the service time, and the fewest clients the latency, because messages of one client
    # travel while the server computes for another one.
    work, ml = alone["work_seconds"], patches / row_rate(local)
    gpu = patches / max(load_rate(load) for load in listed)
    requests = math.ceil(patches / alone["batch"])
    times = {load["clients"]: float(statistics.fmean(load["event_times"])) for load in listed}
    added = max(0.0, times[alone["clients"]] - work - gpu)
    preprocess = min(requests * alone["split_seconds"]["client"], added)
    return MeasuredService(
        chain=Chain(cpu=work + ml, ml=ml, gpu=gpu, preprocess=preprocess, travel=added - preprocess),
        gigabits=alone["bytes_per_event"]["sent"] * 8 / 1e9,
        event_seconds=times,
        busy=max((load["busy"] for load in listed if load["busy"] is not None), default=None),
    )
