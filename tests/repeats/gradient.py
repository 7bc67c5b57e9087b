"""Takes one training step in a process of its own.

    python -m tests.repeats.gradient WORKLOAD KEY=VALUE...

Prints a JSON object. ``gradient`` is the SHA-256 of the optimiser's variables after the step, which for Adam
are the gradient and its square up to factors. ``largest_sum`` is the largest number of arrays that one
operation of the step adds up.
"""

import hashlib
import json
import sys

import numpy as np

from benchmarks import backends, workload
from benchmarks.resolution import resolve
from tests.benchmarks.workloads.gnn_tracking.toy import make_inputs
from tests.benchmarks.workloads.mlpf.toy import toy_events


def toy(config):
    """Returns inputs and targets of one step, of the smoke preset's size."""
    if config.workload == "mlpf":
        return toy_events(config.batch_size, config.pad_to, config.pad_to * 3 // 4)
    return make_inputs(config.pad_nodes + 1, config.pad_edges, config.pad_edges * 7 // 8)


def main(name, *assignments):
    preset = workload.presets(name)["smoke"]
    config = resolve("smoke", preset, assignments=("threads=2", *assignments)).config.with_auto_resolved(
        "cpu", None
    )
    backend = backends.load()
    backend.configure(config)
    training = workload.load(name).build(config, np.random.default_rng(config.seed))
    step = backend.train_step(training, xla=config.xla == "on")
    inputs, targets = map(backend.put, toy(config))
    loss = float(step(inputs, targets))
    digest = hashlib.sha256()
    for variable in training.optimizer.variables:
        digest.update(np.ascontiguousarray(np.asarray(variable)).tobytes())
    graph = step.get_concrete_function(inputs, targets).graph
    sums = [len(operation.inputs) for operation in graph.get_operations() if operation.type == "AddN"]
    print(json.dumps({"gradient": digest.hexdigest(), "loss": loss, "largest_sum": max(sums, default=0)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
