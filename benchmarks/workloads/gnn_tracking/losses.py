"""The training loss of GNN tracking."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keras import ops

from benchmarks.workloads.gnn_tracking.layers import Tensor


def edge_loss(true_weight: float) -> Callable[[Tensor, Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]:
    """Binary cross-entropy with a mean for each class: w mean(true edges) + mean(false edges).

    Source: X. Ju et al., Eur. Phys. J. C 81 (2021) 876, arXiv:2103.06995, with w = ``true_weight``.

    Returns:
        A function of logits (edges,), targets and inputs as ``events`` lays them out, to the two terms:
        true edges, false edges. Means are weighted with ``targets["weight"]``, which is 0 on padding. A
        class without edges has no part.
    """

    def loss(logits: Tensor, targets: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG001
        label = ops.cast(targets["label"], logits.dtype)
        weight = ops.cast(targets["weight"], logits.dtype)
        # -log sigmoid(x) = log(1 + exp(-x)); of a false edge, the same of -x.
        entropy = ops.softplus(logits) - label * logits
        true, false = _mean(entropy, weight * label), _mean(entropy, weight * (1.0 - label))
        return ops.stack([true_weight * true, false])

    return loss


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    total = ops.sum(weights)
    return ops.sum(values * weights) / ops.where(total > 0, total, ops.ones_like(total))
