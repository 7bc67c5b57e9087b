"""Runs one side of a comparison in a process of its own: a line in, a step, a line out.

    python -m tests.bench.stepper CASE ARGUMENT...

CASE is a module of this folder without its ``_steps``. The function ``make_step(backend, world, *arguments)``
of that module returns a step that is ready to run. KERAS_BACKEND chooses the framework, otherwise it is
TensorFlow. If a launcher's variables say so, the process is one of
several ranks. It answers each line on standard input with ``{"seconds": ..., "cpu": ..., "peak": bytes}``.
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
from benchmarks.resolution import BACKEND_VARIABLE

WARM_UP = 1


def with_shares(targets, world):
    """Returns the targets as a step of this world takes them, with equal shares for all ranks."""
    return targets if world.size == 1 else (targets, np.full(1, 1 / world.size))


def main(case, *arguments):
    backend = backends.load(os.environ.get(BACKEND_VARIABLE) or "tensorflow")
    world = horovod.join(place.place_from_environment(os.environ), backend.device())
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
