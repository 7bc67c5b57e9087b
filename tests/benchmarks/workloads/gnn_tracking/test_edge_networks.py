"""Networks on the edges of a graph of three hits, by hand."""

import dataclasses

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="layers are written in Keras")

from keras import ops  # noqa: E402

from benchmarks.workloads.gnn_tracking.edge_networks import Weights, network_on_edges  # noqa: E402
from tests.benchmarks.workloads.gnn_tracking.test_edges import three_hits  # noqa: E402


@pytest.fixture(params=[False, True], ids=["sorted segments", "fixed sums"])
def edges(request):
    return three_hits(fixed_sums=request.param)


def rows(*values):
    return ops.convert_to_tensor(np.array(values, np.float32))


AT_SENDER = rows([0, 0], [1, 2], [0, 3], [0, 0])
AT_RECEIVER = rows([10, 20], [0, 0], [30, 40], [0, 0])
E = rows([-2, -10.5], [-8.5, -11], [-15, -17.5], [0, 0])
TWICE, NOTHING = rows([2, 0], [0, 2]), rows([0, 0], [0, 0])
LAST = rows([10, 0], [0, 5]), ops.convert_to_tensor([1.0, 2.0])
INNER = [[1.4, 0.2], [0, 0.2], [0.2, 1.4], [0, 0]]


def on_edges(edges, *carried, kernels=(TWICE,), last=None, **options):
    weights = Weights(kernels, [], last)
    made = network_on_edges(edges, AT_SENDER, AT_RECEIVER, weights, carried, **options)
    return [pytest.approx(np.asarray(tensor), abs=1e-5) for tensor in made]


def test_the_first_layer_adds_what_its_parts_say(edges):
    """Edge 1 -> 0: (1, 2) from sender, (10, 20) from receiver, twice its own: (7, 1), of mean square 25."""
    assert on_edges(edges, E, inner=True) == [np.array(INNER)]


def test_edges_carry_nothing_one_array_or_several(edges):
    """Edge 1 -> 0 without a state of its own: (11, 22), of mean square 302.5."""
    alone = network_on_edges(edges, AT_SENDER, AT_RECEIVER, Weights((), [], None), inner=True)
    assert np.asarray(alone[0])[0] == pytest.approx([0.4**0.5, 1.6**0.5])
    one = ops.convert_to_tensor(np.eye(2, dtype=np.float32))
    for kernels, carried in (((None,), (2 * E,)), ((one, one), (E, E)), ((None, one), (E, E))):
        assert on_edges(edges, *carried, kernels=kernels, inner=True) == [np.array(INNER)]


def test_what_nodes_collect_of_the_output(edges):
    made = on_edges(edges, E, last=LAST, collect=("sum", "max"))
    output = np.array([[15, 3], [1, 3], [3, 9], [1, 2]])
    total = np.array([[16, 6], [0, 0], [3, 9], [1, 2]])
    assert made == [output, total, np.array([[15, 3], [0, 0], [3, 9], [1, 2]])]


def test_what_nodes_collect_of_inner_rows(edges):
    output, inner, total = on_edges(edges, E, last=LAST, inner=True, collect=("sum",))
    assert output == np.array([[15, 3], [1, 3], [3, 9], [1, 2]])
    assert inner == np.array(INNER)
    assert total == np.array([[1.4, 0.4], [0, 0], [0.2, 1.4], [0, 0]])


def test_a_residual_adds_what_the_edge_carries_first(edges):
    (output,) = on_edges(edges, E, 3 * E, kernels=(NOTHING, TWICE / 3), last=LAST, residual=True)
    assert output == np.array([[13, -7.5], [-7.5, -8], [-12, -8.5], [1, 2]])


@pytest.mark.parametrize("keep", [True, False])
def test_edges_that_share_a_maximum_share_its_gradient(edges, keep):
    """The output is what edges carry: nothing of the network itself is added."""
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow here")
    edges = dataclasses.replace(edges, keep=keep)
    e = rows([5, 7], [5, 6], [-1, 0], [0, 0])
    weights = Weights((TWICE,), [], (NOTHING, ops.zeros(2)))
    with tf.GradientTape() as tape:
        tape.watch(e)
        _, largest = network_on_edges(
            edges, AT_SENDER, AT_RECEIVER, weights, (e,), residual=True, collect=("max",)
        )
        total = tf.reduce_sum(largest * rows([6, 4], [100, 100], [2, 3], [0, 0]))
    assert tape.gradient(total, e).numpy().tolist() == [[3, 4], [3, 0], [2, 3], [0, 0]]


@pytest.mark.parametrize("keep", [True, False])
def test_gradients_at_the_ends_by_hand(edges, keep):
    """da = (G [n > 0] - n mean(p G)) / 5, with G = (1, 0) for edges to hit 0 and (0, 10) for that to 2."""
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow here")
    edges = dataclasses.replace(edges, keep=keep)
    watched = [AT_SENDER, AT_RECEIVER, E]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        weights = Weights((TWICE,), [], None)
        _, total = network_on_edges(
            edges, AT_SENDER, AT_RECEIVER, weights, (E,), inner=True, collect=("sum",)
        )
        loss = tf.reduce_sum(total * rows([1, 0], [100, 100], [0, 10], [0, 0]))
    first, third = np.array([0.004, -0.028]), np.array([-0.28, 0.04])
    none = np.zeros(2)
    expected = [
        [none, first + third, none, none],
        [first, none, third, none],
        [2 * first, none, 2 * third, none],
    ]
    for got, wanted in zip(tape.gradient(loss, watched), expected, strict=True):
        assert got.numpy() == pytest.approx(np.array(wanted), abs=1e-5)
