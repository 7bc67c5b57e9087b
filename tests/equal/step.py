"""Takes one training step on a backend, in a process of its own, and writes what came out of it.

    python -m tests.equal.step FILE WORKLOAD KEY=VALUE...

FILE is a numpy archive with the loss, the predictions of the new weights, and the gradient of each weight as
the optimiser has it, which is a tenth.
"""

import sys

import numpy as np

from benchmarks import backends, workload
from benchmarks.resolution import resolve
from tests.repeats.gradient import toy


def fix_bins():
    """Leaves each element in the bin of its place, because a rounded digit may send it to another one."""
    from keras import ops

    from benchmarks.workloads.mlpf.layers import GraphLayer

    def hash_order(_layer, _points, _mask, shape):
        rows = ops.arange(shape[0] * shape[1], dtype="int32")
        return rows, rows

    GraphLayer.hash_order = hash_order


def main(file, name, *assignments):
    resolved = resolve("smoke", workload.presets(name)["smoke"], assignments=assignments)
    config = backends.restrict(resolved.config, ranks=1)
    backend = backends.load(config.backend)
    config = config.with_auto_resolved(backend.device(), None)
    backend.configure(config)
    fix_bins()
    training = workload.load(name).build(config, np.random.default_rng(config.seed))
    xla = config.xla == "on"
    step, predict = backend.train_step(training, xla), backend.predict_step(training.model, xla)
    inputs, targets = map(backend.put, toy(config))
    loss = backend.fetch(step(inputs, targets))
    gradients = {
        variable.path: backend.fetch(variable)
        for variable in training.optimizer.variables
        if variable.path.endswith("_momentum")
    }
    np.savez(file, loss=loss, predictions=backend.fetch(predict(inputs)), **gradients)


if __name__ == "__main__":
    main(*sys.argv[1:])
