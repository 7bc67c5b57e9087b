"""Networks on the edges of a graph, with their gradients; array layouts: ``edges.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from keras import ops

from benchmarks.workloads.gnn_tracking.edges import Edges
from benchmarks.workloads.gnn_tracking.layers import (
    Layers,
    Tensor,
    cast_layers,
    follow_gradient,
    linear,
    linear_gradient,
    norm_relu_layers,
    product,
    rectified,
    sum_dtype,
    zero_depending_on,
)


@dataclass(frozen=True)
class Weights:
    """Weights of a network on edges, ``sum_dtype``, less the nodes' parts of its first layer.

    Attributes:
        carried: For each array of rows that edges carry, the kernel (h, h) that takes it to the first
            layer's outputs; None for rows that are there already.
        middle: The layers between.
        last: The last layer; None for a network of which only the rows before it are wanted.
    """

    carried: tuple[Tensor | None, ...]
    middle: Layers
    last: tuple[Tensor, Tensor] | None

    def flat(self) -> list[Tensor]:
        """All tensors, in one order."""
        kernels = [kernel for kernel in self.carried if kernel is not None]
        layers = [*self.middle, *([] if self.last is None else [self.last])]
        return [*kernels, *(tensor for layer in layers for tensor in layer)]

    def filled(self, flat: list[Tensor], dtype: str) -> Weights:
        """The same structure with other tensors, in another dtype."""
        rest = iter(flat)
        carried = tuple(None if kernel is None else ops.cast(next(rest), dtype) for kernel in self.carried)
        pairs = cast_layers(list(zip(rest, rest, strict=True)), dtype)
        return Weights(carried, pairs[: len(self.middle)], None if self.last is None else pairs[-1])


def network_on_edges(
    edges: Edges,
    at_sender: Tensor,
    at_receiver: Tensor,
    weights: Weights,
    carried: tuple[Tensor, ...] = (),
    *,
    residual: bool = False,
    inner: bool = False,
    collect: tuple[str, ...] = (),
) -> tuple[Tensor, ...]:
    """A network on [x_sender, x_receiver, e, ...] with its first layer split, and what nodes collect of it.

    The nodes' parts of that layer are computed once a node, by the caller, and gathered; only the parts
    of what edges carry are computed for every edge:
    [x_s, x_r, e] W + b = (x W_s)_s + (x W_r + b)_r + e W_e.

    Args:
        edges: Where they lead.
        at_sender: (N, h), x W_s.
        at_receiver: (N, h), x W_r + b.
        weights: Of the rest.
        carried: (E, h) each, as ``weights.carried`` says.
        residual: Add the first of ``carried`` to the output.
        inner: Hand on the inner rows, too, those before the last layer; they are what nodes collect then.
        collect: What receivers collect of the output or the inner rows: "sum", "max". Edges that share a
            maximum share its gradient.

    Returns:
        The output (E, outputs) if there is a last layer, the inner rows (E, h) if they are wanted, and
        each collection (N, ...), compute dtype.
    """

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def network(*arguments: Tensor) -> tuple[tuple[Tensor, ...], Callable[..., Any]]:
        dtype = arguments[0].dtype
        rows, flat = arguments[2 : 2 + len(carried)], arguments[2 + len(carried) :]
        at_ends = arguments[0], -arguments[1]
        work = EdgePass(edges, *at_ends, weights.filled(list(flat), dtype), rows, residual, inner)
        made, kept = work.made()
        collected = tuple(_COLLECT[how](edges, made[-1]) for how in collect)

        def gradient(*upstream: Tensor) -> tuple[Tensor, ...]:
            of_collected = tuple(zip(collect, collected, upstream[len(made) :], strict=True))
            return work.gradients(
                UpstreamGradients(edges, made[-1], upstream[: len(made)], of_collected), kept
            )

        return (*made, *collected), gradient

    result: tuple[Tensor, ...] = network(at_sender, at_receiver, *carried, *weights.flat())
    return result


def _sum(edges: Edges, values: Tensor) -> Tensor:
    return ops.cast(edges.at_receivers(values), values.dtype)


_COLLECT = {"sum": _sum, "max": Edges.largest_at_receivers}


class UpstreamGradients:
    """The gradients of what a network made; with the last one that of what nodes collected."""

    def __init__(
        self,
        edges: Edges,
        rows: Tensor,
        upstream: tuple[Tensor, ...],
        collections: tuple[tuple[str, Tensor, Tensor], ...],
    ) -> None:
        self.upstream, self._edges, self._rows = upstream, edges, rows
        self._minus_of_sum: Tensor | None = None
        self._of_max: tuple[Tensor, Tensor] | None = None
        for how, collected, gradient in collections:
            if how == "sum":
                self._minus_of_sum = -gradient
            else:
                first = ops.cast(rows == ops.take(collected, edges.receivers, axis=0), rows.dtype)
                share = ops.cast(gradient, sum_dtype(rows.dtype)) / ops.maximum(edges.at_receivers(first), 1)
                self._of_max = collected, ops.cast(share, rows.dtype)

    def piece(self, index: Tensor) -> list[Tensor]:
        """Returns the gradients of what a piece of the edges hands on."""
        receivers = self._edges.piece(self._edges.receivers, index)
        *before, total = (self._edges.piece(tensor, index) for tensor in self.upstream)
        if self._minus_of_sum is not None:
            total = total - ops.take(self._minus_of_sum, receivers, axis=0)  # see EdgePass
        if self._of_max is not None:
            largest, share = (ops.take(tensor, receivers, axis=0) for tensor in self._of_max)
            first = ops.cast(self._edges.piece(self._rows, index) == largest, total.dtype)
            total = total + first * share
        return [*before, total]


@dataclass(frozen=True)
class EdgePass:
    """What one network has to do; arguments as for ``network_on_edges``, all in compute dtype.

    Of what is at the receivers it has the negative, and subtracts: TensorFlow makes one sum of several
    and begins it with the first term that is there. Where that is long before the others, in the
    forward pass for a sum of the backward pass, another array for each edge is kept until then.
    """

    edges: Edges
    at_sender: Tensor
    minus_at_receiver: Tensor
    weights: Weights
    carried: tuple[Tensor, ...]
    residual: bool
    inner: bool

    def made(self) -> tuple[tuple[Tensor, ...], Layers | None]:
        """Output and inner rows, as they are wanted, and the activations if they are to be kept."""
        if self.edges.pieces == 1:
            made, kept = self._forward(0)
            return made, kept if self.edges.keep else None
        last, h = self.weights.last, self.at_sender.shape[-1]
        widths = [*([] if last is None else [last[0].shape[-1]]), *([h] if self.inner else [])]
        start = tuple(ops.zeros((self.edges.length, width), self.at_sender.dtype) for width in widths)
        _, pieces = ops.scan(lambda _, i: (self._forward(i)[0],) * 2, start, ops.arange(self.edges.pieces))
        return tuple(ops.reshape(piece, (-1, piece.shape[-1])) for piece in pieces), None

    def gradients(self, above: UpstreamGradients, kept: Layers | None) -> tuple[Tensor, ...]:
        """Gradients in the order of the arguments."""
        if kept is not None:
            d_first, *others = self._backward(0, above.piece(0), kept)
        elif self.edges.pieces == 1:
            d_first, *others = self._after(above.upstream[0])._recomputed(0, above)
        else:
            d_first, *others = self._piecewise(above)
        dtype = self.at_sender.dtype
        d_sender = ops.cast(self.edges.at_senders(d_first), dtype)
        d_receiver = ops.cast(self.edges.at_receivers(d_first), dtype)
        return d_sender, d_receiver, *others

    def _piecewise(self, above: UpstreamGradients) -> tuple[Tensor, ...]:
        """Gradients piece by piece: rows one below the other, those of weights added up."""
        on_edges = 1 + len(self.carried)  # how many of a piece's gradients have a row for each edge

        def step(state: tuple[Tensor, ...], index: Tensor) -> tuple[Any, Any]:
            part = self._recomputed(index, above)
            sums = (old + new for old, new in zip(state[on_edges:], part[on_edges:], strict=True))
            new = (*part[:on_edges], *sums)
            return new, new  # what a scan hands on has the structure of what it collects

        dtype = self.at_sender.dtype
        start = [ops.zeros((self.edges.length, self.at_sender.shape[-1]), dtype)] * on_edges
        start += [ops.zeros(weight.shape, sum_dtype(dtype)) for weight in self.weights.flat()]
        last, pieces = ops.scan(step, tuple(start), ops.arange(self.edges.pieces))
        rows = (ops.reshape(piece, (-1, piece.shape[-1])) for piece in pieces[:on_edges])
        return (*rows, *last[on_edges:])

    def _forward(self, index: Tensor) -> tuple[tuple[Tensor, ...], Layers]:
        """Output and inner rows of a piece, as they are wanted, and its activations."""
        a = ops.take(self.at_sender, self.edges.piece(self.edges.senders, index), axis=0)
        a = a - ops.take(self.minus_at_receiver, self.edges.piece(self.edges.receivers, index), axis=0)
        carried = [self.edges.piece(rows, index) for rows in self.carried]
        for rows, kernel in zip(carried, self.weights.carried, strict=True):
            a = a + (rows if kernel is None else ops.matmul(rows, kernel))
        inner, kept = norm_relu_layers(a, self.weights.middle)
        made = [inner] if self.inner else []
        if self.weights.last is not None:
            output = linear(inner, self.weights.last)
            made = [output + carried[0] if self.residual else output, *made]
        return tuple(made), kept

    def _recomputed(self, index: Tensor, above: UpstreamGradients) -> tuple[Tensor, ...]:
        return self._backward(index, above.piece(index), self._forward(index)[1])

    def _backward(self, index: Tensor, upstream: list[Tensor], kept: Layers) -> tuple[Tensor, ...]:
        """Gradients of the first layer's output, of the carried rows, and of the weights."""
        of_output, d_inner, d_last = upstream[0], upstream[-1], list[Tensor]()
        if self.weights.last is not None:
            d_last, through = linear_gradient(of_output, rectified(kept[-1], of_output), self.weights.last)
            d_inner = d_inner + through if self.inner else through
        d_first, d_middle = follow_gradient(d_inner, kept, self.weights.middle)
        d_carried, d_kernels = [], []
        for rows, kernel in zip(self.carried, self.weights.carried, strict=True):
            if kernel is None:
                d_carried.append(d_first)
                continue
            d_kernels.append(product(self.edges.piece(rows, index), d_first))
            kernel = kernel + ops.cast(zero_depending_on(d_kernels[-1]), d_first.dtype)
            d_carried.append(ops.matmul(d_first, ops.transpose(kernel)))
        if self.residual:
            d_carried[0] = d_carried[0] + of_output
        return d_first, *d_carried, *d_kernels, *d_middle, *d_last

    def _after(self, upstream: Tensor) -> EdgePass:
        """The same work, which cannot begin before ``upstream`` is there."""
        zero = zero_depending_on(upstream)
        kernels = tuple(None if kernel is None else kernel + zero for kernel in self.weights.carried)
        return replace(
            self,
            at_sender=self.at_sender + zero,
            minus_at_receiver=self.minus_at_receiver + zero,
            weights=replace(self.weights, carried=kernels),
        )
