"""One side of a comparison, in a process of its own: a line in, a step, a line out.

    python -m tests.bench.stepper CASE ARGUMENT...

CASE is a module of this folder less its ``_steps``; ``make_step(backend, *arguments)`` of that module
returns a step, ready to run. Answers each line on standard input with
``{"seconds": ..., "cpu": ..., "peak": bytes}``.
"""

import importlib
import json
import sys
import time

from benchmarks import backends
from benchmarks.memory import host_memory_peak_bytes

WARM_UP = 1


def main(case, *arguments):
    backend = backends.load()
    step = importlib.import_module(f"tests.bench.{case}_steps").make_step(backend, *arguments)
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
