"""Networks of linear layers, layer norms and ReLUs: weights, outputs, gradients.

A network is ``(Linear, LayerNorm, ReLU) x L``, less the last norm and ReLU or with one more Linear,
as in X. Ju et al., "Performance of a geometric deep learning pipeline for HL-LHC particle tracking",
Eur. Phys. J. C 81 (2021) 876, arXiv:2103.06995. Its norm (Ba et al., arXiv:1607.06450) has neither
scale nor offset.

What is computed is theirs; how, is ours. The mean that a norm subtracts is linear in its input, so
it is subtracted from the weights before it, and of the norm only a factor for each row is left:
``n = a f`` with ``f = 1 / sqrt(mean(a^2) + epsilon)`` for a row ``a`` with mean zero. Gradients are
written by hand: they need few passes over the edges, and say themselves what is kept for them and
what is computed again.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any  # a tensor of whichever framework runs
Layers = list[tuple[Tensor, Tensor]]  # kernel (inputs, outputs) and bias (outputs,) of linear layers

NORM_EPSILON = 1e-5


def sum_dtype(dtype: str) -> str:
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

    def call(self, rows: Tensor) -> Tensor:
        """(rows, outputs) from (rows, inputs), gradients left to the framework."""
        first, *middle, last = cast_layers(self.linear(), rows.dtype)
        return linear(norm_relu_layers(linear(rows, first), middle)[0], last)

    def linear(self) -> Layers:
        """The linear layers, in the dtype of the weights; outputs that a norm follows have mean zero."""
        pairs = [(ops.copy(kernel), ops.copy(bias)) for kernel, bias in self._linear]
        return [*((_centred(kernel), _centred(bias)) for kernel, bias in pairs[:-1]), pairs[-1]]


def _centred(weights: Tensor) -> Tensor:
    return weights - ops.mean(weights, axis=-1, keepdims=True)


def cast_layers(layers: Layers, dtype: str) -> Layers:
    """The layers in another dtype."""
    return [(ops.cast(kernel, dtype), ops.cast(bias, dtype)) for kernel, bias in layers]


def linear(rows: Tensor, layer: tuple[Tensor, Tensor]) -> Tensor:
    """Rows times kernel plus bias."""
    kernel, bias = layer
    return ops.add(ops.matmul(rows, kernel), bias)  # ops.add, which frameworks fuse with a product


def norm_relu_layers(a: Tensor, layers: Layers) -> tuple[Tensor, Layers]:
    """Norm and ReLU, and for each of ``layers`` the layer, norm and ReLU.

    Args:
        a: (rows, h), with mean zero.
        layers: Linear layers whose outputs have mean zero.

    Returns:
        The output, and what the gradient needs: output (rows, h) and factor (rows, 1) of each norm.
    """
    output, kept = _norm(a)
    norms = [kept]
    for layer in layers:
        output, kept = _norm(linear(output, layer))
        norms.append(kept)
    return output, norms


def _norm(a: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    square = ops.mean(ops.square(ops.cast(a, sum_dtype(a.dtype))), axis=-1, keepdims=True)
    factor = ops.cast(ops.rsqrt(square + NORM_EPSILON), a.dtype)
    normed = a * factor
    return ops.relu(normed), (normed, factor)


def follow_gradient(upstream: Tensor, kept: Layers, layers: Layers) -> tuple[Tensor, list[Tensor]]:
    """Gradients of ``norm_relu_layers``.

    Of norm and ReLU, with n = a f, p = ReLU(n) and upstream gradient G: ``da = f (G [n > 0] - n mean(p G))``;
    of the layer before, with input p: ``dW = p^T da``, ``dp = da W^T``.

    Returns:
        The gradient of the input, and in ``sum_dtype`` those of kernel, bias, kernel, bias, ...
    """
    gradients: list[Tensor] = []
    *before, last = kept
    d_a = _norm_gradient(upstream, rectified(last, upstream), last)
    for norm, layer in zip(reversed(before), reversed(layers), strict=True):
        positive = rectified(norm, d_a)
        of_layer, d_positive = linear_gradient(d_a, positive, layer)
        d_a = _norm_gradient(d_positive, positive, norm)
        gradients = [*of_layer, *gradients]
    return d_a, gradients


def rectified(norm: tuple[Tensor, Tensor], upstream: Tensor) -> Tensor:
    """The ReLU of a norm that was kept, not before ``upstream``, the gradient from above, is there."""
    return ops.maximum(norm[0], zero_depending_on(upstream))


def linear_gradient(
    upstream: Tensor, rows: Tensor, layer: tuple[Tensor, Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Gradients of ``linear``: kernel and bias, in ``sum_dtype``, and the rows."""
    of_layer = [product(rows, upstream), _column_sums(upstream)]
    kernel = layer[0] + ops.cast(zero_depending_on(*of_layer), layer[0].dtype)
    return of_layer, ops.matmul(upstream, ops.transpose(kernel))


def _norm_gradient(upstream: Tensor, positive: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
    normed, factor = norm
    along = ops.mean(ops.cast(positive * upstream, sum_dtype(upstream.dtype)), axis=-1, keepdims=True)
    return factor * (upstream * ops.sign(positive) - normed * ops.cast(along, upstream.dtype))


def zero_depending_on(*tensors: Tensor) -> Tensor:
    """A zero that no compiler knows before the ``tensors``, not empty and of one dtype, are there.

    What it is added to cannot be computed earlier. That keeps work that nobody waits for, such as
    the gradients of weights, from being put off while the large arrays that it reads pile up; and
    work of the backward pass that is a repetition from being done in the forward pass.
    """
    corner = sum(ops.reshape(tensor, (-1,))[0] for tensor in tensors)
    return ops.where(corner == corner, ops.zeros_like(corner), corner)


def product(left: Tensor, right: Tensor) -> Tensor:
    """left^T right, multiplied in their own dtype and handed on in ``sum_dtype``."""
    # As einsum, which every framework computes without writing the transposed matrix to memory.
    return ops.cast(ops.einsum("er,ec->rc", left, right), sum_dtype(left.dtype))


def _column_sums(values: Tensor) -> Tensor:
    # As a product, which works through the rows in blocks; a sum goes over them column by column.
    ones = ops.ones((1, values.shape[0]), values.dtype)
    return ops.cast(ops.matmul(ones, values)[0], sum_dtype(values.dtype))
