"""The MLPF model of the benchmark (PFNetDense): events in, one particle candidate per element out.

Layout of the inputs, (events, elements, 12), and targets: ``datasets.delphes.simulation``. Layout of the
output, (events, elements, 12), wide dtype, zero on padding: columns 0 to 5 the class logits (none, charged
hadron, neutral hadron, photon, electron, muon); 6 charge, 7 pt (GeV), 8 eta, 9 sin phi, 10 cos phi,
11 energy (GeV).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.workloads.mlpf.config import CLASSES, MAX_BINS
from benchmarks.workloads.mlpf.layers import GraphLayer, Tensor, glorot_uniform

ELEMENT_TYPES = 3
INPUT_COLUMNS = 12

LAYER_NORM_EPSILON = 1e-3
SOFTMAX_SHARPNESS = 100.0
MAX_ETA = 8.0

# name: layer widths, output last. id and charge read Z; eta and phi read [Z, logits]; energy and pt
# read [Z, logits, energy features twice, logits]: the doubling is the original's, and folded here.
HEADS: dict[str, tuple[int, ...]] = {
    "id": (256, 128, 64, 32, CLASSES),
    "charge": (256, 128, 1),
    "eta": (256, 128, 64, 2),
    "phi": (256, 128, 64, 4),
    "energy": (256, 128, 64, CLASSES),
    "pt": (256, 128, 64, 2),
}
READS_LOGITS = ("eta", "phi", "energy", "pt")
READS_ENERGY_STACK = ("energy", "pt")


class Head(keras.layers.Layer):  # type: ignore[misc]
    """A head's dense layers after the first, whose product with Z the decoder merges."""

    def __init__(self, rng: np.random.Generator, name: str, inputs: int, **kwargs: Any) -> None:
        super().__init__(name=name, autocast=False, **kwargs)
        widths = HEADS[name]
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs, widths[0]), initializer=glorot_uniform(rng)
        )
        self.bias = self.add_weight(name="bias", shape=(widths[0],), initializer="zeros")
        self.rest = [
            keras.layers.Dense(
                width, activation="elu", kernel_initializer=glorot_uniform(rng), dtype=self.dtype_policy
            )
            for width in widths[1:]
        ]
        self.rest[-1].activation = keras.activations.linear
        for dense, width in zip(self.rest, widths, strict=False):
            dense.build((None, width))

    def call(self, first: Tensor) -> Tensor:
        """First layer's sums, (rows, 256), to the head's output."""
        hidden = ops.elu(first + ops.cast(self.bias, first.dtype))
        for dense in self.rest:
            hidden = dense(hidden)
        return hidden


class MLPF(keras.Model):  # type: ignore[misc]
    """Two stacks of graph layers (common, energy) and six decoding heads."""

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        bin_size: int = 640,
        layers: int = 3,
        units: int = 256,
        distance_dim: int = 128,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # inputs stay wide: eta, phi are corrected, not made
        self.bin_size = bin_size
        encoded = ELEMENT_TYPES + INPUT_COLUMNS - 1

        def stack(name: str) -> list[GraphLayer]:
            made = []
            for index in range(layers):
                layer = GraphLayer(rng, units, distance_dim, MAX_BINS, name=f"{name}_{index}")
                layer.build((None, units if index else encoded))
                made.append(layer)
            return made

        self.common, self.energy = stack("common"), stack("energy")
        decoded = encoded + layers * units
        self.scale = self.add_weight(name="norm_scale", shape=(decoded,), initializer="ones")
        self.offset = self.add_weight(name="norm_offset", shape=(decoded,), initializer="zeros")
        self.heads = {}
        for name in HEADS:
            inputs = decoded + (CLASSES if name in READS_LOGITS else 0)
            inputs += (2 * layers * units + CLASSES) if name in READS_ENERGY_STACK else 0
            self.heads[name] = Head(rng, name, inputs)
        self.built = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:  # noqa: ARG002 (Keras' signature)
        """(events, elements, 12) inputs to (events, elements, 12) predictions."""
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
        """Heads: the six first layers in one product with Z, the doubled features folded.

        Args:
            rows: (rows, 12) inputs.
            mask: (rows, 1).
            common: Encoded inputs and the common stack's outputs, each (rows, F).
            energy: The energy stack's outputs, each (rows, F).
        """
        normed = layer_norm(ops.concatenate(common, axis=-1))
        decoded = normed.shape[-1]
        on_norm = ops.concatenate([head.kernel[:decoded] for head in self.heads.values()], axis=-1)
        on_norm = ops.convert_to_tensor(on_norm)
        constant = ops.matmul(self.offset[None], on_norm)
        scaled = ops.cast(self.scale[:, None] * on_norm, normed.dtype)
        merged = ops.matmul(normed, scaled) + ops.cast(constant, normed.dtype)
        first = dict(zip(self.heads, ops.split(merged, len(self.heads), axis=-1), strict=True))

        wide = self.variable_dtype
        logits = mask * ops.cast(self.heads["id"](first["id"]), wide)
        fixed = ops.cast(ops.stop_gradient(logits), normed.dtype)
        features = ops.concatenate(energy, axis=-1)
        for name in READS_LOGITS:
            kernel = self.heads[name].kernel
            on_logits = kernel[decoded : decoded + CLASSES]
            if name in READS_ENERGY_STACK:
                on_logits = on_logits + kernel[-CLASSES:]
                doubled = kernel[decoded + CLASSES : -CLASSES]
                first[name] = first[name] + ops.matmul(features, self._fold(doubled))
            first[name] = first[name] + ops.matmul(fixed, ops.cast(on_logits, fixed.dtype))

        out = {name: ops.cast(self.heads[name](first[name]), wide) for name in HEADS if name != "id"}
        return ops.concatenate([logits, mask * self._momentum(rows, logits, out)], axis=-1)

    def _fold(self, doubled: Tensor) -> Tensor:
        """Sums the two weight blocks of each energy layer, stored as [e1, e1, e2, e2, ...]."""
        layers = len(self.energy)
        blocks = ops.reshape(doubled, (layers, 2, -1, doubled.shape[-1]))
        return ops.cast(ops.reshape(ops.sum(blocks, axis=1), (-1, doubled.shape[-1])), self.compute_dtype)

    @staticmethod
    def _momentum(rows: Tensor, logits: Tensor, out: dict[str, Tensor]) -> Tensor:
        """Charge, pt, eta, sin phi, cos phi, energy from the heads' raw outputs."""
        wide = logits.dtype
        eta = ops.cast(rows[:, 2:3], wide) + out["eta"][:, 1:2]
        sin_phi = ops.cast(rows[:, 3:4], wide) + out["phi"][:, 1:2]
        cos_phi = ops.cast(rows[:, 4:5], wide) + out["phi"][:, 3:4]
        sharp = ops.softmax(SOFTMAX_SHARPNESS * ops.stop_gradient(logits), axis=-1)
        energy = ops.sum(sharp * out["energy"], axis=-1, keepdims=True)
        start = ops.stop_gradient(energy / ops.cosh(ops.clip(eta, -MAX_ETA, MAX_ETA)))
        pt = start + ops.sigmoid(out["pt"][:, :1]) * out["pt"][:, 1:]
        return ops.concatenate([out["charge"], pt, eta, sin_phi, cos_phi, energy], axis=-1)


def layer_norm(features: Tensor) -> Tensor:
    """Rows to mean 0 and variance 1 (Ba et al., arXiv:1607.06450); scale and offset follow later.

    Statistics in float32 or wider.
    """
    wide = keras.backend.result_type(features.dtype, "float32")
    values = ops.cast(features, wide)
    centred = values - ops.mean(values, axis=-1, keepdims=True)
    variance = ops.mean(centred * centred, axis=-1, keepdims=True)
    return ops.cast(centred * ops.rsqrt(variance + LAYER_NORM_EPSILON), features.dtype)
