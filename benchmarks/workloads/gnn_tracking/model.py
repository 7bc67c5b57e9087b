"""The interaction network: a graph of hits in, a logit for each edge out.

With MLPs as ``layers.Network`` describes, hidden size h, and sums over the edges that lead to a node:

    x = encode_nodes(features),  e = encode_edges([x_sender, x_receiver])
    8 times, with the same weights:
        x = x + update_nodes([x, sum e])          (or [x, sum e, max e])
        e = e + update_edges([x_sender, x_receiver, e])
    logit = score([x_sender, x_receiver, e])

Source: X. Ju et al., Eur. Phys. J. C 81 (2021) 876, arXiv:2103.06995. Arrays are laid out as ``edges.py``
says. Whether edges lead one way or both ways is decided in ``batches.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks import operations
from benchmarks.workloads.gnn_tracking.config import piece_count
from benchmarks.workloads.gnn_tracking.edges import Edges
from benchmarks.workloads.gnn_tracking.layers import Network, Tensor, sum_dtype, zero_depending_on
from benchmarks.workloads.gnn_tracking.messages import Messages, ProjectedMessages

NODE_FEATURES = 3


@dataclass(frozen=True)
class Shape:
    """The sizes that decide how many parameters a model has.

    Attributes:
        hidden: Hidden size h.
        node_layers: Linear layers of a network on nodes.
        edge_layers: Linear layers of a network on edges.
        iterations: Message-passing iterations, which share their weights.
        with_max: Nodes collect the largest e of their edges, too.
    """

    hidden: int = 64
    node_layers: int = 3
    edge_layers: int = 3
    iterations: int = 8
    with_max: bool = False


class InteractionNetwork(keras.Model):  # type: ignore[misc]
    """The published model. How it uses memory is a choice that does not change its results.

    Args:
        rng: Draws the initial weights.
        shape: Layers and widths.
        keep: Keep all activations for the backward pass. Otherwise keep those between the iterations only.
        piece_edges: Most edges of a piece, if the model works through the edges in pieces. 0 for one
            piece. Not with ``keep``.
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
        """Computes logits, (padded edges,) in ``sum_dtype``, from inputs as ``batches.py`` lays them out."""
        # Pieces are there for the sake of memory, and messages as the formulae say need less of it.
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
        as_written = self.shape.with_max or edges.pieces > 1
        messages = (Messages if as_written else ProjectedMessages)(self, edges)

        # Networks on nodes leave their gradients to the framework, and so need its way to compute again.
        remat = (lambda function: function) if self.keep else operations.remat
        encode = remat(self.encode_nodes)
        update = remat(lambda *parts: parts[0] + self.update_nodes(ops.concatenate(parts, axis=-1)))
        last = self.shape.iterations - 1

        def iterate(numbers: range, x: Tensor, *state: Tensor) -> tuple[Any, ...]:
            inner: tuple[Tensor, ...] = ()
            for number in numbers:
                x = update(x, *state[1:])
                state, rows = messages.iterate(x, *state, final=number == last)
                x, inner = _add_rows(x, inner, rows)
            return x, state, inner

        # Only the states between blocks are kept, where a block has several iterations.
        x = encode(ops.cast(features, self.compute_dtype))
        state, encoded = messages.encode(x)
        inner: tuple[Tensor, ...] = ()
        for numbers in _blocks(self.shape.iterations, edges.pieces):
            block = partial(iterate, numbers)
            x, state, rows = (operations.remat(block) if len(numbers) > 1 else block)(x, *state)
            x, inner = _add_rows(x, inner, rows)
        logits = messages.score(x, state, encoded, inner)
        return ops.cast(logits[:, 0], sum_dtype(logits.dtype))


def _add_rows(
    x: Tensor, total: tuple[Tensor, ...], rows: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Adds rows to a total, and lets x wait for it, because a sum that is put off keeps all its terms."""
    total = tuple(a + b for a, b in zip(total, rows, strict=True)) if total else rows
    return (x + zero_depending_on(*map(ops.stop_gradient, total)) if total else x), total


def _blocks(iterations: int, pieces: int) -> list[range]:
    """Returns the iterations between each two states that are kept.

    Every state is kept, unless the edges are cut into pieces for the sake of memory. Then a block has about
    sqrt(n) of n iterations, so that there are few kept states, and few states of one block that is computed
    again (Chen et al., arXiv:1604.06174).
    """
    length = round(iterations**0.5) if pieces > 1 else 1
    return [range(start, min(start + length, iterations)) for start in range(0, iterations, length)]
