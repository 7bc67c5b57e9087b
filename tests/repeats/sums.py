"""Counts the elements of a sum that change with who else reads the summands.

    python -m tests.repeats.sums on|off

The argument is the key ``deterministic``. TensorFlow adds into the buffer of the first summand that nobody
else needs, so holding the first two of three makes it begin with the third. In a training step, kernels that
have not run yet hold summands, and the machine's timing decides which. Here outputs of the function hold
them, which takes no luck.
"""

import dataclasses
import json
import sys

import numpy as np
import tensorflow as tf

from benchmarks.backends import tensorflow as backend
from benchmarks.workloads.mlpf.config import PRESETS


def main(deterministic):
    backend.configure(dataclasses.replace(PRESETS["smoke"], deterministic=deterministic, threads=2))
    rng = np.random.default_rng(1)
    factors = [tf.constant(rng.normal(size=1000).astype(np.float32)) for _ in range(3)]

    def written(held):
        """A sum that the graph optimiser merges, and its first ``held`` summands."""
        parts = [tf.exp(factor) for factor in factors]
        return parts[0] + parts[1] + parts[2], parts[:held]

    def of_a_tape():
        """A sum that a tape makes, because the function reads x three times."""
        x = tf.identity(factors[0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            parts = [tf.sin(x) * factors[1], tf.exp(x) * factors[2], tf.tanh(x)]
            total = tf.reduce_sum(parts[0]) + tf.reduce_sum(parts[1]) + tf.reduce_sum(parts[2])
        return tape.gradient(total, x)

    free, held = (tf.function(lambda count=count: written(count))()[0].numpy() for count in (0, 2))
    graph = tf.function(of_a_tape).get_concrete_function().graph
    summands = [len(operation.inputs) for operation in graph.get_operations() if operation.type == "AddN"]
    print(json.dumps({"changed": int((free != held).sum()), "largest_sum": max(summands, default=0)}))


if __name__ == "__main__":
    main(sys.argv[1])
