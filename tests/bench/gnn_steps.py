"""GNN tracking's steps for the stepper: ``gnn SIDE TASK NODES EDGES MODE``.

SIDE is ``ours`` or ``plain`` (the transcription of the published formulae), TASK ``train`` or ``infer``,
MODE is a memory mode, of which the plain side has ``store`` and ``checkpoint``.
"""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from benchmarks import workload
from benchmarks.workloads.gnn_tracking.config import piece_count
from tests.bench.stepper import with_shares
from tests.bench.tracking import configuration
from tests.benchmarks.workloads.gnn_tracking.toy import lay_out
from tests.reference import gnn_tracking as reference


class Plain:
    """The transcription with the weights of a model, callable as a model is."""

    def __init__(self, model, mode):
        self.trainable_variables = model.trainable_variables
        self._weights = reference.weights_of(model)
        self._forward = {"store": reference.forward, "checkpoint": checkpointed}[mode]

    def __call__(self, inputs, training):  # noqa: ARG002 (a model's signature)
        return self._forward(self._weights, inputs)


def checkpointed(weights, inputs, iterations=8):
    """Computes ``reference.forward``, each part of which the backward pass computes again."""
    senders, receivers, features = (inputs[name] for name in ("senders", "receivers", "nodes"))

    def on_edges(name, x, *e):
        ends = ops.take(x, senders, axis=0), ops.take(x, receivers, axis=0)
        return reference.mlp(weights[name], *ends, *e)

    def encode(features):
        x = reference.mlp(weights["encode_nodes"], features)
        return x, on_edges("encode_edges", x)

    def iterate(x, e):
        collected = reference.sums(e, receivers, features.shape[0])
        x = x + reference.mlp(weights["update_nodes"], x, collected)
        return x, e + on_edges("update_edges", x, e)

    x, e = keras.remat(encode)(features)
    for _ in range(iterations):
        x, e = keras.remat(iterate)(x, e)
    return keras.remat(lambda x, e: on_edges("score", x, e))(x, e)[:, 0]


def make_step(backend, world, side, task, nodes, edges, mode):
    config = configuration(int(nodes), int(edges), mode)
    backend.configure(config)
    training = workload.load("gnn_tracking").build(config, np.random.default_rng(config.seed))
    if side == "plain":
        training = dataclasses.replace(
            training,
            model=Plain(training.model, mode),
            loss=lambda logits, targets, _: reference.loss(logits, targets),
        )
    inputs, targets = random_graph(config)
    inputs, targets = backend.put(inputs), backend.put(with_shares(targets, world))
    if task == "infer":
        predict = backend.predict_step(training.model, xla=False)
        return lambda: predict(inputs)
    train = backend.train_step(training, xla=False, world=world)
    return lambda: train(inputs, targets)


def random_graph(config):
    """Returns inputs and targets of a graph of random edges, with some padding."""
    rng = np.random.default_rng(config.seed)
    nodes, edges = config.pad_nodes, config.pad_edges
    features = np.zeros((nodes + 1, 3), np.float32)
    features[:nodes] = rng.uniform(-1, 1, (nodes, 3))
    senders, receivers = rng.integers(0, nodes, (2, edges))
    pieces = piece_count(edges + 1, config.piece_edges)
    padded = pieces * math.ceil((edges + 1) / pieces)
    return lay_out(features, senders, receivers, rng.random(edges) < 0.4, np.ones(edges), padded)
