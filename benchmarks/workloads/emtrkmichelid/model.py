"""The network of ProtoDUNE's EmTrkMichelId, of layers that Keras has.

A patch of 48 x 48 x 1 passes 48 filters of 5 x 5 and dense layers of 128 and 32, all with ReLU. Two outputs
read the last one: ``classes``, (patches, 3), is a softmax over track, shower and none, and ``michel``,
(patches, 1), a sigmoid. There are 11,900,420 parameters.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

OUTPUTS = {"classes": 3, "michel": 1}


def build_model(rng: np.random.Generator, precision: str) -> Any:
    """Builds the network.

    Args:
        rng: Draws the initial weights, so that they are the same on every framework.
        precision: Number format of the layers but the outputs, which are float32.

    Returns:
        A ``keras.Model`` with one input and the outputs of ``OUTPUTS``, in their order.
    """
    patches = keras.Input((48, 48, 1), name="patches", dtype="float32")
    hidden = keras.layers.Conv2D(48, 5, activation="relu", dtype=precision, name="convolution")(patches)
    hidden = keras.layers.Flatten(dtype=precision, name="flatten")(hidden)
    hidden = keras.layers.Dense(128, activation="relu", dtype=precision, name="dense_128")(hidden)
    hidden = keras.layers.Dense(32, activation="relu", dtype=precision, name="dense_32")(hidden)
    classes = keras.layers.Dense(3, activation="softmax", dtype="float32", name="classes")(hidden)
    michel = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="michel")(hidden)
    model = keras.Model(patches, [classes, michel])
    model.set_weights([_initial(rng, weight.shape) for weight in model.weights])
    return model


def _initial(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Returns zeros for a bias, and He's uniform numbers for a kernel, whose last axis is its outputs."""
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    limit = np.sqrt(6.0 / np.prod(shape[:-1]))
    return rng.uniform(-limit, limit, shape).astype(np.float32)
