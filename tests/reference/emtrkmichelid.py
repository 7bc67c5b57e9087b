"""The network of EmTrkMichelId, written down plainly from its formulae, in float64 and without a framework.

h1 = relu(b1 + sum over 5 x 5 pixels of x w1)      44 x 44 x 48 feature maps
h2 = relu(h1 W2 + b2)                              128, of all feature maps in a row
h3 = relu(h2 W3 + b3)                              32
classes = softmax(h3 W4 + b4), michel = 1 / (1 + exp(-(h3 W5 + b5)))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def outputs(weights: Sequence[np.ndarray], patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (patches, 3) and (patches, 1) for ``patches`` of (patches, 48, 48, 1)."""
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = (np.asarray(weight, np.float64) for weight in weights)
    maps = np.zeros((len(patches), 44, 44, 48))
    for i in range(5):
        for j in range(5):
            maps += patches[:, i : i + 44, j : j + 44] * w1[i, j, 0]
    hidden = np.maximum(maps + b1, 0).reshape(len(patches), -1)
    for kernel, bias in ((w2, b2), (w3, b3)):
        hidden = np.maximum(hidden @ kernel + bias, 0)
    scores = np.exp(hidden @ w4 + b4)
    return scores / scores.sum(axis=1, keepdims=True), 1 / (1 + np.exp(-(hidden @ w5 + b5)))


def loss(
    weights: Sequence[np.ndarray], patches: np.ndarray, classes: np.ndarray, michel: np.ndarray
) -> float:
    """Returns the mean cross-entropy of both outputs."""
    shares, electron = outputs(weights, patches)
    of_classes = -(classes * np.log(shares)).sum(axis=1)
    of_michel = -(michel * np.log(electron) + (1 - michel) * np.log(1 - electron))[:, 0]
    return float((of_classes + of_michel).mean())
