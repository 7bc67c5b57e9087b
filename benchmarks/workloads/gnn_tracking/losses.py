"""The training loss of GNN tracking."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keras import ops

from benchmarks.workloads.gnn_tracking.layers import Tensor


def edge_loss(true_weight: float) -> Callable[[Tensor, Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]:
    """Returns a binary cross-entropy with a mean for each class: w mean(true edges) + mean(false edges).

    Source: the trainer of the interaction network in Exa.TrkX' pipeline, with w = ``true_weight``
    (github.com/HSF-reco-and-software-triggers/Tracking-ML-Exa.TrkX, Pipelines/Common_Tracking_Example).
    The trainers of the network's publication (arXiv:2103.06995) take one mean over all edges instead, in
    which a true edge has a weight p. Of n_true and n_false edges without weights of their own, that mean is
    this loss with w = p n_true / n_false, times n_false / (n_true + n_false).

    Args:
        true_weight: Weight of the true edges' mean.

    Returns:
        A function that computes two terms, those of the true and of the false edges, from logits (edges,),
        targets and inputs as ``batches`` lays them out. Means are weighted with ``targets["weight"]``, which
        is 0 on padding. The term of a class without edges is 0.
    """

    def loss(
        logits: Tensor,
        targets: Mapping[str, Tensor],
        inputs: Mapping[str, Tensor],  # noqa: ARG001 (every loss has the same arguments)
    ) -> Tensor:
        label = ops.cast(targets["label"], logits.dtype)
        weight = ops.cast(targets["weight"], logits.dtype)
        # A true edge has -log sigmoid(x) = log(1 + exp(-x)), a false edge the same of -x.
        entropy = ops.softplus(logits) - label * logits
        true, false = _mean(entropy, weight * label), _mean(entropy, weight * (1.0 - label))
        return ops.stack([true_weight * true, false])

    return loss


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    total = ops.sum(weights)
    return ops.sum(values * weights) / ops.where(total > 0, total, ops.ones_like(total))
