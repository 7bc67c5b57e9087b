"""What edges carry from iteration to iteration, and what nodes collect of it.

W is the weight of an edge network's last layer, b its bias, and W_e the part of a first layer that reads e.

``Messages`` computes the formulae as they are written: edges carry e.

``ProjectedMessages`` computes the same up to rounding, for sums only. It needs a third fewer products, and a
few more arrays with a row for each edge. Only linear maps lie between the rows p before a last layer and the
first layer that reads the new e = e + p W + b. This gives three shortcuts:

- Edges carry u = e W_e, which becomes u + p (W W_e) + b W_e.
- Receivers sum p. The sum of e grows by (sum p) W + (edges of the node) b, which is work for each node only.
- The score reads e by another W_e, and takes it from the sum of all p.

Arrays are laid out as ``edges.py`` says.
"""

from __future__ import annotations

from typing import Any, Protocol

from keras import ops

from benchmarks.workloads.gnn_tracking.edge_networks import Weights, network_on_edges
from benchmarks.workloads.gnn_tracking.edges import Edges
from benchmarks.workloads.gnn_tracking.layers import Layers, Network, Tensor, cast_layers, linear

Rows = tuple[Tensor, ...]


class EdgeNetworks(Protocol):
    """The part of a model that messages read: its networks on edges and its settings."""

    encode_edges: Network
    update_edges: Network
    score: Network
    shape: Any
    compute_dtype: str


class Messages:
    """Messages of which edges carry e, and nodes collect its sum, or its sum and its maximum.

    Args:
        model: The networks on edges.
        edges: The edges of the batch.
    """

    def __init__(self, model: EdgeNetworks, edges: Edges) -> None:
        self._model, self._edges = model, edges
        self._collect = ("sum", "max") if model.shape.with_max else ("sum",)

    def encode(self, x: Tensor) -> tuple[Rows, Rows]:
        """Computes the first state of the edges.

        Args:
            x: (N, h), the encoded nodes.

        Returns:
            The state: what edges carry, (E, h), and what nodes collect, (N, h) each. The inner rows, which
            this class does without.
        """
        nodes, _, (*middle, last) = _split_network(self._model.encode_edges)
        weights = Weights((), middle, last)
        return network_on_edges(self._edges, *_at_ends(nodes, x), weights, collect=self._collect), ()

    def iterate(self, x: Tensor, e: Tensor, *collected: Tensor, final: bool) -> tuple[Rows, Rows]:
        """Computes the next state of the edges.

        Args:
            x: (N, h), the updated nodes.
            e: (E, h), what edges carry.
            collected: What nodes collected of the state before, which is not needed here.
            final: This is the last iteration, after which nodes collect nothing.

        Returns:
            State and inner rows, as ``encode`` returns them.
        """
        del collected
        nodes, on_e, (*middle, last) = _split_network(self._model.update_edges)
        collect = () if final else self._collect
        weights = Weights((on_e,), middle, last)
        at_ends = _at_ends(nodes, x)
        return network_on_edges(self._edges, *at_ends, weights, (e,), residual=True, collect=collect), ()

    def score(self, x: Tensor, state: Rows, encoded: Rows, inner: Rows) -> Tensor:
        """Computes the logits of the edges, (E, 1).

        Args:
            x: (N, h), the nodes after the last iteration.
            state: The state after it.
            encoded: Inner rows of the encoder.
            inner: Sum of the inner rows of all iterations.
        """
        del encoded, inner
        nodes, on_e, (*middle, last) = _split_network(self._model.score)
        weights = Weights((on_e,), middle, last)
        (logits,) = network_on_edges(self._edges, *_at_ends(nodes, x), weights, state[:1])
        return logits


class ProjectedMessages:
    """Messages of which edges carry u = e W_e, and nodes collect the sum of e.

    Arguments and methods are those of ``Messages``.
    """

    def __init__(self, model: EdgeNetworks, edges: Edges) -> None:
        self._model, self._edges = model, edges
        one = ops.ones((edges.senders.shape[0], 1), model.compute_dtype)
        self._degree = ops.cast(edges.at_receivers(one), model.compute_dtype)

    def encode(self, x: Tensor) -> tuple[Rows, Rows]:
        """Computes the first state of the edges. The inner rows are those of the encoder."""
        nodes, _, (*middle, last) = _split_network(self._model.encode_edges)
        _, on_e, _ = _split_network(self._model.update_edges)
        weights = Weights((), middle, _merge_layers(last, on_e))
        u, p, sum_p = network_on_edges(
            self._edges, *_at_ends(nodes, x), weights, inner=True, collect=("sum",)
        )
        return (u, self._sum_of_e(sum_p, last)), (p,)

    def iterate(self, x: Tensor, u: Tensor, sum_e: Tensor, *, final: bool) -> tuple[Rows, Rows]:
        """Computes the next state, which is empty after the ``final`` iteration, and the inner rows."""
        nodes, on_e, (*middle, last) = _split_network(self._model.update_edges)
        at_ends = _at_ends(nodes, x)
        if final:
            weights = Weights((None,), middle, None)
            return (), network_on_edges(self._edges, *at_ends, weights, (u,), inner=True)
        weights = Weights((None,), middle, _merge_layers(last, on_e))
        u, p, sum_p = network_on_edges(
            self._edges, *at_ends, weights, (u,), residual=True, inner=True, collect=("sum",)
        )
        return (u, sum_e + self._sum_of_e(sum_p, last)), (p,)

    def score(self, x: Tensor, state: Rows, encoded: Rows, inner: Rows) -> Tensor:
        """Computes the logits of the edges, (E, 1), from the inner rows."""
        del state
        nodes, on_e, (*middle, last) = _split_network(self._model.score)
        iterations = self._model.shape.iterations
        first, first_bias = _merge_layers(_split_network(self._model.encode_edges)[2][-1], on_e)
        later, later_bias = _merge_layers(_split_network(self._model.update_edges)[2][-1], on_e)
        to_sender, to_receiver, bias = nodes
        nodes = to_sender, to_receiver, bias + first_bias + iterations * later_bias
        weights = Weights((first, later), middle, last)
        (logits,) = network_on_edges(self._edges, *_at_ends(nodes, x), weights, (*encoded, *inner))
        return logits

    def _sum_of_e(self, sum_p: Tensor, last: tuple[Tensor, Tensor]) -> Tensor:
        ((kernel, bias),) = cast_layers([last], sum_p.dtype)
        return ops.matmul(sum_p, kernel) + self._degree * bias


def _split_network(network: Network) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Layers]:
    """Splits a network on edges.

    Returns:
        Of its first layer, (W_s, W_r, bias) for the nodes, and W_e. The other layers.
    """
    (kernel, bias), *layers = network.linear()
    h = kernel.shape[1]
    return (kernel[:h], kernel[h : 2 * h], bias), kernel[2 * h :], layers


def _at_ends(nodes: tuple[Tensor, Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the nodes' parts of a first layer, x W_s and x W_r + bias, (N, h) each."""
    to_sender, to_receiver, bias = (ops.cast(tensor, x.dtype) for tensor in nodes)
    return ops.matmul(x, to_sender), linear(x, (to_receiver, bias))


def _merge_layers(layer: tuple[Tensor, Tensor], kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Merges a linear layer and the kernel that follows it into one layer."""
    return ops.matmul(layer[0], kernel), ops.matmul(layer[1], kernel)
