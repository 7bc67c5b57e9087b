"""What the gradients of a step cost on their way between the ranks, measured apart from the training."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.backends import Backend
from benchmarks.errors import RunFailedError
from benchmarks.machine import nvml
from benchmarks.ranks.place import handles_of
from benchmarks.ranks.world import World
from benchmarks.timing import EpochTimer
from benchmarks.workload import Tensor

REPETITIONS = 7
# Beside the message of a step: small ones, to tell the time that each message takes from that of its bytes.
SIZES = (4, 1 << 14, 1 << 18, 1 << 22)


def describe(backend: Backend, world: World, variables: Sequence[Any], compression: str) -> dict[str, Any]:
    """Who the ranks are, and what their messages cost: all-reduces with nothing else to do.

    Each is timed after a barrier, on the slowest rank. In a training step ranks also wait for the slowest
    one, and may compute meanwhile: this is what the messages alone take, sent the same way as in the step.

    Args:
        backend: Of the run.
        world: Its ranks.
        variables: Trainable variables; gradients have their shapes.
        compression: As in the step.

    Returns:
        ``launcher``, ``nodes``, ``libraries``; ``bytes_per_step`` that each rank hands over, before
        compression; ``seconds_per_step``, the median for them; ``all_reduce``, the same for other sizes:
        a list of ``bytes`` and ``seconds``.

    Raises:
        RunFailedError: Two ranks share a GPU.
    """
    gpus = handles_of(world.place) if backend.device() == "gpu" else {}
    check_gpus(world.gather([nvml.read("nvmlDeviceGetUUID", handle) for handle in gpus.values()]))
    plain, compressed = backend.exchange(world, "none"), backend.exchange(world, compression)
    gradients = [np.zeros(variable.shape, str(variable.dtype)) for variable in variables]
    return {
        "launcher": world.place.launcher,
        "nodes": world.place.nodes,
        "libraries": world.libraries(),
        "bytes_per_step": sum(gradient.nbytes for gradient in gradients),
        "seconds_per_step": _seconds(backend, world, compressed, gradients),
        "all_reduce": [
            {"bytes": size, "seconds": _seconds(backend, world, plain, [np.zeros(size // 4, np.float32)])}
            for size in SIZES
        ],
    }


def check_gpus(of_ranks: Sequence[Sequence[str | None]]) -> None:
    """Looks at the names of the GPUs that the ranks use, where the driver says any.

    Raises:
        RunFailedError: Two ranks share one.
    """
    names = [name for names in of_ranks for name in names if name]
    if len(set(names)) < len(names):
        raise RunFailedError(
            f"expected a GPU for each of {len(of_ranks)} ranks, got {len(set(names))}; lower --ranks"
        )


def _seconds(
    backend: Backend,
    world: World,
    exchange: Callable[[Tensor], Tensor],
    arrays: Sequence[np.ndarray],
) -> float:
    """Median duration of the all-reduce of some arrays; the first one, which sets it up, does not count."""
    tensors = backend.put(list(arrays))
    times = []
    for _ in range(REPETITIONS + 1):
        with EpochTimer(backend.drain, world.barrier) as timer:
            exchange(tensors)
        times.append(max(world.gather(timer.seconds)))
    return statistics.median(times[1:])
