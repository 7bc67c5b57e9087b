"""The loss on single elements, by hand."""

import math

import numpy as np
import pytest

pytest.importorskip("keras", reason="losses are written in Keras")

from benchmarks.workloads.mlpf.losses import mlpf_loss


def one_element(elements=1):
    """(predictions, targets, inputs) of one event with one real element, all right but for the class."""
    predictions = np.zeros((1, elements, 12), np.float32)
    targets = np.zeros((1, elements, 7), np.float32)
    inputs = np.zeros((1, elements, 12), np.float32)
    inputs[0, 0, 0] = 1
    targets[0, 0, 0] = 2
    return predictions, targets, inputs


def loss(arrays):
    return float(mlpf_loss(*arrays))


def test_six_equal_logits_cost_the_logarithm_of_six():
    assert loss(one_element()) == pytest.approx(math.log(6))


def test_the_denominator_counts_padding():
    assert loss(one_element(elements=4)) == pytest.approx(math.log(6) / 4)


@pytest.mark.parametrize(
    ("column", "error", "expected"),
    [
        (6, 3.0, 9.0),  # charge: squared
        (7, 0.5, 100 * 0.125),  # pt, inside the threshold of 1: half the square
        (7, 3.0, 100 * 2.5),  # pt, outside: 1 * (3 - 0.5)
        (8, 0.3, 100 * 0.1 * 0.25),  # eta, threshold 0.1
        (9, 0.05, 100 * 0.00125),
        (10, -0.3, 100 * 0.1 * 0.25),
        (11, -3.0, 100 * 2.5),
    ],
)
def test_each_regressed_column(column, error, expected):
    predictions, targets, inputs = one_element()
    predictions[0, 0, column] = error
    assert loss((predictions, targets, inputs)) == pytest.approx(math.log(6) + expected, rel=1e-5)


def test_an_element_without_a_particle_has_no_regression():
    predictions, targets, inputs = one_element()
    targets[0, 0, 0] = 0
    predictions[0, 0, 6:] = 7.0
    assert loss((predictions, targets, inputs)) == pytest.approx(math.log(6))


def test_padding_has_no_loss_of_its_own():
    predictions, targets, inputs = one_element(elements=2)
    before = loss((predictions, targets, inputs))
    predictions[0, 1] = 9.0
    assert loss((predictions, targets, inputs)) == pytest.approx(before)


def test_the_cross_entropy_stops_at_the_smallest_probability():
    predictions, targets, inputs = one_element()
    predictions[0, 0, 0] = 100.0
    assert loss((predictions, targets, inputs)) == pytest.approx(-math.log(1e-7))
