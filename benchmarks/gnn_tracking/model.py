"""The interaction network: a graph of hits in, a logit for each edge out.

With MLPs as ``layers.Network`` says, hidden size h and sums over the edges that lead to a node:

    x = encode_nodes(features),  e = encode_edges([x_sender, x_receiver])
    8 times, with the same weights:
        x = x + update_nodes([x, sum e])          (or [x, sum e, max e])
        e = e + update_edges([x_sender, x_receiver, e])
    logit = score([x_sender, x_receiver, e])

Source: X. Ju et al., Eur. Phys. J. C 81 (2021) 876, arXiv:2103.06995. Array layouts: ``edges.py``; whether
edges lead one way or both is up to ``events.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.gnn_tracking.config import piece_count
from benchmarks.gnn_tracking.edges import Edges, network_on_edges
from benchmarks.gnn_tracking.layers import Network, Tensor, follow, narrowed, wide

NODE_FEATURES = 3


@dataclass(frozen=True)
class Shape:
    """What decides how many parameters a model has."""

    hidden: int = 64
    node_layers: int = 3
    edge_layers: int = 3
    iterations: int = 8
    with_max: bool = False


class InteractionNetwork(keras.Model):  # type: ignore[misc]
    """The published model; how it uses memory is a choice that leaves its results as they are.

    Args:
        rng: Draws the initial weights.
        shape: Layers and widths.
        keep: Keep all activations for the backward pass; otherwise those of each iteration only.
        piece_edges: Work through the edges in pieces of at most so many; 0 for one piece. Not with ``keep``.
        fixed_sums: See ``edges.Edges``.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        shape: Shape,
        *,
        keep: bool = True,
        piece_edges: int = 0,
        fixed_sums: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.shape, self.keep, self.piece_edges, self.fixed_sums = shape, keep, piece_edges, fixed_sums
        h = shape.hidden
        on_nodes, on_edges = [h] * shape.node_layers, [h] * shape.edge_layers
        self.encode_nodes = Network(rng, NODE_FEATURES, on_nodes)
        self.encode_edges = Network(rng, 2 * h, on_edges)
        self.update_edges = Network(rng, 3 * h, on_edges)
        self.update_nodes = Network(rng, (3 if shape.with_max else 2) * h, on_nodes)
        self.score = Network(rng, 3 * h, [*on_edges, 1])
        self.built = True

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> Tensor:  # noqa: ARG002 (Keras' signature)
        """(padded edges,) logits in float32 or wider, from the inputs that ``events.py`` lays out."""
        features = inputs["nodes"]
        edges = Edges(
            inputs["senders"],
            inputs["receivers"],
            inputs["sender_order"],
            nodes=features.shape[0],
            pieces=piece_count(inputs["senders"].shape[0], self.piece_edges),
            keep=self.keep,
            fixed_sums=self.fixed_sums,
        )
        again = (lambda function: function) if self.keep else keras.remat
        collect = ("sum", "max") if self.shape.with_max else ("sum",)

        encode = again(lambda rows: self._on_nodes(self.encode_nodes, rows))
        x = encode(ops.cast(features, self.compute_dtype))
        e, *collected = self._on_edges(self.encode_edges, edges, x, collect=collect)

        update = again(
            lambda *parts: parts[0] + self._on_nodes(self.update_nodes, ops.concatenate(parts, axis=-1))
        )

        def iterate(x: Tensor, e: Tensor, *collected: Tensor) -> tuple[Tensor, ...]:
            x = update(x, *collected)
            return x, *self._on_edges(self.update_edges, edges, x, e, residual=True, collect=collect)

        def several(count: int, *state: Tensor) -> tuple[Tensor, ...]:
            for _ in range(count):
                state = iterate(*state)
            return state

        state = (x, e, *collected)
        for count in _blocks(self.shape.iterations, edges.pieces):
            block = partial(several, count)
            state = (keras.remat(block) if count > 1 else block)(*state)
        (logits,) = self._on_edges(self.score, edges, *state[:2])
        return ops.cast(logits[:, 0], wide(logits.dtype))

    def _on_nodes(self, network: Network, rows: Tensor) -> Tensor:
        (kernel, bias), *rest = narrowed(network.linear(), rows.dtype)
        return follow(ops.matmul(rows, kernel) + bias, rest)[0]

    def _on_edges(
        self, network: Network, edges: Edges, x: Tensor, e: Tensor | None = None, **options: Any
    ) -> tuple[Tensor, ...]:
        (kernel, bias), *rest = network.linear()
        h = self.shape.hidden
        at_sender, at_receiver = (ops.cast(kernel[i * h : (i + 1) * h], x.dtype) for i in (0, 1))
        return network_on_edges(
            edges,
            ops.matmul(x, at_sender),
            ops.matmul(x, at_receiver) + ops.cast(bias, x.dtype),
            rest,
            None if e is None else (e, kernel[2 * h :]),
            **options,
        )


def _blocks(iterations: int, pieces: int) -> list[int]:
    """Iterations between two states that are kept.

    Each, unless the edges are cut into pieces for the sake of memory: then, of n, about sqrt(n), so that
    the kept states and those of one block, computed again, are few (Chen et al., arXiv:1604.06174).
    """
    length = round(iterations**0.5) if pieces > 1 else 1
    full, rest = divmod(iterations, length)
    return [length] * full + [rest] * (rest > 0)
