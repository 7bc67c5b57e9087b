"""What the edges of a graph of three hits bring to its nodes, by hand."""

import dataclasses

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="layers are written in Keras")

from keras import ops  # noqa: E402

from benchmarks.gnn_tracking.edges import Edges, network_on_edges  # noqa: E402

# The inner hit is 1, the next 2, the outer 0: edges 1 -> 0, 2 -> 0, 1 -> 2, and padding 3 -> 3.
SENDERS, RECEIVERS, ORDER = [1, 2, 1, 3], [0, 0, 2, 3], [0, 2, 1, 3]
VALUES = np.array([[1, -10], [2, -20], [4, -40], [8, 80]], np.float32)


def three_hits(**options):
    senders, receivers, order = (
        ops.convert_to_tensor(rows, dtype="int32") for rows in (SENDERS, RECEIVERS, ORDER)
    )
    return Edges(senders, receivers, order, nodes=4, **options)


@pytest.fixture(params=[False, True], ids=["sorted segments", "fixed sums"])
def edges(request):
    return three_hits(fixed_sums=request.param)


def test_sums_at_receivers(edges):
    assert np.asarray(edges.at_receivers(VALUES)).tolist() == [[3, -30], [0, 0], [4, -40], [8, 80]]


def test_sums_at_senders(edges):
    assert np.asarray(edges.at_senders(VALUES)).tolist() == [[0, 0], [5, -50], [2, -20], [8, 80]]


def test_the_largest_at_receivers_and_zero_without_any(edges):
    assert np.asarray(edges.largest_at_receivers(VALUES)).tolist() == [[2, -10], [0, 0], [4, -40], [8, 80]]


@pytest.mark.parametrize("way", ["at_receivers", "at_senders"])
def test_sums_of_short_numbers_are_float32(edges, way):
    """In bfloat16, 256 + 1 is 256."""
    values = ops.convert_to_tensor([[256.0], [1.0], [1.0], [0.0]], dtype="bfloat16")
    got = getattr(edges, way)(values)
    assert keras.backend.standardize_dtype(got.dtype) == "float32"
    assert float(ops.max(got)) == 257


def test_the_largest_of_short_numbers_stays_short(edges):
    got = edges.largest_at_receivers(ops.cast(VALUES, "bfloat16"))
    assert keras.backend.standardize_dtype(got.dtype) == "bfloat16"


def test_pieces_are_runs_of_rows():
    edges = three_hits(pieces=2, keep=False)
    assert edges.length == 2
    assert np.asarray(edges.piece(edges.senders, 1)).tolist() == [1, 3]
    assert np.asarray(edges.piece(ops.convert_to_tensor(VALUES), 0)).tolist() == [[1, -10], [2, -20]]


def column(*values):
    return ops.convert_to_tensor([[float(value)] for value in values])


AT_SENDER, AT_RECEIVER, E = column(1, 2, 3, 0), column(100, 200, 300, 0), column(0.5, -2, 4, 0)


def test_the_first_layer_adds_what_its_parts_say(edges):
    """Edge 1 -> 0: 2 from the sender, 100 from the receiver, 10 times its own 0.5."""
    output, total, largest = network_on_edges(
        edges, AT_SENDER, AT_RECEIVER, [], (E, column(10)), collect=("sum", "max")
    )
    assert np.asarray(output).ravel().tolist() == [107, 83, 342, 0]
    assert np.asarray(total).ravel().tolist() == [190, 0, 342, 0]
    assert np.asarray(largest).ravel().tolist() == [107, 0, 342, 0]


def test_a_residual_adds_the_edge_itself(edges):
    (output,) = network_on_edges(edges, AT_SENDER, AT_RECEIVER, [], (E, column(10)), residual=True)
    assert np.asarray(output).ravel().tolist() == [107.5, 81, 346, 0]


def test_without_a_state_of_their_own_edges_read_their_ends(edges):
    (output,) = network_on_edges(edges, AT_SENDER, AT_RECEIVER, [])
    assert np.asarray(output).ravel().tolist() == [102, 103, 302, 0]


@pytest.mark.parametrize("keep", [True, False])
def test_edges_that_share_a_maximum_share_its_gradient(edges, keep):
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow here")
    edges = dataclasses.replace(edges, keep=keep)
    e, zeros = column(5, 5, -1, 0), column(0, 0, 0, 0)
    with tf.GradientTape() as tape:
        tape.watch(e)
        _, largest = network_on_edges(edges, zeros, zeros, [], (e, column(1)), collect=("max",))
        total = tf.reduce_sum(largest * column(6, 100, 2, 0))
    assert tape.gradient(total, e).numpy().ravel().tolist() == [3, 3, 2, 0]


@pytest.mark.parametrize("keep", [True, False])
def test_gradients_at_the_ends_by_hand(edges, keep):
    """Of the sums at hits 0 and 2, 1 and 7 times: node 1 sends 1 + 7, and receives nothing."""
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow here")
    edges = dataclasses.replace(edges, keep=keep)
    watched = [AT_SENDER, AT_RECEIVER, E]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        _, collected = network_on_edges(
            edges, AT_SENDER, AT_RECEIVER, [], (E, column(10)), residual=True, collect=("sum",)
        )
        total = tf.reduce_sum(collected * column(1, 100, 7, 0))
    got = [gradient.numpy().ravel().tolist() for gradient in tape.gradient(total, watched)]
    assert got == [[0, 8, 1, 0], [2, 0, 7, 0], [11, 11, 77, 0]]
