"""Networks on the edges of a graph, and sums over the edges at their ends.

Array layouts used here and in ``model.py`` (padding included, see ``events.py``):
    nodes: (N, h), edges: (E, h), compute dtype. The last node and the last edge are padding.
    senders, receivers: (E,) int32, rows of the nodes; edges stand in the order of their receivers.
    sender_order: (E,) int32, the edges in the order of their senders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from keras import ops

from benchmarks.gnn_tracking.layers import (
    Layers,
    Tensor,
    follow,
    follow_gradient,
    narrowed,
    product,
    wide,
    zero_after,
)


@dataclass(frozen=True)
class Edges:
    """Where the edges of a batch lead, and how networks work through them; layouts of the module.

    Attributes:
        nodes: N.
        pieces: Pieces of equal length that a network works through one after another.
        keep: Keep activations for the backward pass (with one piece only), or compute them again.
        fixed_sums: Sums with a fixed number of rows, which XLA needs; otherwise sums of sorted segments.
    """

    senders: Tensor
    receivers: Tensor
    sender_order: Tensor
    nodes: int
    pieces: int = 1
    keep: bool = True
    fixed_sums: bool = False

    def at_receivers(self, values: Tensor) -> Tensor:
        """Sums of ``values``, (E, F), over the edges of each receiver: (N, F), wide dtype."""
        return self._reduce(ops.segment_sum, ops.cast(values, wide(values.dtype)), self.receivers)

    def at_senders(self, values: Tensor) -> Tensor:
        """Sums of ``values``, (E, F), over the edges of each sender: (N, F), wide dtype."""
        ordered = ops.cast(ops.take(values, self.sender_order, axis=0), wide(values.dtype))
        return self._reduce(ops.segment_sum, ordered, ops.take(self.senders, self.sender_order, axis=0))

    def largest_at_receivers(self, values: Tensor) -> Tensor:
        """Largest of ``values``, (E, F), over the edges of each receiver, 0 without any: (N, F)."""
        found = self._reduce(ops.segment_max, values, self.receivers)
        some = self.at_receivers(ops.ones((values.shape[0], 1), values.dtype)) > 0
        return ops.where(some, found, ops.zeros_like(found))

    @property
    def length(self) -> int:
        """Edges in a piece."""
        length: int = self.senders.shape[0] // self.pieces
        return length

    def piece(self, rows: Tensor, index: Tensor) -> Tensor:
        """Rows, (E, ...), of a piece: (length, ...)."""
        if self.pieces == 1:
            return rows
        rest = rows.shape[1:]
        return ops.slice(rows, (index * self.length, *(0 for _ in rest)), (self.length, *rest))

    def _reduce(self, segments: Callable[..., Tensor], values: Tensor, ids: Tensor) -> Tensor:
        if self.fixed_sums:
            return segments(values, ids, num_segments=self.nodes)
        # The last edge leads to the last node: there are as many rows as nodes.
        return ops.reshape(segments(values, ids, sorted=True), (self.nodes, values.shape[-1]))


def network_on_edges(
    edges: Edges,
    at_sender: Tensor,
    at_receiver: Tensor,
    layers: Layers,
    carried: tuple[Tensor, Tensor] | None = None,
    *,
    residual: bool = False,
    collect: tuple[str, ...] = (),
) -> tuple[Tensor, ...]:
    """A network on [x_sender, x_receiver, e] with its first linear layer split, and what nodes collect of it.

    The nodes' parts of that layer are computed once a node, by the caller, and gathered; only the
    part of e is computed for every edge: [x_s, x_r, e] W + b = (x W_s)_s + (x W_r + b)_r + e W_e.

    Args:
        edges: Where they lead.
        at_sender: (N, h), x W_s.
        at_receiver: (N, h), x W_r + b.
        layers: The layers after the first one, wide dtype.
        carried: e (E, h) and W_e (h, h), the latter in wide dtype; None where the network reads no e.
        residual: Add e to the output.
        collect: What receivers collect of the outputs: "sum", "max". Edges that share a maximum share
            its gradient.

    Returns:
        The output (E, outputs) and each collection (N, outputs), compute dtype.
    """

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def network(*arguments: Tensor) -> tuple[tuple[Tensor, ...], Callable[..., Any]]:
        work = _Work.of(edges, arguments, carried is not None, residual)
        output, kept = work.output()
        collected = tuple(_COLLECT[how](edges, output) for how in collect)

        def gradient(*upstream: Tensor) -> tuple[Tensor, ...]:
            above = _Above(
                edges, output, upstream[0], tuple(zip(collect, collected, upstream[1:], strict=True))
            )
            return work.gradients(above, kept)

        return (output, *collected), gradient

    flat = [tensor for pair in layers for tensor in pair]
    result: tuple[Tensor, ...] = network(at_sender, at_receiver, *(carried or ()), *flat)
    return result


def _sum(edges: Edges, values: Tensor) -> Tensor:
    return ops.cast(edges.at_receivers(values), values.dtype)


_COLLECT = {"sum": _sum, "max": Edges.largest_at_receivers}


class _Above:
    """The gradient of a network's output: from the output itself, and from what receivers collected of it."""

    def __init__(
        self,
        edges: Edges,
        output: Tensor,
        upstream: Tensor,
        collections: tuple[tuple[str, Tensor, Tensor], ...],
    ) -> None:
        self.upstream, self._edges, self._output = upstream, edges, output
        self._of_sum: Tensor | None = None
        self._of_max: tuple[Tensor, Tensor] | None = None
        for how, collected, gradient in collections:
            if how == "sum":
                self._of_sum = gradient
            else:
                first = ops.cast(output == ops.take(collected, edges.receivers, axis=0), output.dtype)
                share = ops.cast(gradient, wide(output.dtype)) / ops.maximum(edges.at_receivers(first), 1)
                self._of_max = collected, ops.cast(share, output.dtype)

    def piece(self, index: Tensor) -> Tensor:
        receivers = self._edges.piece(self._edges.receivers, index)
        total = self._edges.piece(self.upstream, index)
        if self._of_sum is not None:
            total = total + ops.take(self._of_sum, receivers, axis=0)
        if self._of_max is not None:
            largest, share = (ops.take(tensor, receivers, axis=0) for tensor in self._of_max)
            first = ops.cast(self._edges.piece(self._output, index) == largest, total.dtype)
            total = total + first * share
        return total


@dataclass(frozen=True)
class _Work:
    """What one network has to do; arguments as for ``network_on_edges``, all in compute dtype."""

    edges: Edges
    at_sender: Tensor
    at_receiver: Tensor
    e: Tensor | None
    on_e: Tensor | None
    layers: Layers
    residual: bool

    @classmethod
    def of(cls, edges: Edges, arguments: tuple[Tensor, ...], carries: bool, residual: bool) -> _Work:
        at_sender, at_receiver, *rest = arguments
        e, on_e = (rest.pop(0), rest.pop(0)) if carries else (None, None)
        dtype = at_sender.dtype
        layers = narrowed(list(zip(rest[::2], rest[1::2], strict=True)), dtype)
        return cls(
            edges, at_sender, at_receiver, e, ops.cast(on_e, dtype) if carries else None, layers, residual
        )

    def output(self) -> tuple[Tensor, Layers | None]:
        """The network's output on all edges, and the activations if they are to be kept."""
        if self.edges.pieces == 1:
            output, kept = self._forward(0)
            return output, kept if self.edges.keep else None
        width = self.layers[-1][0].shape[-1]
        start = ops.zeros((self.edges.length, width), self.at_sender.dtype)
        _, pieces = ops.scan(lambda _, i: (self._forward(i)[0],) * 2, start, ops.arange(self.edges.pieces))
        return ops.reshape(pieces, (-1, width)), None

    def gradients(self, above: _Above, kept: Layers | None) -> tuple[Tensor, ...]:
        """Gradients in the order of the arguments."""
        if kept is not None:
            d_first, *others = self._backward(0, above.piece(0), kept)
        elif self.edges.pieces == 1:
            d_first, *others = self._after(above.upstream)._recomputed(0, above)
        else:
            d_first, *others = self._piecewise(above)
        dtype = self.at_sender.dtype
        d_sender = ops.cast(self.edges.at_senders(d_first), dtype)
        d_receiver = ops.cast(self.edges.at_receivers(d_first), dtype)
        return d_sender, d_receiver, *others

    def _piecewise(self, above: _Above) -> tuple[Tensor, ...]:
        """Gradients piece by piece: rows one below the other, those of weights added up."""
        on_edges = 1 if self.e is None else 2  # how many of a piece's gradients have a row for each edge

        def step(state: tuple[Tensor, ...], index: Tensor) -> tuple[Any, Any]:
            part = self._recomputed(index, above)
            sums = (old + new for old, new in zip(state[on_edges:], part[on_edges:], strict=True))
            new = (*part[:on_edges], *sums)
            return new, new  # what a scan hands on has the structure of what it collects

        dtype = self.at_sender.dtype
        weights = [tensor for pair in self.layers for tensor in pair]
        weights = weights if self.on_e is None else [self.on_e, *weights]
        start = [ops.zeros((self.edges.length, self.at_sender.shape[-1]), dtype)] * on_edges
        start += [ops.zeros(weight.shape, wide(dtype)) for weight in weights]
        last, pieces = ops.scan(step, tuple(start), ops.arange(self.edges.pieces))
        rows = (ops.reshape(piece, (-1, piece.shape[-1])) for piece in pieces[:on_edges])
        return (*rows, *last[on_edges:])

    def _forward(self, index: Tensor) -> tuple[Tensor, Layers]:
        """Output on a piece, and its activations."""
        a = ops.take(self.at_sender, self.edges.piece(self.edges.senders, index), axis=0)
        a = a + ops.take(self.at_receiver, self.edges.piece(self.edges.receivers, index), axis=0)
        if self.e is None:
            return follow(a, self.layers)
        e = self.edges.piece(self.e, index)
        output, kept = follow(a + ops.matmul(e, self.on_e), self.layers)
        return (output + e if self.residual else output), kept

    def _recomputed(self, index: Tensor, above: _Above) -> tuple[Tensor, ...]:
        return self._backward(index, above.piece(index), self._forward(index)[1])

    def _backward(self, index: Tensor, upstream: Tensor, kept: Layers) -> tuple[Tensor, ...]:
        """Gradients of the first layer's output, of e and W_e if there are any, and of ``layers``."""
        d_first, d_layers = follow_gradient(upstream, kept, self.layers)
        if self.e is None:
            return d_first, *d_layers
        d_on_e = product(self.edges.piece(self.e, index), d_first)
        on_e = self.on_e + ops.cast(zero_after(d_on_e), d_first.dtype)
        d_e = ops.matmul(d_first, ops.transpose(on_e))
        return d_first, (d_e + upstream if self.residual else d_e), d_on_e, *d_layers

    def _after(self, upstream: Tensor) -> _Work:
        """The same work, which cannot begin before ``upstream`` is there."""
        zero = zero_after(upstream)
        return replace(
            self,
            at_sender=self.at_sender + zero,
            at_receiver=self.at_receiver + zero,
            on_e=None if self.on_e is None else self.on_e + zero,
        )
