"""Measures what the runner costs: its epochs against a bare loop over the same compiled steps, in turn."""

import dataclasses
import statistics
import time
from dataclasses import dataclass

import numpy as np

from benchmarks import backends, workload
from benchmarks.machine.telemetry import Telemetry
from benchmarks.progress import Progress
from benchmarks.training.epochs import train_epoch
from benchmarks.workload import Batch
from benchmarks.workloads.mlpf.config import PRESETS
from tests.benchmarks.workloads.mlpf.toy import toy_events

PAIRS = 15
STEPS = 4


@dataclass(frozen=True)
class Overhead:
    """Times of the harness over those of the bare loop, as medians over the pairs.

    ``low`` and ``high`` are the quartiles of the wall clock's ratio.
    """

    wall: float
    low: float
    high: float
    cpu: float


class Repeated:
    """The events of an epoch: one batch, ``STEPS`` times, each time a new copy as a reader makes it."""

    def __init__(self, config):
        self._arrays = toy_events(config.batch_size, config.pad_to, config.pad_to)

    def batches(self, _split, batch_size):
        for _ in range(STEPS):
            inputs, targets = (array.copy() for array in self._arrays)
            rows = inputs.shape[0] * inputs.shape[1]
            yield Batch(inputs, targets, events=batch_size, elements=rows, padded_elements=rows)


def overhead():
    # Both loops take the same compiled steps.
    backend = backends.load()
    config = dataclasses.replace(PRESETS["smoke"], threads=0)
    backend.configure(config)
    training = workload.load("mlpf").build(config, np.random.default_rng(config.seed))
    step = backend.train_step(training, xla=False)
    events = Repeated(config)
    ready = [
        (backend.put(b.inputs), backend.put(b.targets)) for b in events.batches("train", config.batch_size)
    ]

    def bare_loop():
        for inputs, targets in ready:
            step(inputs, targets)
        backend.drain()

    def harness():
        train_epoch(backend, step, events.batches("train", config.batch_size), Progress(False, False))

    def timed(loop):
        wall, cpu = time.perf_counter(), time.process_time()
        loop()
        return time.perf_counter() - wall, time.process_time() - cpu

    # The first call of each compiles or fills caches, and does not count.
    bare_loop(), harness()
    with Telemetry():
        pairs = [(timed(bare_loop), timed(harness)) for _ in range(PAIRS)]
    wall = [b[0] / a[0] for a, b in pairs]
    low, _, high = statistics.quantiles(wall, n=4)
    cpu = statistics.median(b[1] / a[1] for a, b in pairs)
    return Overhead(statistics.median(wall), low, high, cpu)
