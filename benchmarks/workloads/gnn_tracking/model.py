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

from benchmarks.workloads.gnn_tracking.config import piece_count
from benchmarks.workloads.gnn_tracking.edges import Edges
from benchmarks.workloads.gnn_tracking.layers import Network, Tensor, sum_dtype, zero_depending_on
from benchmarks.workloads.gnn_tracking.messages import Messages, ProjectedMessages

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
        as_written = self.shape.with_max or edges.pieces > 1  # in pieces for the sake of memory
        messages = (Messages if as_written else ProjectedMessages)(self, edges)
        again = (lambda function: function) if self.keep else keras.remat
        encode = again(self.encode_nodes)
        update = again(lambda *parts: parts[0] + self.update_nodes(ops.concatenate(parts, axis=-1)))
        last = self.shape.iterations - 1

        def several(numbers: range, x: Tensor, *state: Tensor) -> tuple[Any, ...]:
            inner: tuple[Tensor, ...] = ()
            for number in numbers:
                x = update(x, *state[1:])
                state, made = messages.iterate(x, *state, final=number == last)
                x, inner = _added(x, inner, made)
            return x, state, inner

        x = encode(ops.cast(features, self.compute_dtype))
        state, encoded = messages.encode(x)
        inner: tuple[Tensor, ...] = ()
        for numbers in _blocks(self.shape.iterations, edges.pieces):
            block = partial(several, numbers)
            x, state, made = (keras.remat(block) if len(numbers) > 1 else block)(x, *state)
            x, inner = _added(x, inner, made)
        logits = messages.score(x, state, encoded, inner)
        return ops.cast(logits[:, 0], sum_dtype(logits.dtype))


def _added(
    x: Tensor, total: tuple[Tensor, ...], rows: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The total with more rows, and x, which waits for it: a sum put off would keep all its terms."""
    total = tuple(a + b for a, b in zip(total, rows, strict=True)) if total else rows
    return (x + zero_depending_on(*map(ops.stop_gradient, total)) if total else x), total


def _blocks(iterations: int, pieces: int) -> list[range]:
    """The iterations between two states that are kept.

    Each, unless the edges are cut into pieces for the sake of memory: then, of n, about sqrt(n), so that
    the kept states and those of one block, computed again, are few (Chen et al., arXiv:1604.06174).
    """
    length = round(iterations**0.5) if pieces > 1 else 1
    return [range(start, min(start + length, iterations)) for start in range(0, iterations, length)]
