"""One side of a comparison, in a process of its own: a line in, a step, a line out.

    python -m tests.bench.stepper CASE ARGUMENT...

CASE is a module of this folder less its ``_steps``; ``make_step(backend, world, *arguments)`` of that
module returns a step, ready to run. Where a launcher's variables say so, the process is one of several ranks.
Answers each line on standard input with
``{"seconds": ..., "cpu": ..., "peak": bytes}``.
"""

import importlib
import json
import os
import sys
import time

import numpy as np

from benchmarks import backends
from benchmarks.machine.memory import host_memory_peak_bytes
from benchmarks.ranks import horovod, place

WARM_UP = 1


def shared(targets, world):
    """The targets as a step of this world takes them; each rank has as much of the loss as any other."""
    return targets if world.size == 1 else (targets, np.full(1, 1 / world.size))


def main(case, *arguments):
    backend = backends.load()
    world = horovod.join(place.found(os.environ), backend.device())
    step = importlib.import_module(f"tests.bench.{case}_steps").make_step(backend, world, *arguments)
    for _ in range(WARM_UP):
        step()
    backend.drain()
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        backend.drain()
        answer = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(answer | {"peak": host_memory_peak_bytes()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
