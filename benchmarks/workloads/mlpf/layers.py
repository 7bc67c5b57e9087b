"""The graph layer of MLPF: learned distances, hashing into bins, a pair kernel, a gated convolution.

Array layouts used here and in ``model.py`` (``rows = events * elements``, padding included):
    features: (rows, F), compute dtype of the layer.
    mask: (rows, 1), wide dtype, 1 for a real element, 0 for padding.
    binned: (bins, bin_size, F), the rows of an event in the order of their hash codes, cut into
        consecutive chunks. A bin never holds rows of two events.

The wide dtype is that of the weights: float32, or float64 with that precision. With the ``mixed_``
precisions, the compute dtype is narrower.

Source: J. Pata et al., "MLPF: efficient machine-learned particle-flow reconstruction using graph
neural networks", Eur. Phys. J. C 81 (2021) 381, arXiv:2101.08578.

The formulae are those of the original benchmark. What is stored, and the order of the computation, are
chosen here. A padded row reaches a real one only through the pair kernel, where it has weight zero. The
mask is therefore applied there and at the outputs, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.operations import custom_gradient

Tensor = Any  # a tensor of whichever framework runs
Initializer = Callable[..., np.ndarray]

DISTANCE_DECAY = 0.1  # K = exp(-0.1 d)
MIN_SCALED_SQUARE = 1e-6 * DISTANCE_DECAY**2  # of squared distances, on the scale of pair_kernel
DEGREE_EPSILON = 1e-6


def glorot_uniform(rng: np.random.Generator) -> Initializer:
    """Returns Glorot and Bengio's uniform initializer, which draws with numpy: equal on every framework."""

    def draw(shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
        limit = np.sqrt(6.0 / (shape[0] + shape[1]))
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return draw


def normal(rng: np.random.Generator, sigma: float = 0.05) -> Initializer:
    """Returns a Gaussian initializer, which draws with numpy: equal on every framework."""

    def draw(shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
        return rng.normal(0.0, sigma, shape).astype(dtype)

    return draw


@custom_gradient
def permute_rows(rows: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    """Returns ``rows[order]``, whose gradient is the gather ``upstream[inverse]`` and not a scatter.

    Args:
        rows: (rows, F).
        order: (rows,) int32, a permutation.
        inverse: (rows,) int32, the inverse permutation.
    """

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return ops.take(upstream, inverse, axis=0), None, None

    return ops.take(rows, order, axis=0), gradient


def pair_kernel(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Computes the kernel and the distances within each bin.

    The squared distances come from one augmented product,
    ``[-2 q, |q|^2, 1] . [q, 1, |q|^2]``, and not from three terms that are added.

    Args:
        points: (bins, bin_size, D), already multiplied by ``DISTANCE_DECAY``.

    Returns:
        ``exp(-d)``, ``d`` and ``d^2`` before its lower limit, each (bins, bin_size, bin_size).
    """
    square = ops.sum(points * points, axis=-1, keepdims=True)
    one = ops.ones_like(square)
    left_factor = ops.concatenate([-2.0 * points, square, one], axis=-1)
    right_factor = ops.concatenate([points, one, square], axis=-1)
    squared = ops.matmul(left_factor, _transpose(right_factor))
    distance = ops.sqrt(ops.maximum(squared, MIN_SCALED_SQUARE))
    return ops.exp(-distance), distance, squared


def _transpose(matrix: Tensor) -> Tensor:
    return ops.swapaxes(matrix, -1, -2)


def _convolve(points: Tensor, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    kernel, _, _ = pair_kernel(points)
    degree = ops.matmul(kernel, mask)
    norm = ops.rsqrt(degree + DEGREE_EPSILON) * mask
    kernel = ops.cast(kernel, features.dtype)
    mixed = ops.matmul(kernel, ops.cast(norm, features.dtype) * features)
    return ops.cast(norm, features.dtype) * mixed, norm


def _convolve_gradient(
    points: Tensor, features: Tensor, mask: Tensor, norm: Tensor, output: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor]:
    """Computes the gradients of ``_convolve``, with the pair matrices computed again instead of kept.

    With ``u = n f``, ``v = K u``, ``output = n v`` and ``G`` the upstream gradient::

        df = n K (n G)
        dn = G.v + f.K(n G)
        d(degree) = -n^3 dn / 2
        dK_ij = n_i G_i.u_j + d(degree)_i m_j
        S = -dK K / (2 d)                            (the gradient of the squared distance)
        dq_i = 2 sum_j (S_ij + S_ji) (q_i - q_j)

    Returns:
        Gradients of the points and of the features, with the shapes and dtypes of these.
    """
    # The features pass through the kernel alone, so their gradient is a product with it.
    dtype = features.dtype
    kernel, distance, squared = pair_kernel(points)
    cast_norm = ops.cast(norm, dtype)
    scaled = cast_norm * upstream
    through_kernel = ops.matmul(ops.cast(kernel, dtype), scaled)
    d_features = cast_norm * through_kernel

    # Sums over the features are taken in the wide dtype. On padding, where the norm is 0, the output
    # is 0, too, and any other divisor does.
    wide_dtype = points.dtype
    divisor = ops.where(mask > 0, norm, 1.0)
    d_norm = ops.sum(ops.cast(upstream * output, wide_dtype), axis=-1, keepdims=True) / divisor
    d_norm = d_norm + ops.sum(ops.cast(through_kernel * features, wide_dtype), axis=-1, keepdims=True)
    d_degree = -0.5 * d_norm * norm**3

    # One augmented product gives both terms of the kernel's gradient.
    left_factor = ops.concatenate([scaled, ops.cast(d_degree, dtype)], axis=-1)
    right_factor = ops.concatenate([cast_norm * features, ops.cast(mask, dtype)], axis=-1)
    d_kernel = ops.matmul(left_factor, _transpose(right_factor))

    # Pairs closer than the minimum distance sit on the flat of the maximum: no gradient there.
    slope = ops.where(squared > MIN_SCALED_SQUARE, kernel / distance, 0.0)
    weight = d_kernel * ops.cast(slope, dtype)

    # The column of ones gives the sums of the weights that stand beside q_i.
    augmented = ops.concatenate([ops.cast(points, dtype), ops.ones_like(cast_norm)], axis=-1)
    sums = ops.matmul(weight, augmented) + ops.matmul(_transpose(weight), augmented)
    sums = ops.cast(sums, wide_dtype)
    return sums[..., :-1] - sums[..., -1:] * points, d_features


def pair_convolution(points: Tensor, features: Tensor, mask: Tensor) -> Tensor:
    """Passes normalised messages between all pairs of a bin, and keeps no matrix of pairs for the gradient.

    The result is ``n_i sum_j K_ij n_j f_j`` with ``K_ij = exp(-0.1 |q_i - q_j|) m_i m_j`` and
    ``n_i = m_i / sqrt(sum_j K_ij)``.

    Args:
        points: (bins, bin_size, D), q, in the wide dtype, because distances of near points cancel.
        features: (bins, bin_size, F), f, in the compute dtype.
        mask: (bins, bin_size, 1), m, in the wide dtype.

    Returns:
        (bins, bin_size, F) in the compute dtype.
    """

    @custom_gradient
    def convolution(points: Tensor, features: Tensor) -> Tensor:
        output, norm = _convolve(points, features, mask)

        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
            return _convolve_gradient(points, features, mask, norm, output, upstream)

        return output, gradient

    result: Tensor = convolution(points * DISTANCE_DECAY, features)
    return result


class GraphLayer(keras.layers.Layer):  # type: ignore[misc]
    """One graph layer: (rows, F) features to (rows, units) features.

    Two dense layers, elu and linear, give each element a point ``q``. Locality-sensitive hashing of the
    points sorts the elements of an event, and consecutive chunks of ``bin_size`` elements are the bins.
    The output is ``elu(g hom + (1 - g) het)`` with ``hom`` the pair convolution of ``h theta``,
    ``het = h W_h`` and the gate ``g = sigmoid(h W_t + b_t)``.

    Args:
        rng: Draws the initial weights.
        units: Features of the output.
        distance_dim: Dimensions of the points.
        max_bins: Bins of an event that the codebook suffices for.
    """

    def __init__(
        self, rng: np.random.Generator, units: int, distance_dim: int, max_bins: int, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # points and mask stay wide
        self.rng = rng
        self.units = units
        self.distance_dim = distance_dim
        self.max_bins = max_bins

    def build(self, features: tuple[int | None, int]) -> None:
        """Draws the initial weights for (rows, F) features."""
        # All weights come from one generator: their order decides their values, so it must not change.
        width = features[-1]
        gaussian = normal(self.rng)

        def dense(activation: str) -> keras.layers.Dense:
            return keras.layers.Dense(
                self.distance_dim,
                activation=activation,
                kernel_initializer=glorot_uniform(self.rng),
                dtype=self.dtype_policy,
            )

        self.hidden, self.point = dense("elu"), dense("linear")
        self.hidden.build((None, width))
        self.point.build((None, self.distance_dim))

        def weight(name: str, *shape: int, trainable: bool = True) -> Tensor:
            return self.add_weight(name=name, shape=shape, initializer=gaussian, trainable=trainable)

        self.codebook = weight("codebook", self.distance_dim, self.max_bins // 2, trainable=False)
        self.theta = weight("theta", width, self.units)
        self.het = weight("het", width, self.units)
        self.gate = weight("gate", width, self.units)
        self.gate_bias = weight("gate_bias", self.units)

    def call(self, features: Tensor, mask: Tensor, *, shape: tuple[int, int, int]) -> Tensor:
        """Applies the layer.

        Args:
            features: (rows, F), compute dtype.
            mask: (rows, 1), wide dtype.
            shape: Events, elements of an event with padding, elements of a bin.

        Returns:
            (rows, units), compute dtype.
        """
        # Near points differ in their last digits only, so hashing and distances are in the wide dtype.
        points = ops.cast(self.point(self.hidden(features)), self.variable_dtype)
        order, inverse = self.hash_order(points, mask, shape)
        binned = (shape[0] * shape[1] // shape[2], shape[2], -1)

        def to_bins(rows: Tensor) -> Tensor:
            return ops.reshape(permute_rows(rows, order, inverse), binned)

        def project(weights: Tensor) -> Tensor:
            return ops.matmul(features, ops.cast(weights, self.compute_dtype))

        # Only the convolution looks at pairs. The rest is computed in the order of the event.
        messages = pair_convolution(
            to_bins(points),
            to_bins(project(self.theta)),
            ops.reshape(ops.take(mask, order, axis=0), binned),
        )
        hom = permute_rows(ops.reshape(messages, (-1, self.units)), inverse, order)
        het = project(self.het)
        gate = ops.sigmoid(project(self.gate) + ops.cast(self.gate_bias, self.compute_dtype))
        return ops.elu(het + gate * (hom - het))

    def hash_order(self, points: Tensor, mask: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Returns the order of the rows by hash code, and its inverse, both (rows,) int32.

        The code is the argmax over ``[P, -P]`` of the random projections ``P = q R``, with one pair of
        columns for two bins. Padding gets codes from ``bins - 1`` up. It comes after every real
        element, because it does so in the event and the sort is stable.
        """
        events, elements, bin_size = shape
        bins = elements // bin_size
        projected = ops.matmul(ops.stop_gradient(points), self.codebook[:, : bins // 2])
        code = ops.argmax(ops.concatenate([projected, -projected], axis=-1), axis=-1)
        code = ops.cast(code, "int32") + ops.cast((1.0 - mask[:, 0]) * (bins - 1), "int32")
        order = ops.argsort(ops.reshape(code, (events, elements)), axis=-1)
        inverse = ops.argsort(order, axis=-1)
        start = ops.expand_dims(ops.arange(events, dtype="int32") * elements, 1)
        return (
            ops.reshape(ops.cast(order, "int32") + start, (-1,)),
            ops.reshape(ops.cast(inverse, "int32") + start, (-1,)),
        )
