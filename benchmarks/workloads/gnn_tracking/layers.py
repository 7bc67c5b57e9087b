"""Networks of linear layers, layer norms and ReLUs: weights, outputs, gradients.

A network is ``(Linear, LayerNorm, ReLU) x L``, less the last norm and ReLU or with one more Linear,
as in X. Ju et al., "Performance of a geometric deep learning pipeline for HL-LHC particle tracking",
Eur. Phys. J. C 81 (2021) 876, arXiv:2103.06995. Its norm (Ba et al., arXiv:1607.06450) has neither
scale nor offset.

The formulae are theirs, and the way to compute them is chosen here. The mean that a norm subtracts is
linear in its input. It is therefore subtracted from the weights of the layer before, and the norm becomes a
factor for each row: ``n = a f`` with ``f = 1 / sqrt(mean(a^2) + epsilon)`` for a row ``a`` with mean zero.
Gradients are written by hand: they need few passes over the edges, and decide which activations are kept
for them and which are computed again.
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
    """Returns the dtype of sums and statistics: float64 for float64, float32 for all others."""
    return str(keras.backend.result_type(dtype, "float32"))


class Network(keras.layers.Layer):  # type: ignore[misc]
    """Weights of a network, drawn by numpy uniformly in +-1/sqrt(inputs), so equal on every framework.

    Args:
        rng: Draws the initial weights.
        inputs: Features of a row.
        widths: Features after each linear layer.
    """

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
        """Computes (rows, outputs) from (rows, inputs), and leaves the gradients to the framework."""
        first, *middle, last = cast_layers(self.linear(), rows.dtype)
        return linear(norm_relu_layers(linear(rows, first), middle)[0], last)

    def linear(self) -> Layers:
        """Returns the linear layers in the dtype of the weights.

        The mean is subtracted from the weights of a layer that a norm follows: its outputs have mean zero.
        """
        pairs = [(ops.copy(kernel), ops.copy(bias)) for kernel, bias in self._linear]
        normed = ((_subtract_mean(kernel), _subtract_mean(bias)) for kernel, bias in pairs[:-1])
        return [*normed, pairs[-1]]


def _subtract_mean(weights: Tensor) -> Tensor:
    return weights - ops.mean(weights, axis=-1, keepdims=True)


def cast_layers(layers: Layers, dtype: str) -> Layers:
    """Converts kernels and biases to a dtype."""
    return [(ops.cast(kernel, dtype), ops.cast(bias, dtype)) for kernel, bias in layers]


def linear(rows: Tensor, layer: tuple[Tensor, Tensor]) -> Tensor:
    """Multiplies rows, (rows, inputs), with a kernel and adds a bias: (rows, outputs)."""
    kernel, bias = layer
    # As ops.add, because frameworks fuse it with a product.
    return ops.add(ops.matmul(rows, kernel), bias)


def norm_relu_layers(a: Tensor, layers: Layers) -> tuple[Tensor, Layers]:
    """Applies norm and ReLU, and then for each of ``layers`` the linear layer, norm and ReLU.

    Args:
        a: (rows, h), each row with mean zero.
        layers: Linear layers whose outputs have mean zero.

    Returns:
        The output, (rows, h), and the activations that the gradient needs: of each norm its output,
        (rows, h), and its factor, (rows, 1).
    """
    output, norm = _norm_relu(a)
    norms = [norm]
    for layer in layers:
        output, norm = _norm_relu(linear(output, layer))
        norms.append(norm)
    return output, norms


def _norm_relu(a: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    square = ops.mean(ops.square(ops.cast(a, sum_dtype(a.dtype))), axis=-1, keepdims=True)
    factor = ops.cast(ops.rsqrt(square + NORM_EPSILON), a.dtype)
    normed = a * factor
    return ops.relu(normed), (normed, factor)


def norm_relu_layers_gradient(upstream: Tensor, norms: Layers, layers: Layers) -> tuple[Tensor, list[Tensor]]:
    """Computes the gradients of ``norm_relu_layers``.

    Norm and ReLU, ``n = a f`` and ``p = ReLU(n)`` with upstream gradient ``G``, have
    ``da = f (G [n > 0] - n mean(p G))``. The linear layer before them, with input ``p``, has
    ``dW = p^T da`` and ``dp = da W^T``.

    Args:
        upstream: (rows, h), gradient of the output.
        norms: Activations as ``norm_relu_layers`` returns them.
        layers: Its linear layers.

    Returns:
        The gradient of ``a``, and in ``sum_dtype`` those of kernel, bias, kernel, bias, ...
    """
    gradients: list[Tensor] = []
    *before, last = norms
    d_a = _norm_gradient(upstream, relu_after(upstream, last), last)
    for norm, layer in zip(reversed(before), reversed(layers), strict=True):
        positive = relu_after(d_a, norm)
        of_layer, d_positive = linear_gradient(d_a, positive, layer)
        d_a = _norm_gradient(d_positive, positive, norm)
        gradients = [*of_layer, *gradients]
    return d_a, gradients


def relu_after(upstream: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
    """Computes the ReLU of a norm again, but not before the upstream gradient is there.

    Args:
        upstream: The gradient to wait for.
        norm: Output and factor of the norm.
    """
    return ops.maximum(norm[0], zero_depending_on(upstream))


def linear_gradient(
    upstream: Tensor, rows: Tensor, layer: tuple[Tensor, Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Computes the gradients of ``linear``: kernel and bias, in ``sum_dtype``, and the rows."""
    of_layer = [product(rows, upstream), _column_sums(upstream)]
    kernel = layer[0] + ops.cast(zero_depending_on(*of_layer), layer[0].dtype)
    return of_layer, ops.matmul(upstream, ops.transpose(kernel))


def _norm_gradient(upstream: Tensor, positive: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
    normed, factor = norm
    along = ops.mean(ops.cast(positive * upstream, sum_dtype(upstream.dtype)), axis=-1, keepdims=True)
    return factor * (upstream * ops.sign(positive) - normed * ops.cast(along, upstream.dtype))


def zero_depending_on(*tensors: Tensor) -> Tensor:
    """Returns a zero that no compiler knows before the tensors are there.

    A result to which you add it cannot be computed earlier. This has two uses. Work that nobody waits for,
    such as the gradients of weights, is not put off while the large arrays that it reads pile up. Work that
    the backward pass repeats is not done in the forward pass.

    Args:
        tensors: Not empty, and all of one dtype.
    """
    corner = sum(ops.reshape(tensor, (-1,))[0] for tensor in tensors)
    return ops.where(corner == corner, ops.zeros_like(corner), corner)


def product(rows: Tensor, upstream: Tensor) -> Tensor:
    """Returns rows^T upstream, multiplied in the dtype of both and converted to ``sum_dtype``."""
    # As einsum, which every framework computes without writing the transposed matrix to memory.
    return ops.cast(ops.einsum("er,ec->rc", rows, upstream), sum_dtype(rows.dtype))


def _column_sums(values: Tensor) -> Tensor:
    # As a product, which works through the rows in blocks. A sum would go over them column by column.
    ones = ops.ones((1, values.shape[0]), values.dtype)
    return ops.cast(ops.matmul(ones, values)[0], sum_dtype(values.dtype))
