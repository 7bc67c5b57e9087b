"""What edges carry from iteration to iteration, and what nodes collect of it.

With weights W of an edge network's last layer, and W_e of the part of a first layer that reads e:

``Messages`` does as the formulae say: edges carry e.

``ProjectedMessages``, for sums only, does the same with a third fewer products, and holds a few more
arrays for each edge. Nothing but linear maps lies between the rows p before a last layer and the first
layer that reads the new e = e + p W + b: so edges carry u = e W_e, which becomes u + p (W W_e) + b W_e;
receivers sum p, and the sum of e grows by (sum p) W + (edges of the node) b, which is work for each node
only; and the score, which reads e by another W_e, takes it from the sum of all p. Equal but for rounding.

Array layouts: ``edges.py``.
"""

from __future__ import annotations

from typing import Any, Protocol

from keras import ops

from benchmarks.workloads.gnn_tracking.edge_networks import Weights, network_on_edges
from benchmarks.workloads.gnn_tracking.edges import Edges
from benchmarks.workloads.gnn_tracking.layers import Layers, Network, Tensor, cast_layers, linear

Rows = tuple[Tensor, ...]


class EdgeNetworks(Protocol):
    """What messages read of a model: its networks on edges and its settings."""

    encode_edges: Network
    update_edges: Network
    score: Network
    shape: Any
    compute_dtype: str


class Messages:
    """Edges carry e; nodes collect its sum, or its sum and its maximum."""

    def __init__(self, model: EdgeNetworks, edges: Edges) -> None:
        self._model, self._edges = model, edges
        self._collect = ("sum", "max") if model.shape.with_max else ("sum",)

    def encode(self, x: Tensor) -> tuple[Rows, Rows]:
        """From x (N, h): what is carried (E, h) and what is collected (N, h); and inner rows, none here."""
        nodes, _, (*middle, last) = _split(self._model.encode_edges)
        weights = Weights((), middle, last)
        return network_on_edges(self._edges, *_ends(nodes, x), weights, collect=self._collect), ()

    def iterate(self, x: Tensor, e: Tensor, *collected: Tensor, final: bool) -> tuple[Rows, Rows]:
        """The same from x and the edges' state; after the ``final`` iteration nothing is collected."""
        del collected  # made anew
        nodes, on_e, (*middle, last) = _split(self._model.update_edges)
        collect = () if final else self._collect
        weights = Weights((on_e,), middle, last)
        ends = _ends(nodes, x)
        return network_on_edges(self._edges, *ends, weights, (e,), residual=True, collect=collect), ()

    def score(self, x: Tensor, state: Rows, encoded: Rows, inner: Rows) -> Tensor:  # noqa: ARG002 (one interface)
        """(E, 1) logits from x, the final state, and the inner rows of the encoder and of all iterations."""
        nodes, on_e, (*middle, last) = _split(self._model.score)
        weights = Weights((on_e,), middle, last)
        (logits,) = network_on_edges(self._edges, *_ends(nodes, x), weights, state[:1])
        return logits


class ProjectedMessages:
    """Edges carry u = e W_e; nodes collect the sum of e. The interface of ``Messages``."""

    def __init__(self, model: EdgeNetworks, edges: Edges) -> None:
        self._model, self._edges = model, edges
        one = ops.ones((edges.senders.shape[0], 1), model.compute_dtype)
        self._degree = ops.cast(edges.at_receivers(one), model.compute_dtype)

    def encode(self, x: Tensor) -> tuple[Rows, Rows]:
        """The inner rows are those of the encoder."""
        nodes, _, (*middle, last) = _split(self._model.encode_edges)
        _, on_e, _ = _split(self._model.update_edges)
        weights = Weights((), middle, _merged(last, on_e))
        u, p, total = network_on_edges(self._edges, *_ends(nodes, x), weights, inner=True, collect=("sum",))
        return (u, self._sum_of_e(total, last)), (p,)

    def iterate(self, x: Tensor, u: Tensor, total_e: Tensor, *, final: bool) -> tuple[Rows, Rows]:
        """After the ``final`` iteration there are inner rows only."""
        nodes, on_e, (*middle, last) = _split(self._model.update_edges)
        ends = _ends(nodes, x)
        if final:
            return (), network_on_edges(self._edges, *ends, Weights((None,), middle, None), (u,), inner=True)
        weights = Weights((None,), middle, _merged(last, on_e))
        u, p, total = network_on_edges(
            self._edges, *ends, weights, (u,), residual=True, inner=True, collect=("sum",)
        )
        return (u, total_e + self._sum_of_e(total, last)), (p,)

    def score(self, x: Tensor, state: Rows, encoded: Rows, inner: Rows) -> Tensor:  # noqa: ARG002 (one interface)
        """See ``Messages``."""
        nodes, on_e, (*middle, last) = _split(self._model.score)
        iterations = self._model.shape.iterations
        first, first_bias = _merged(_split(self._model.encode_edges)[2][-1], on_e)
        later, later_bias = _merged(_split(self._model.update_edges)[2][-1], on_e)
        to_sender, to_receiver, bias = nodes
        nodes = to_sender, to_receiver, bias + first_bias + iterations * later_bias
        weights = Weights((first, later), middle, last)
        (logits,) = network_on_edges(self._edges, *_ends(nodes, x), weights, (*encoded, *inner))
        return logits

    def _sum_of_e(self, total: Tensor, last: tuple[Tensor, Tensor]) -> Tensor:
        ((kernel, bias),) = cast_layers([last], total.dtype)
        return ops.matmul(total, kernel) + self._degree * bias


def _split(network: Network) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Layers]:
    """First layer of an edge network: (W_s, W_r, bias) for nodes, W_e; and the other layers."""
    (kernel, bias), *rest = network.linear()
    h = kernel.shape[1]
    return (kernel[:h], kernel[h : 2 * h], bias), kernel[2 * h :], rest


def _ends(nodes: tuple[Tensor, Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Products x W_s and x W_r + bias."""
    to_sender, to_receiver, bias = (ops.cast(tensor, x.dtype) for tensor in nodes)
    return ops.matmul(x, to_sender), linear(x, (to_receiver, bias))


def _merged(layer: tuple[Tensor, Tensor], kernel: Tensor) -> tuple[Tensor, Tensor]:
    """A linear layer and the kernel that follows it as one layer."""
    return ops.matmul(layer[0], kernel), ops.matmul(layer[1], kernel)
