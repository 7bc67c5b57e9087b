"""The training loss of MLPF."""

from __future__ import annotations

import math

from keras import ops

from benchmarks.workloads.mlpf.config import CLASSES
from benchmarks.workloads.mlpf.layers import Tensor

# Huber threshold and coefficient of the six regressed columns, in the order of the output.
MOMENTUM_DELTA = {"pt": 1.0, "eta": 0.1, "sin_phi": 0.1, "cos_phi": 0.1, "energy": 1.0}
MOMENTUM_COEFFICIENT = 100.0
MIN_PROBABILITY = 1e-7


def mlpf_loss(predictions: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
    """Returns the classification and regression loss, a scalar.

    Real elements contribute the cross-entropy of the class. Real elements with a particle contribute the
    squared error of the charge and 100 times the Huber losses of pt, eta, sin phi, cos phi and energy.
    The sum is divided by events x padded elements, because the original's denominator counts padding.

    Args:
        predictions: (events, elements, 12), laid out as ``model`` says.
        targets: (events, elements, 7): class, charge, pt, eta, sin phi, cos phi, energy.
        inputs: (events, elements, 12), of which column 0 is 0 on padding.
    """
    dtype = predictions.dtype
    targets = ops.cast(targets, dtype)
    real = ops.cast(inputs[..., 0] != 0, dtype)
    particle = real * ops.cast(targets[..., 0] != 0, dtype)

    logits = predictions[..., :CLASSES]
    truth = ops.one_hot(ops.cast(targets[..., 0], "int32"), CLASSES, dtype=dtype)
    # The original takes the logarithm of a probability that is cut off at 1e-7.
    log_probability = ops.maximum(ops.log_softmax(logits, axis=-1), math.log(MIN_PROBABILITY))
    classification = -real * ops.sum(truth * log_probability, axis=-1)

    error = predictions[..., CLASSES:] - targets[..., 1:]
    charge = error[..., 0] ** 2
    delta = ops.convert_to_tensor(list(MOMENTUM_DELTA.values()), dtype=dtype)
    size = ops.abs(error[..., 1:])
    huber = ops.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))
    regression = particle * (charge + MOMENTUM_COEFFICIENT * ops.sum(huber, axis=-1))
    return ops.mean(classification + regression)
