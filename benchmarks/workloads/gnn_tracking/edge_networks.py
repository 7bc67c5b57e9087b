"""Networks on the edges of a graph, with their gradients. Arrays are laid out as ``edges.py`` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from keras import ops

from benchmarks.operations import custom_gradient
from benchmarks.workloads.gnn_tracking.edges import Edges
from benchmarks.workloads.gnn_tracking.layers import (
    Layers,
    Tensor,
    cast_layers,
    linear,
    linear_gradient,
    norm_relu_layers,
    norm_relu_layers_gradient,
    product,
    relu_after,
    sum_dtype,
    zero_depending_on,
)


@dataclass(frozen=True)
class Weights:
    """Weights of a network on edges, without the nodes' parts of its first layer.

    Attributes:
        carried: For each array of rows that edges carry, the kernel (h, h) that takes it to the first
            layer's outputs. None for rows that are outputs of that layer already.
        middle: The layers after the first and before the last.
        last: The last layer. None for a network that ends with the rows before it.
    """

    carried: tuple[Tensor | None, ...]
    middle: Layers
    last: tuple[Tensor, Tensor] | None

    def flat(self) -> list[Tensor]:
        """Returns all tensors, in a fixed order."""
        kernels = [kernel for kernel in self.carried if kernel is not None]
        layers = [*self.middle, *([] if self.last is None else [self.last])]
        return [*kernels, *(tensor for layer in layers for tensor in layer)]

    def with_tensors(self, flat: list[Tensor], dtype: str) -> Weights:
        """Returns the same structure with other tensors, in another dtype.

        Args:
            flat: The tensors, in the order of ``flat``.
            dtype: The dtype to convert them to.
        """
        tensors = iter(flat)
        carried = tuple(None if kernel is None else ops.cast(next(tensors), dtype) for kernel in self.carried)
        layers = cast_layers(list(zip(tensors, tensors, strict=True)), dtype)
        return Weights(carried, layers[: len(self.middle)], None if self.last is None else layers[-1])


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
    """Applies a network to [x_sender, x_receiver, e, ...] of each edge, and collects its rows at the nodes.

    The first layer is split: ``[x_s, x_r, e] W + b = (x W_s)_s + (x W_r + b)_r + e W_e``. The caller computes
    the nodes' parts once for each node, and only the parts of what edges carry are computed for each edge.

    Args:
        edges: The edges of the batch.
        at_sender: (N, h), ``x W_s``.
        at_receiver: (N, h), ``x W_r + b``.
        weights: The other weights, in ``sum_dtype``.
        carried: What edges carry, (E, h) each, in the order of ``weights.carried``.
        residual: Add the first of ``carried`` to the output.
        inner: Return also the inner rows, those before the last layer. Nodes then collect these.
        collect: How receivers collect the output or the inner rows: "sum", "max". Edges that share a
            maximum share its gradient.

    Returns:
        The output (E, outputs) if there is a last layer, the inner rows (E, h) if ``inner``, and each
        collection (N, ...), compute dtype.
    """

    @custom_gradient
    def network(*arguments: Tensor) -> tuple[tuple[Tensor, ...], Callable[..., Any]]:
        # A custom gradient has tensors as its only arguments, so their order tells what is what.
        dtype = arguments[0].dtype
        rows, flat = arguments[2 : 2 + len(carried)], arguments[2 + len(carried) :]
        at_ends = arguments[0], -arguments[1]
        edge_pass = EdgePass(edges, *at_ends, weights.with_tensors(list(flat), dtype), rows, residual, inner)
        outputs, activations = edge_pass.outputs()
        collected = tuple(_COLLECT[how](edges, outputs[-1]) for how in collect)

        def gradient(*upstream: Tensor) -> tuple[Tensor, ...]:
            count = len(outputs)
            of_collected = tuple(zip(collect, collected, upstream[count:], strict=True))
            above = UpstreamGradients(edges, outputs[-1], upstream[:count], of_collected)
            return edge_pass.gradients(above, activations)

        return (*outputs, *collected), gradient

    result: tuple[Tensor, ...] = network(at_sender, at_receiver, *carried, *weights.flat())
    return result


def _sum(edges: Edges, values: Tensor) -> Tensor:
    return ops.cast(edges.at_receivers(values), values.dtype)


_COLLECT = {"sum": _sum, "max": Edges.largest_at_receivers}


class UpstreamGradients:
    """The gradients of a network's outputs. That of the last output contains those of the collections.

    Args:
        edges: The edges of the batch.
        rows: (E, F), the last output, which nodes collect.
        upstream: The gradient of each output.
        collections: Of each collection its kind ("sum" or "max"), its values (N, F) and its gradient.
    """

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
                largest = ops.cast(rows == ops.take(collected, edges.receivers, axis=0), rows.dtype)
                count = ops.maximum(edges.at_receivers(largest), 1)
                share = ops.cast(gradient, sum_dtype(rows.dtype)) / count
                self._of_max = collected, ops.cast(share, rows.dtype)

    def piece(self, index: Tensor) -> list[Tensor]:
        """Returns the gradients of the outputs of a piece of the edges, (length, F) each."""
        receivers = self._edges.piece(self._edges.receivers, index)
        *before, total = (self._edges.piece(tensor, index) for tensor in self.upstream)
        if self._minus_of_sum is not None:
            total = total - ops.take(self._minus_of_sum, receivers, axis=0)  # see EdgePass
        if self._of_max is not None:
            maximum, share = (ops.take(tensor, receivers, axis=0) for tensor in self._of_max)
            largest = ops.cast(self._edges.piece(self._rows, index) == maximum, total.dtype)
            total = total + largest * share
        return [*before, total]


@dataclass(frozen=True)
class EdgePass:
    """One network's pass over the edges, forward and backward.

    Attributes are the arguments of ``network_on_edges``, all in compute dtype. The pass has the negative of
    what is at the receivers, and subtracts it. TensorFlow would merge several additions into one sum, and
    begin that sum with the first term that is there. If that happens in the forward pass for a sum of the
    backward pass, another array with a row for each edge is kept until then.
    """

    edges: Edges
    at_sender: Tensor
    minus_at_receiver: Tensor
    weights: Weights
    carried: tuple[Tensor, ...]
    residual: bool
    inner: bool

    def outputs(self) -> tuple[tuple[Tensor, ...], Layers | None]:
        """Computes the outputs, and returns with them the activations if ``edges.keep`` is set.

        Returns:
            The output, if there is a last layer, and the inner rows, if ``inner``. Activations or None.
        """
        if self.edges.pieces == 1:
            outputs, activations = self._forward(0)
            return outputs, activations if self.edges.keep else None

        # A scan asks for an example of what it collects.
        last, h = self.weights.last, self.at_sender.shape[-1]
        widths = [*([] if last is None else [last[0].shape[-1]]), *([h] if self.inner else [])]
        start = tuple(ops.zeros((self.edges.length, width), self.at_sender.dtype) for width in widths)
        _, pieces = ops.scan(lambda _, i: (self._forward(i)[0],) * 2, start, ops.arange(self.edges.pieces))
        return tuple(ops.reshape(piece, (-1, piece.shape[-1])) for piece in pieces), None

    def gradients(self, above: UpstreamGradients, activations: Layers | None) -> tuple[Tensor, ...]:
        """Computes the gradients of the arguments of ``network_on_edges``.

        Args:
            above: Gradients of the outputs.
            activations: What ``outputs`` returned. None to compute them again.

        Returns:
            Gradients of ``at_sender``, ``at_receiver``, each of ``carried``, and ``weights.flat()``.
        """
        if activations is not None:
            d_first, *d_arguments = self._backward(0, above.piece(0), activations)
        elif self.edges.pieces == 1:
            d_first, *d_arguments = self._delayed_until(above.upstream[0])._backward_again(0, above)
        else:
            d_first, *d_arguments = self._backward_piecewise(above)
        dtype = self.at_sender.dtype
        d_sender = ops.cast(self.edges.at_senders(d_first), dtype)
        d_receiver = ops.cast(self.edges.at_receivers(d_first), dtype)
        return d_sender, d_receiver, *d_arguments

    def _backward_piecewise(self, above: UpstreamGradients) -> tuple[Tensor, ...]:
        """Computes gradients piece by piece: joins those of rows, and adds those of weights."""
        on_edges = 1 + len(self.carried)  # how many of a piece's gradients have a row for each edge

        def step(state: tuple[Tensor, ...], index: Tensor) -> tuple[Any, Any]:
            part = self._backward_again(index, above)
            sums = (old + new for old, new in zip(state[on_edges:], part[on_edges:], strict=True))
            new = (*part[:on_edges], *sums)
            return new, new  # a scan's state has the structure of what it collects

        dtype = self.at_sender.dtype
        start = [ops.zeros((self.edges.length, self.at_sender.shape[-1]), dtype)] * on_edges
        start += [ops.zeros(weight.shape, sum_dtype(dtype)) for weight in self.weights.flat()]
        last, pieces = ops.scan(step, tuple(start), ops.arange(self.edges.pieces))
        rows = (ops.reshape(piece, (-1, piece.shape[-1])) for piece in pieces[:on_edges])
        return (*rows, *last[on_edges:])

    def _forward(self, index: Tensor) -> tuple[tuple[Tensor, ...], Layers]:
        """Computes the outputs of a piece of the edges, and its activations."""
        a = ops.take(self.at_sender, self.edges.piece(self.edges.senders, index), axis=0)
        a = a - ops.take(self.minus_at_receiver, self.edges.piece(self.edges.receivers, index), axis=0)
        carried = [self.edges.piece(rows, index) for rows in self.carried]
        for rows, kernel in zip(carried, self.weights.carried, strict=True):
            a = a + (rows if kernel is None else ops.matmul(rows, kernel))
        inner, activations = norm_relu_layers(a, self.weights.middle)
        outputs = [inner] if self.inner else []
        if self.weights.last is not None:
            output = linear(inner, self.weights.last)
            outputs = [output + carried[0] if self.residual else output, *outputs]
        return tuple(outputs), activations

    def _backward_again(self, index: Tensor, above: UpstreamGradients) -> tuple[Tensor, ...]:
        """Computes the activations of a piece again, and then its gradients."""
        return self._backward(index, above.piece(index), self._forward(index)[1])

    def _backward(self, index: Tensor, upstream: list[Tensor], activations: Layers) -> tuple[Tensor, ...]:
        """Computes the gradients of the first layer's output, of the carried rows, and of the weights.

        Args:
            index: The piece of the edges.
            upstream: Gradients of its outputs.
            activations: Its activations.
        """
        # The inner rows may have two gradients: through the last layer, and as an output of their own.
        of_output, d_inner, d_last = upstream[0], upstream[-1], list[Tensor]()
        if self.weights.last is not None:
            positive = relu_after(of_output, activations[-1])
            d_last, through_last = linear_gradient(of_output, positive, self.weights.last)
            d_inner = d_inner + through_last if self.inner else through_last
        d_first, d_middle = norm_relu_layers_gradient(d_inner, activations, self.weights.middle)

        # A kernel's gradient reads an array with a row for each edge, so the next product waits for it.
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

    def _delayed_until(self, upstream: Tensor) -> EdgePass:
        """Returns the same pass, which cannot begin before ``upstream`` is there."""
        zero = zero_depending_on(upstream)
        kernels = tuple(None if kernel is None else kernel + zero for kernel in self.weights.carried)
        return replace(
            self,
            at_sender=self.at_sender + zero,
            minus_at_receiver=self.minus_at_receiver + zero,
            weights=replace(self.weights, carried=kernels),
        )
