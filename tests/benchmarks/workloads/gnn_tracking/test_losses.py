"""The loss on single edges, by hand."""

import math

import numpy as np
import pytest

pytest.importorskip("keras", reason="losses are written in Keras")

from keras import ops

from benchmarks.workloads.gnn_tracking.losses import edge_loss
from tests.reference import gnn_tracking as reference


def loss(logits, label, weight=None, true_weight=2.0):
    logits, label = np.array(logits, np.float32), np.array(label, np.float32)
    weight = np.ones_like(label) if weight is None else np.array(weight, np.float32)
    return float(ops.sum(edge_loss(true_weight)(logits, {"label": label, "weight": weight}, {})))


def test_no_opinion_costs_the_logarithm_of_two_for_each_class():
    assert loss([0, 0], [1, 0]) == pytest.approx(3 * math.log(2))


def test_the_weight_is_that_of_the_true_class():
    assert loss([0, 0], [1, 0], true_weight=5.0) == pytest.approx(6 * math.log(2))


def test_each_class_has_a_mean_of_its_own():
    """One true edge at ln 3, probability 3/4; of three false ones two at 0 and one at -ln 3."""
    third = math.log(3)
    expected = 2 * math.log(4 / 3) + (2 * math.log(2) + math.log(4 / 3)) / 3
    assert loss([third, 0, 0, -third], [1, 0, 0, 0]) == pytest.approx(expected)


def test_means_are_weighted():
    """True edges of weights 0.2 and 1, at probabilities of 1/2 and 3/4."""
    expected = 2 * (0.2 * math.log(2) + math.log(4 / 3)) / 1.2
    assert loss([0, math.log(3)], [1, 1], [0.2, 1]) == pytest.approx(expected)


def test_one_mean_over_all_edges_is_this_loss_up_to_a_factor():
    """With one true edge of weight 3 and three false ones, the one mean is 3/4 of the loss."""
    logits, label = [math.log(3), 0, 0, -math.log(3)], [1, 0, 0, 0]
    one_mean = (3 * math.log(4 / 3) + 2 * math.log(2) + math.log(4 / 3)) / 4
    assert 3 / 4 * loss(logits, label, true_weight=3 * 1 / 3) == pytest.approx(one_mean)


def test_padding_has_no_part():
    assert loss([0, 0, 50], [1, 0, 0], [1, 1, 0]) == loss([0, 0], [1, 0])


@pytest.mark.parametrize(("label", "expected"), [(1, 2 * math.log(2)), (0, math.log(2))])
def test_a_class_without_edges_has_no_part(label, expected):
    assert loss([0, 0], [label] * 2) == pytest.approx(expected)


def test_nothing_but_padding_costs_nothing():
    assert loss([3, -3], [0, 0], [0, 0]) == 0


def test_edges_far_off_cost_their_logit():
    assert loss([-1e4, 1e4], [1, 0]) == pytest.approx(3e4)
    assert loss([1e4, -1e4], [1, 0]) == 0


def test_agrees_with_the_transcription():
    rng = np.random.default_rng(0)
    logits, weight = ops.convert_to_tensor(rng.normal(0, 3, 50)), rng.uniform(0, 1, 50)
    targets = {"label": (rng.random(50) < 0.3).astype(np.float32), "weight": weight}
    expected = float(reference.loss(logits, targets, true_weight=3.0))
    assert float(ops.sum(edge_loss(3.0)(logits, targets, {}))) == pytest.approx(expected, rel=1e-12)
