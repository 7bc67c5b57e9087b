"""The edges of a graph, in pieces or whole, and sums over the edges at their ends.

Array layouts used here and in all that works on edges (padding included, see ``events.py``):
    nodes: (N, h), edges: (E, h), compute dtype. The last node and the last edge are padding.
    senders, receivers: (E,) int32, rows of the nodes; edges stand in the order of their receivers.
    sender_order: (E,) int32, the edges in the order of their senders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from benchmarks.workloads.gnn_tracking.layers import Tensor, sum_dtype


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
        """Sums of ``values``, (E, F), over the edges of each receiver: (N, F), ``sum_dtype``."""
        return self._reduce(ops.segment_sum, ops.cast(values, sum_dtype(values.dtype)), self.receivers)

    def at_senders(self, values: Tensor) -> Tensor:
        """Sums of ``values``, (E, F), over the edges of each sender: (N, F), ``sum_dtype``."""
        ordered = ops.cast(ops.take(values, self.sender_order, axis=0), sum_dtype(values.dtype))
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
