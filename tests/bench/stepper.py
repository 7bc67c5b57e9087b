"""One side of a comparison, in a process of its own: a line in, a training step, a line out.

    python -m tests.bench.stepper SIDE BATCH PADDED PRECISION [deterministic] [xla]

SIDE is ``ours`` or ``plain`` (the transcription of the published formulae). Answers each line on
standard input with ``{"seconds": ..., "cpu": ..., "peak": bytes}``.
"""

import dataclasses
import json
import sys
import time

import numpy as np

from benchmarks import backends, workload
from benchmarks.memory import host_memory_peak_bytes
from benchmarks.mlpf.config import PRESETS
from tests.benchmarks.mlpf.toy import toy_events
from tests.reference import mlpf as reference

WARM_UP = 2
REAL_SHARE = 0.85  # of the padded elements, as in events with a pile-up of 200


class Plain:
    """The transcription with the weights of a model, callable as a model is."""

    def __init__(self, model):
        self.trainable_variables = model.trainable_variables
        self._weights = reference.weights_of(model)
        self._compute_dtype = model.compute_dtype

    def __call__(self, inputs, training):
        assert training
        return reference.forward(self._weights, inputs, compute_dtype=self._compute_dtype)


def main(side, batch, padded, precision, *switches):
    backend = backends.load()
    config = dataclasses.replace(
        PRESETS["full"],
        batch_size=int(batch),
        pad_to=int(padded),
        precision=precision,
        deterministic="deterministic" in switches,
    )
    backend.configure(config)
    training = workload.load("mlpf").build(config, np.random.default_rng(config.seed))
    if side == "plain":
        training = dataclasses.replace(training, model=Plain(training.model), loss=reference.loss)
    step = backend.train_step(training, xla="xla" in switches)
    events = toy_events(config.batch_size, config.pad_to, int(REAL_SHARE * config.pad_to))
    inputs, targets = (backend.put(array) for array in events)
    for _ in range(WARM_UP):
        step(inputs, targets)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        step(inputs, targets)
        backend.drain()
        answer = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(answer | {"peak": host_memory_peak_bytes()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
