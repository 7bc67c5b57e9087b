"""Norm, ReLU and linear layer on rows that a person can work out."""

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="layers are written in Keras")

from keras import ops  # noqa: E402

from benchmarks.workloads.gnn_tracking.layers import (  # noqa: E402
    Network,
    linear,
    norm_relu_layers,
    norm_relu_layers_gradient,
    product,
    sum_dtype,
    zero_depending_on,
)
from tests.reference.gnn_tracking import mlp  # noqa: E402

KERNEL = ops.convert_to_tensor([[2.0, 1.0], [5.0, 7.0]])
BIAS = ops.convert_to_tensor([10.0, 20.0])


def row(*values):
    return ops.convert_to_tensor([list(values)], dtype="float32")


def test_a_row_of_three_and_minus_three():
    """Its mean square is 9: the norm makes it 1 and -1, the ReLU 1 and 0."""
    output, ((normed, factor),) = norm_relu_layers(row(3, -3), [])
    assert np.asarray(output)[0] == pytest.approx([1, 0], rel=1e-5)
    assert np.asarray(normed)[0] == pytest.approx([1, -1], rel=1e-5)
    assert np.asarray(factor) == pytest.approx(1 / 3, rel=1e-5)


def test_the_epsilon_of_the_norm():
    """A mean square of 1e-5, its own size: the norm gives 1 / sqrt(2)."""
    size = 1e-5**0.5
    output, _ = norm_relu_layers(row(size, -size), [])
    assert np.asarray(output)[0] == pytest.approx([0.5**0.5, 0], rel=1e-6)


def test_of_a_row_without_spread_nothing_is_left():
    output, _ = norm_relu_layers(row(0, 0), [])
    assert np.asarray(output).tolist() == [[0, 0]]


def test_a_linear_layer():
    assert np.asarray(linear(row(1, 2), (KERNEL, BIAS))).tolist() == [[22, 35]]


def test_layers_follow_one_another():
    """Of 1 and 0 the layer makes 6 and -6, of which the norm makes 1 and -1 again."""
    layer = ops.convert_to_tensor([[4.0, -4.0], [9.0, -9.0]]), ops.convert_to_tensor([2.0, -2.0])
    output, kept = norm_relu_layers(row(3, -3), [layer])
    assert np.asarray(output)[0] == pytest.approx([1, 0], rel=1e-5)
    assert [np.asarray(normed)[0] for normed, _ in kept] == [pytest.approx([1, -1], rel=1e-5)] * 2
    assert [float(factor[0, 0]) for _, factor in kept] == pytest.approx([1 / 3, 1 / 6], rel=1e-5)


@pytest.fixture
def network():
    return Network(np.random.default_rng(2), 3, [5, 5, 4])


def test_the_mean_is_taken_off_the_weights_before_a_norm(network):
    *before, last = network.linear()
    for kernel, bias in before:
        assert np.asarray(kernel).mean(axis=-1) == pytest.approx(0, abs=1e-6)
        assert np.asarray(bias).mean() == pytest.approx(0, abs=1e-6)
    for got, variable in zip(last, network.weights[-2:], strict=True):
        assert np.array_equal(np.asarray(got), np.asarray(variable))


def test_a_network_is_its_published_self(network):
    rows = np.random.default_rng(3).normal(size=(7, 3)).astype(np.float32)
    got = network(rows)
    published = list(zip(network.weights[::2], network.weights[1::2], strict=True))
    assert np.asarray(got) == pytest.approx(np.asarray(mlp(published, rows)), rel=1e-4, abs=1e-6)


def test_initial_weights_follow_the_generator_and_the_inputs():
    drawn = [Network(np.random.default_rng(seed), 100, [25, 1]).get_weights() for seed in (0, 0, 1)]
    assert all(np.array_equal(a, b) for a, b in zip(*drawn[:2], strict=True))
    assert not np.array_equal(drawn[0][0], drawn[2][0])
    kernel, bias, last_kernel, last_bias = drawn[0]
    assert (kernel.shape, bias.shape, last_kernel.shape, last_bias.shape) == ((100, 25), (25,), (25, 1), (1,))
    assert 0.099 < np.abs(kernel).max() < 0.1
    assert 0.15 < np.abs(last_kernel).max() < 0.2


def test_the_gradient_is_that_of_the_framework():
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow here")
    rng = np.random.default_rng(4)

    def drawn(*shape):
        return tf.constant(rng.normal(size=shape))

    a, upstream = drawn(6, 4), drawn(6, 3)
    layers = [(drawn(4, 5), drawn(5)), (drawn(5, 3), drawn(3))]
    flat = [a, *(tensor for pair in layers for tensor in pair)]
    with tf.GradientTape() as tape:
        tape.watch(flat)
        output, norms = norm_relu_layers(a, layers)
    expected = tape.gradient(output, flat, output_gradients=upstream)
    d_a, d_layers = norm_relu_layers_gradient(upstream, norms, layers)
    for got, want in zip([d_a, *d_layers], expected, strict=True):
        assert got.numpy() == pytest.approx(want.numpy(), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("first", [0.0, -2.5, 3e38, np.inf])
def test_a_zero_after_numbers_is_zero(first):
    assert float(zero_depending_on(row(first, np.nan), row(1))) == 0


def test_a_zero_after_something_that_is_no_number_is_none_either():
    assert np.isnan(float(zero_depending_on(row(1), row(np.nan))))


def test_sums_of_short_numbers_are_float32():
    ones = ops.ones((3, 1), "bfloat16")
    got = product(ones, ops.convert_to_tensor([[1.0], [2.0], [3.0]], dtype="bfloat16"))
    assert (keras.backend.standardize_dtype(got.dtype), float(got[0, 0])) == ("float32", 6)
    names = ("float16", "bfloat16", "float32", "float64")
    assert [sum_dtype(name) for name in names] == ["float32", "float32", "float32", "float64"]
