"""MLPF's training step for the stepper: ``mlpf SIDE BATCH PADDED PRECISION [deterministic] [xla]``.

SIDE is ``ours`` or ``plain`` (the transcription of the published formulae).
"""

import dataclasses

import numpy as np

from benchmarks import workload
from benchmarks.workloads.mlpf.config import PRESETS
from tests.bench.stepper import with_shares
from tests.benchmarks.workloads.mlpf.toy import toy_events
from tests.reference import mlpf as reference

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


def make_step(backend, world, side, batch, padded, precision, *switches):
    config = dataclasses.replace(
        PRESETS["full"],
        batch_size=int(batch),
        pad_to=int(padded),
        precision=precision,
        deterministic="on" if "deterministic" in switches else "off",
    )
    backend.configure(config)
    training = workload.load("mlpf").build(config, np.random.default_rng(config.seed))
    if side == "plain":
        training = dataclasses.replace(training, model=Plain(training.model), loss=reference.loss)
    step = backend.train_step(training, "xla" in switches, world)
    inputs, targets = toy_events(config.batch_size, config.pad_to, int(REAL_SHARE * config.pad_to))
    inputs, targets = backend.put(inputs), backend.put(with_shares(targets, world))
    return lambda: step(inputs, targets)
