"""The edges of a graph, in pieces or whole, and sums over the edges at their ends.

Array layouts used here and in all that works on edges (padding included, see ``batches.py``):
    nodes: (N, h), edges: (E, h), compute dtype. The last node and the last edge are padding.
    senders, receivers: (E,) int32, rows of the nodes. Edges are in the order of their receivers.
    sender_order: (E,) int32, the edges in the order of their senders.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from benchmarks.operations import reduce_segments
from benchmarks.workloads.gnn_tracking.layers import Tensor, sum_dtype


@dataclass(frozen=True)
class Edges:
    """The ends of the edges of a batch, and how networks work through them.

    Attributes:
        senders: As the module says.
        receivers: As the module says.
        sender_order: As the module says.
        nodes: N.
        pieces: Pieces of equal length that a network works through one after another.
        keep: Keep activations for the backward pass (with one piece only). Otherwise compute them again.
        fixed_sums: Compute sums with a fixed number of rows, which XLA needs. Otherwise sums of sorted
            segments.
    """

    senders: Tensor
    receivers: Tensor
    sender_order: Tensor
    nodes: int
    pieces: int = 1
    keep: bool = True
    fixed_sums: bool = False

    def at_receivers(self, values: Tensor) -> Tensor:
        """Sums ``values``, (E, F), over the edges of each receiver: (N, F), ``sum_dtype``."""
        return self._reduce("sum", ops.cast(values, sum_dtype(values.dtype)), self.receivers)

    def at_senders(self, values: Tensor) -> Tensor:
        """Sums ``values``, (E, F), over the edges of each sender: (N, F), ``sum_dtype``."""
        ordered = ops.cast(ops.take(values, self.sender_order, axis=0), sum_dtype(values.dtype))
        return self._reduce("sum", ordered, ops.take(self.senders, self.sender_order, axis=0))

    def largest_at_receivers(self, values: Tensor) -> Tensor:
        """Returns the largest ``values``, (E, F), of each receiver's edges: (N, F), 0 without edges."""
        largest = self._reduce("max", values, self.receivers)
        has_edges = self.at_receivers(ops.ones((values.shape[0], 1), values.dtype)) > 0
        return ops.where(has_edges, largest, ops.zeros_like(largest))

    @property
    def length(self) -> int:
        """Returns the number of edges in a piece."""
        length: int = self.senders.shape[0] // self.pieces
        return length

    def piece(self, rows: Tensor, index: Tensor) -> Tensor:
        """Returns the rows of a piece, (length, ...), out of those of all edges, (E, ...)."""
        if self.pieces == 1:
            return rows
        row_shape = rows.shape[1:]
        return ops.slice(rows, (index * self.length, *(0 for _ in row_shape)), (self.length, *row_shape))

    def _reduce(self, how: str, values: Tensor, ids: Tensor) -> Tensor:
        # The last edge leads to the last node, so there is a sum for every node.
        reduced = reduce_segments(values, ids, self.nodes, how, self.fixed_sums)
        return ops.reshape(reduced, (self.nodes, values.shape[-1]))
