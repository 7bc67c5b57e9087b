"""How the clocks of the nodes differ, so that times of several nodes can be set beside each other."""

from __future__ import annotations

import statistics
import time

from benchmarks.ranks.world import World

ROUNDS = 9  # a message to all ranks takes a few milliseconds, now and then more


def clock_offsets(world: World) -> list[float]:
    """Returns how far the clock of each rank is ahead of rank 0's, in seconds.

    All ranks read their clocks when a barrier has let them go. That tells the clocks apart to a few
    milliseconds. Ranks of one node have the same clock. Every rank has to call this.
    """
    if world.place.nodes == 1:
        return [0.0] * world.size

    readings = []
    for _ in range(ROUNDS):
        world.barrier()
        readings.append(time.time())
    readings_of_ranks = world.gather(readings)
    return [
        statistics.median(own - first for own, first in zip(of_rank, readings_of_ranks[0], strict=True))
        for of_rank in readings_of_ranks
    ]
