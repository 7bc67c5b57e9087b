"""The MLPF model of the benchmark (PFNetDense): events in, one particle candidate per element out.

Inputs, (events, elements, 12), and targets are laid out as ``datasets.delphes.simulation`` says. The output,
(events, elements, 12) in the wide dtype of ``layers``, is 0 on padding and has these columns:
    0 to 5: class logits (none, charged hadron, neutral hadron, photon, electron, muon).
    6: charge.
    7: pt, GeV.
    8: eta.
    9, 10: sin phi, cos phi.
    11: energy, GeV.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.workloads.mlpf.config import (
    CLASSES,
    DISTANCE_DIM,
    ENCODED_WIDTH,
    GRAPH_LAYERS,
    HEADS,
    MAX_BINS,
    READS_ENERGY_STACK,
    READS_LOGITS,
    UNITS,
    head_inputs,
)
from benchmarks.workloads.mlpf.layers import GraphLayer, Tensor, glorot_uniform

ELEMENT_TYPES = 3

LAYER_NORM_EPSILON = 1e-3
SOFTMAX_SHARPNESS = 100.0
MAX_ETA = 8.0


class Head(keras.layers.Layer):  # type: ignore[misc]
    """The weights of a head, and its layers after the first one.

    The decoder computes the first layers of all heads in one product.

    Args:
        rng: Draws the initial weights.
        name: Key of ``HEADS``.
        inputs: Features that the head reads.
    """

    def __init__(self, rng: np.random.Generator, name: str, inputs: int, **kwargs: Any) -> None:
        super().__init__(name=name, autocast=False, **kwargs)
        widths = HEADS[name]
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs, widths[0]), initializer=glorot_uniform(rng)
        )
        self.bias = self.add_weight(name="bias", shape=(widths[0],), initializer="zeros")
        self.later_layers = [
            keras.layers.Dense(
                width, activation="elu", kernel_initializer=glorot_uniform(rng), dtype=self.dtype_policy
            )
            for width in widths[1:]
        ]
        self.later_layers[-1].activation = keras.activations.linear
        for dense, width in zip(self.later_layers, widths, strict=False):
            dense.build((None, width))

    def call(self, first: Tensor) -> Tensor:
        """Computes the head's output, (rows, outputs), from the first layer's sums, (rows, 256)."""
        hidden = ops.elu(first + ops.cast(self.bias, first.dtype))
        for dense in self.later_layers:
            hidden = dense(hidden)
        return hidden


class MLPF(keras.Model):  # type: ignore[misc]
    """Two stacks of graph layers (common, energy) and six decoding heads.

    Args:
        rng: Draws the initial weights.
        bin_size: Elements of a bin.
        layers: Graph layers of a stack.
        units: Features of a graph layer's output.
        distance_dim: Dimensions in which the graph layers measure distances.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        bin_size: int = 640,
        layers: int = GRAPH_LAYERS,
        units: int = UNITS,
        distance_dim: int = DISTANCE_DIM,
        **kwargs: Any,
    ) -> None:
        # Inputs stay wide, because the heads correct eta and phi and do not make them.
        super().__init__(autocast=False, **kwargs)
        self.bin_size = bin_size

        def stack(name: str) -> list[GraphLayer]:
            graph_layers = []
            for index in range(layers):
                layer = GraphLayer(rng, units, distance_dim, MAX_BINS, name=f"{name}_{index}")
                layer.build((None, units if index else ENCODED_WIDTH))
                graph_layers.append(layer)
            return graph_layers

        # The layer norm before the heads has its scale and offset here, where the heads can share them.
        self.common, self.energy = stack("common"), stack("energy")
        decoded_width = ENCODED_WIDTH + layers * units
        self.scale = self.add_weight(name="norm_scale", shape=(decoded_width,), initializer="ones")
        self.offset = self.add_weight(name="norm_offset", shape=(decoded_width,), initializer="zeros")

        # Both copies of the doubled features have weights, so that a head has the original's parameters.
        self.heads = {}
        for name in HEADS:
            self.heads[name] = Head(rng, name, head_inputs(name, decoded_width, layers * units))
        self.built = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:  # noqa: ARG002 (Keras' signature)
        """Computes predictions, (events, elements, 12), from inputs, (events, elements, 12)."""
        # Column 0 is the type of an element, and 0 on padding.
        events, elements, columns = inputs.shape
        shape = (events, elements, self.bin_size)
        rows = ops.reshape(inputs, (-1, columns))
        mask = ops.cast(rows[:, :1] != 0, self.variable_dtype)
        kind = ops.one_hot(ops.cast(rows[:, 0], "int32"), ELEMENT_TYPES, dtype=self.compute_dtype)
        encoded = ops.concatenate([kind, ops.cast(rows[:, 1:], self.compute_dtype)], axis=-1)

        common, energy = [encoded], [encoded]
        for stack, outputs in ((self.common, common), (self.energy, energy)):
            for layer in stack:
                outputs.append(layer(outputs[-1], mask, shape=shape))
        decoded = self.decode(rows, mask, common, energy[1:])
        return ops.reshape(decoded, (events, elements, -1))

    def decode(self, rows: Tensor, mask: Tensor, common: list[Tensor], energy: list[Tensor]) -> Tensor:
        """Computes predictions, (rows, 12), from what the graph layers made.

        Args:
            rows: (rows, 12), inputs.
            mask: (rows, 1), wide dtype.
            common: Encoded inputs and the common stack's outputs, each (rows, F).
            energy: The energy stack's outputs, each (rows, F).
        """
        # The first layers of all heads are one product with Z. Scale and offset of the norm are linear,
        # so they go into its weights.
        normed = layer_norm(ops.concatenate(common, axis=-1))
        width = normed.shape[-1]
        on_norm = ops.concatenate([head.kernel[:width] for head in self.heads.values()], axis=-1)
        on_norm = ops.convert_to_tensor(on_norm)
        constant = ops.matmul(self.offset[None], on_norm)
        scaled = ops.cast(self.scale[:, None] * on_norm, normed.dtype)
        first_sums = ops.matmul(normed, scaled) + ops.cast(constant, normed.dtype)
        first = dict(zip(self.heads, ops.split(first_sums, len(self.heads), axis=-1), strict=True))

        # Four heads read the logits, too, and two of these the doubled features, which are read once here.
        logits = mask * ops.cast(self.heads["id"](first["id"]), self.variable_dtype)
        fixed = ops.cast(ops.stop_gradient(logits), normed.dtype)
        features = ops.concatenate(energy, axis=-1)
        for name in READS_LOGITS:
            kernel = self.heads[name].kernel
            on_logits = kernel[width : width + CLASSES]
            if name in READS_ENERGY_STACK:
                on_logits = on_logits + kernel[-CLASSES:]
                doubled = kernel[width + CLASSES : -CLASSES]
                first[name] = first[name] + ops.matmul(features, self._fold(doubled))
            first[name] = first[name] + ops.matmul(fixed, ops.cast(on_logits, fixed.dtype))

        # Momenta are made of the heads' outputs in the wide dtype.
        outputs = {
            name: ops.cast(self.heads[name](first[name]), self.variable_dtype)
            for name in HEADS
            if name != "id"
        }
        return ops.concatenate([logits, mask * self._momentum(rows, logits, outputs)], axis=-1)

    def _fold(self, doubled: Tensor) -> Tensor:
        """Adds the two weight blocks of each energy layer, which are stored as [e1, e1, e2, e2, ...]."""
        layers = len(self.energy)
        blocks = ops.reshape(doubled, (layers, 2, -1, doubled.shape[-1]))
        return ops.cast(ops.reshape(ops.sum(blocks, axis=1), (-1, doubled.shape[-1])), self.compute_dtype)

    @staticmethod
    def _momentum(rows: Tensor, logits: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """Computes charge, pt, eta, sin phi, cos phi and energy, (rows, 6), from the heads' outputs."""
        dtype = logits.dtype
        eta = ops.cast(rows[:, 2:3], dtype) + outputs["eta"][:, 1:2]
        sin_phi = ops.cast(rows[:, 3:4], dtype) + outputs["phi"][:, 1:2]
        cos_phi = ops.cast(rows[:, 4:5], dtype) + outputs["phi"][:, 3:4]
        sharp = ops.softmax(SOFTMAX_SHARPNESS * ops.stop_gradient(logits), axis=-1)
        energy = ops.sum(sharp * outputs["energy"], axis=-1, keepdims=True)
        start = ops.stop_gradient(energy / ops.cosh(ops.clip(eta, -MAX_ETA, MAX_ETA)))
        pt = start + ops.sigmoid(outputs["pt"][:, :1]) * outputs["pt"][:, 1:]
        return ops.concatenate([outputs["charge"], pt, eta, sin_phi, cos_phi, energy], axis=-1)


def layer_norm(features: Tensor) -> Tensor:
    """Shifts and scales each row to mean 0 and variance 1 (Ba et al., arXiv:1607.06450).

    The norm's own scale and offset are applied later. Statistics are computed in float32 or wider.

    Args:
        features: (rows, F).
    """
    values = ops.cast(features, keras.backend.result_type(features.dtype, "float32"))
    centred = values - ops.mean(values, axis=-1, keepdims=True)
    variance = ops.mean(centred * centred, axis=-1, keepdims=True)
    return ops.cast(centred * ops.rsqrt(variance + LAYER_NORM_EPSILON), features.dtype)
