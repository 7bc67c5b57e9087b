"""The training loss of the patch classifier."""

from __future__ import annotations

from keras import ops

from benchmarks.workload import Tensor


def cross_entropies(predictions: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:  # noqa: ARG001
    """Returns the cross-entropy of the contents plus that of Michel electrons, the mean over a batch.

    Args:
        predictions: The outputs ``classes``, (patches, 3), and ``michel``, (patches, 1).
        targets: What they should be, likewise.
        inputs: Not read.
    """
    classes, michel = predictions
    of_classes = ops.categorical_crossentropy(targets[0], classes)
    of_michel = ops.squeeze(ops.binary_crossentropy(targets[1], michel), axis=-1)
    return ops.mean(of_classes + of_michel)
