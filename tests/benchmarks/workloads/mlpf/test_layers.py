"""The graph layer's parts on cases a person can work out."""

import math

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="models are written in Keras")

from benchmarks.workloads.mlpf.layers import GraphLayer, pair_convolution, pair_kernel, permute_rows  # noqa: E402


def test_kernel_of_a_three_four_five_triangle():
    points = np.array([[[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]]) * 0.1  # the decay is in the scale
    kernel, distance, _ = (np.asarray(array) for array in pair_kernel(points))
    assert distance[0, 0, 1:] == pytest.approx([0.3, 0.4], rel=1e-5)
    assert distance[0, 1, 2] == pytest.approx(0.5, rel=1e-5)
    assert kernel[0, 1, 2] == pytest.approx(math.exp(-0.5), rel=1e-5)
    assert distance[0, 0, 0] == pytest.approx(1e-4), "never below the minimum distance of 1e-3"


def test_convolution_of_two_points_by_hand():
    near = math.exp(-1e-4)  # an element with itself, at the minimum distance
    far = math.exp(-0.5)  # 5 apart
    points = np.array([[[0.0, 0.0], [3.0, 4.0]]], np.float32)
    features = np.array([[[1.0], [2.0]]], np.float32)
    got = np.asarray(pair_convolution(points, features, np.ones((1, 2, 1), np.float32)))
    degree = near + far
    assert got[0, 0, 0] == pytest.approx((near * 1 + far * 2) / degree, rel=1e-5)
    assert got[0, 1, 0] == pytest.approx((far * 1 + near * 2) / degree, rel=1e-5)


def test_convolution_leaves_padding_out():
    points = np.array([[[0.0], [1.0], [0.5]]], np.float32)
    features = np.array([[[1.0], [2.0], [100.0]]], np.float32)
    mask = np.array([[[1.0], [1.0], [0.0]]], np.float32)
    with_padding = np.asarray(pair_convolution(points, features, mask))
    without = np.asarray(pair_convolution(points[:, :2], features[:, :2], mask[:, :2]))
    assert with_padding[:, :2] == pytest.approx(without, rel=1e-6)
    assert with_padding[0, 2, 0] == 0.0


def test_permutation_and_its_gradient():
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow here")
    rows = tf.constant([[1.0], [2.0], [3.0]])
    order, inverse = tf.constant([2, 0, 1]), tf.constant([1, 2, 0])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        moved = permute_rows(rows, order, inverse)
        total = tf.reduce_sum(moved * tf.constant([[10.0], [20.0], [30.0]]))
    assert moved.numpy().ravel().tolist() == [3.0, 1.0, 2.0]
    assert tape.gradient(total, rows).numpy().ravel().tolist() == [20.0, 30.0, 10.0]


def test_bins_hold_every_element_once_and_padding_last():
    layer = GraphLayer(np.random.default_rng(0), units=8, distance_dim=4, max_bins=100)
    layer.build((None, 3))
    points = np.random.default_rng(1).normal(size=(2 * 12, 4)).astype(np.float32)
    real = 9
    mask = np.tile((np.arange(12) < real).astype(np.float32), 2)[:, None]
    order, inverse = (np.asarray(a) for a in layer.hash_order(points, mask, (2, 12, 3)))
    assert sorted(order) == list(range(24))
    assert order[inverse].tolist() == list(range(24))
    for event in range(2):
        own = order[event * 12 : (event + 1) * 12] - event * 12
        assert set(own[real:]) == set(range(real, 12))


def test_hash_code_is_the_largest_of_the_projections_and_their_negatives():
    layer = GraphLayer(np.random.default_rng(0), units=2, distance_dim=2, max_bins=4)
    layer.build((None, 3))
    layer.codebook.assign(np.eye(2))
    # Codes: 0 for +x, 1 for +y, 2 for -x, 3 for -y.
    points = np.array([[0.0, -5.0], [5.0, 0.0], [-5.0, 0.0], [0.0, 5.0]], np.float32)
    order, _ = layer.hash_order(points, np.ones((4, 1), np.float32), (1, 4, 1))
    assert np.asarray(order).tolist() == [1, 3, 2, 0]
