"""Networks of linear layers, layer norms and ReLUs: weights, outputs, gradients.

A network is ``(Linear, LayerNorm, ReLU) x L``, less the last norm and ReLU or with one more Linear,
as in X. Ju et al., "Performance of a geometric deep learning pipeline for HL-LHC particle tracking",
Eur. Phys. J. C 81 (2021) 876, arXiv:2103.06995. Its norm (Ba et al., arXiv:1607.06450) has neither
scale nor offset.

What is computed is theirs; how, is ours. The mean that a norm subtracts is linear in its input, so
it is subtracted from the weights before it, and of the norm only a factor for each row is left. It
is positive, so it may as well follow the ReLU: ``ReLU(LN(a)) = ReLU(a) / sqrt(mean(a^2) + epsilon)``
for a row ``a`` with mean zero. Gradients are written by hand: they need few passes over the edges,
and say themselves what is kept for them and what is computed again.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any  # a tensor of whichever framework runs
Layers = list[tuple[Tensor, Tensor]]  # kernel (inputs, outputs) and bias (outputs,) of linear layers

NORM_EPSILON = 1e-5


def wide(dtype: str) -> str:
    """float32, or float64 for itself: the dtype of sums and statistics."""
    return str(keras.backend.result_type(dtype, "float32"))


class Network(keras.layers.Layer):  # type: ignore[misc]
    """Weights of a network: uniform in +-1/sqrt(inputs), drawn by numpy, equal on every framework."""

    def __init__(self, rng: np.random.Generator, inputs: int, widths: list[int], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)

        def draw(shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
            limit = before**-0.5
            return rng.uniform(-limit, limit, shape).astype(dtype)

        self._linear = []
        for index, (before, after) in enumerate(zip([inputs, *widths], widths, strict=False)):
            kernel, bias = (
                self.add_weight(name=f"{name}_{index}", shape=shape, initializer=draw, autocast=False)
                for name, shape in (("kernel", (before, after)), ("bias", (after,)))
            )
            self._linear.append((kernel, bias))
        self.built = True

    def linear(self) -> Layers:
        """The linear layers, in the dtype of the weights; outputs that a norm follows have mean zero."""
        pairs = [(ops.copy(kernel), ops.copy(bias)) for kernel, bias in self._linear]
        return [*((_centred(kernel), _centred(bias)) for kernel, bias in pairs[:-1]), pairs[-1]]


def _centred(weights: Tensor) -> Tensor:
    return weights - ops.mean(weights, axis=-1, keepdims=True)


def narrowed(layers: Layers, dtype: str) -> Layers:
    """The layers in another dtype."""
    return [(ops.cast(kernel, dtype), ops.cast(bias, dtype)) for kernel, bias in layers]


def follow(a: Tensor, layers: Layers) -> tuple[Tensor, Layers]:
    """Norm, ReLU and linear layer, once for each of ``layers``.

    Args:
        a: (rows, h), with mean zero.
        layers: All but the last with outputs of mean zero.

    Returns:
        The output, and what the gradient needs: input (rows, h) and factor (rows, 1) of each norm.
    """
    kept = []
    for kernel, bias in layers:
        square = ops.mean(ops.square(ops.cast(a, wide(a.dtype))), axis=-1, keepdims=True)
        factor = ops.cast(ops.rsqrt(square + NORM_EPSILON), a.dtype)
        kept.append((a, factor))
        a = ops.matmul(ops.relu(a) * factor, kernel) + bias
    return a, kept


def follow_gradient(upstream: Tensor, kept: Layers, layers: Layers) -> tuple[Tensor, list[Tensor]]:
    """Gradients of ``follow``.

    With factor f, ``a' = f ReLU(a) W + b`` and upstream gradient G of a': ``dW = ReLU(a)^T (f G)``,
    ``y = (f G) W^T [a > 0]``, ``da = y - a f^2 mean(a y)``.

    Returns:
        The gradient of the input, and in ``wide`` dtype those of kernel, bias, kernel, bias, ...
    """
    gradients: list[Tensor] = []
    for (a, factor), (kernel, _) in zip(reversed(kept), reversed(layers), strict=True):
        positive = ops.maximum(a, 0)  # not relu: the compiler would keep the forward pass's
        scaled = factor * upstream
        of_layer = [product(positive, scaled), _column_sums(upstream)]
        kernel = kernel + ops.cast(zero_after(*of_layer), kernel.dtype)
        y = ops.matmul(scaled, ops.transpose(kernel)) * ops.sign(positive)
        along = ops.mean(ops.cast(a * y, wide(a.dtype)), axis=-1, keepdims=True)
        upstream = y - a * (factor * factor * ops.cast(along, a.dtype))
        gradients = [*of_layer, *gradients]
    return upstream, gradients


def zero_after(*tensors: Tensor) -> Tensor:
    """A zero that no compiler knows before the ``tensors``, not empty and of one dtype, are there.

    What it is added to cannot be computed earlier. That keeps work that nobody waits for, such as
    the gradients of weights, from being put off while the large arrays that it reads pile up; and
    work of the backward pass that is a repetition from being done in the forward pass.
    """
    corner = sum(ops.reshape(tensor, (-1,))[0] for tensor in tensors)
    return ops.where(corner == corner, ops.zeros_like(corner), corner)


def product(left: Tensor, right: Tensor) -> Tensor:
    """left^T right, multiplied in their own dtype and handed on in the ``wide`` one."""
    return ops.cast(ops.matmul(ops.transpose(left), right), wide(left.dtype))


def _column_sums(values: Tensor) -> Tensor:
    # As a product, which works through the rows in blocks; a sum goes over them column by column.
    return product(ops.ones((values.shape[0], 1), values.dtype), values)[0]
