"""The model against its plain transcription, memory modes against one another, and what must not matter."""

import dataclasses

import numpy as np
import pytest

from tests.benchmarks.workloads.gnn_tracking.toy import make_inputs, padded, real_graph

keras = pytest.importorskip("keras", reason="models are written in Keras")
tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow here")

from benchmarks.workloads.gnn_tracking.config import PRESETS  # noqa: E402
from benchmarks.workloads.gnn_tracking.losses import edge_loss  # noqa: E402
from benchmarks.workloads.gnn_tracking.model import InteractionNetwork, Shape, _blocks  # noqa: E402
from benchmarks.workloads.gnn_tracking.workload import WORKLOAD  # noqa: E402
from tests.reference import gnn_tracking as reference  # noqa: E402

MODES = {"store": {}, "checkpoint": {"keep": False}, "chunked": {"keep": False, "piece_edges": 20}}
SMALL = Shape(hidden=8, iterations=3)  # two blocks in mode chunked
NODES, EDGES, REAL = 24, 60, 50  # three pieces, one of them with padding
PADDED = {"nodes": NODES, "edges": EDGES}


@pytest.fixture
def precision():
    """Sets the number format of models made in a test, and takes it back."""

    def choose(name):
        keras.config.set_floatx("float64" if name == "float64" else "float32")
        keras.config.set_dtype_policy(name)

    yield choose
    choose("float32")


@pytest.mark.parametrize(
    ("iterations", "pieces", "blocks"),
    [(8, 1, [1] * 8), (8, 2, [3, 3, 2]), (1, 2, [1]), (3, 2, [2, 1]), (16, 9, [4] * 4)],
)
def test_states_are_kept_once_in_sqrt_of_the_iterations(iterations, pieces, blocks):
    got = _blocks(iterations, pieces)
    assert [len(numbers) for numbers in got] == blocks
    assert [number for numbers in got for number in numbers] == list(range(iterations))


def network(shape=SMALL, **options):
    return InteractionNetwork(np.random.default_rng(3), shape, **options)


def taught(model, inputs, targets):
    """(logits, loss, gradients) of the model."""
    return _taught(model.trainable_variables, lambda: model(inputs), edge_loss(2.0), inputs, targets)


def transcribed(model, inputs, targets):
    """(logits, loss, gradients) of the transcription with the weights of the model."""
    weights, shape = reference.weights_of(model), model.shape

    def forward():
        return reference.forward(weights, inputs, iterations=shape.iterations, with_max=shape.with_max)

    def loss(logits, targets, _):
        return reference.loss(logits, targets)

    return _taught(model.trainable_variables, forward, loss, inputs, targets)


def _taught(variables, forward, loss, inputs, targets):
    with tf.GradientTape() as tape:
        logits = forward()
        value = tf.reduce_sum(loss(logits, targets, inputs))
    gradients = tape.gradient(value, [variable.value for variable in variables])
    return logits.numpy(), float(value), [gradient.numpy() for gradient in gradients]


def assert_close(got, expected, close):
    for mine, theirs in zip(got[:2], expected[:2], strict=True):
        assert mine == pytest.approx(theirs, rel=close, abs=close)
    for number, (mine, theirs) in enumerate(zip(got[2], expected[2], strict=True)):
        assert np.linalg.norm(mine - theirs) <= close * np.linalg.norm(theirs), f"gradient {number}"


def published_count(h, nodes, edges, collections):
    def mlp(inputs, layers):
        return inputs * h + h + (layers - 1) * (h * h + h)

    encoders = mlp(3, nodes) + mlp(2 * h, edges)
    return encoders + mlp((1 + collections) * h, nodes) + 2 * mlp(3 * h, edges) + h + 1


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        (Shape(), 83_137),
        (Shape(node_layers=2, with_max=True), 78_913),
        (Shape(hidden=128, with_max=True), 346_497),
        (Shape(hidden=5, node_layers=4, edge_layers=2), published_count(5, 4, 2, 1)),
        (Shape(hidden=6, node_layers=2, edge_layers=5, with_max=True), published_count(6, 2, 5, 2)),
    ],
)
def test_parameters_of_the_original(shape, parameters):
    assert network(shape).count_params() == parameters
    assert (
        published_count(shape.hidden, shape.node_layers, shape.edge_layers, 1 + shape.with_max) == parameters
    )


@pytest.mark.parametrize(("size", "parameters"), [("default", 83_137), ("large", 346_497)])
def test_the_workload_builds_the_published_sizes(size, parameters):
    config = dataclasses.replace(PRESETS["full"], size=size)
    assert WORKLOAD.build(config, np.random.default_rng(0)).model.count_params() == parameters


def test_initial_weights_follow_the_generator():
    drawn = (InteractionNetwork(np.random.default_rng(seed), SMALL).get_weights() for seed in (0, 0, 1))
    for first, again, other in zip(*drawn, strict=True):
        assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("with_max", [False, True], ids=["sum", "sum and max"])
@pytest.mark.parametrize("fixed_sums", [False, True], ids=["sorted segments", "fixed sums"])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_agrees_with_the_transcription(precision, mode, fixed_sums, with_max):
    precision("float64")
    batch = make_inputs(NODES, EDGES, REAL)
    model = network(dataclasses.replace(SMALL, with_max=with_max), fixed_sums=fixed_sums, **MODES[mode])
    assert_close(taught(model, *batch), transcribed(model, *batch), 1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_agrees_to_float32_accuracy(mode):
    batch = make_inputs(NODES, EDGES, REAL)
    model = network(dataclasses.replace(SMALL, with_max=True), **MODES[mode])
    assert_close(taught(model, *batch), transcribed(model, *batch), 2e-5)


@pytest.mark.parametrize("layers", [2, 4])
def test_other_depths_agree_with_the_transcription(precision, layers):
    precision("float64")
    batch = make_inputs(NODES, EDGES, REAL)
    shape = Shape(hidden=4, node_layers=6 - layers, edge_layers=layers, iterations=1)
    model = network(shape, **MODES["chunked"])
    assert_close(taught(model, *batch), transcribed(model, *batch), 1e-10)


@pytest.mark.parametrize(("policy", "close"), [("float32", 1e-5), ("mixed_bfloat16", 0.02)])
def test_modes_give_the_same(precision, policy, close):
    precision(policy)
    batch = make_inputs(NODES, EDGES, REAL)
    shape = dataclasses.replace(SMALL, with_max=True)
    store, *others = (taught(network(shape, **options), *batch) for options in MODES.values())
    for other in others:
        assert_close(other, store, close)


@pytest.mark.parametrize("piece_edges", [12, 30, 60, 100])
def test_the_size_of_a_piece_does_not_matter(piece_edges):
    batch = make_inputs(NODES, EDGES, REAL)
    pieces = taught(network(keep=False, piece_edges=piece_edges), *batch)
    assert_close(pieces, taught(network(), *batch), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_xla_gives_the_same(mode):
    batch = make_inputs(NODES, EDGES, REAL)
    model = network(dataclasses.replace(SMALL, with_max=True), fixed_sums=True, **MODES[mode])
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function(jit_compile=True)
    def compiled(inputs, targets):
        with tf.GradientTape() as tape:
            logits = model(inputs)
            loss = tf.reduce_sum(edge_loss(2.0)(logits, targets, inputs))
        return logits, loss, tape.gradient(loss, variables)

    logits, loss, gradients = compiled(*batch)
    got = logits.numpy(), float(loss), [gradient.numpy() for gradient in gradients]
    assert_close(got, transcribed(model, *batch), 2e-5)


def by_edge(model, inputs, real=REAL):
    """Logits by (sender, receiver)."""
    ends = zip(*(inputs[name][:real].tolist() for name in ("senders", "receivers")), strict=True)
    return dict(zip(ends, np.asarray(model(inputs))[:real].tolist(), strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_the_order_of_edges_with_one_receiver_does_not_matter(mode):
    inputs, _ = make_inputs(NODES, EDGES, REAL)
    order = np.lexsort((np.random.default_rng(0).random(EDGES), inputs["receivers"]))
    moved = {"nodes": inputs["nodes"], "receivers": inputs["receivers"], "senders": inputs["senders"][order]}
    moved["sender_order"] = np.argsort(moved["senders"], kind="stable").astype(np.int32)
    assert not np.array_equal(moved["senders"], inputs["senders"])
    model = network(dataclasses.replace(SMALL, with_max=True), **MODES[mode])
    assert np.asarray(model(moved)) == pytest.approx(np.asarray(model(inputs))[order], rel=1e-4, abs=1e-5)


def test_the_order_of_edges_with_one_sender_does_not_matter(precision):
    """It decides only in which order gradients are summed."""
    precision("float64")
    inputs, targets = make_inputs(NODES, EDGES, REAL)
    order = np.lexsort((np.random.default_rng(0).random(EDGES), inputs["senders"])).astype(np.int32)
    assert not np.array_equal(order, inputs["sender_order"])
    model = network()
    moved = taught(model, {**inputs, "sender_order": order}, targets)
    assert_close(moved, taught(model, inputs, targets), 1e-10)


def test_the_numbers_of_the_nodes_do_not_matter():
    features, senders, receivers, label = real_graph(20, REAL, seed=2)
    new = np.random.default_rng(0).permutation(len(features))
    model = network(dataclasses.replace(SMALL, with_max=True))
    before = by_edge(model, padded(features, senders, receivers, label, **PADDED)[0])
    moved = np.empty_like(features)
    moved[new] = features
    after = by_edge(model, padded(moved, new[senders], new[receivers], label, **PADDED)[0])
    assert {
        (new[a], new[b]): pytest.approx(value, rel=1e-4, abs=1e-5) for (a, b), value in before.items()
    } == after


@pytest.mark.parametrize("mode", MODES)
def test_what_stands_in_padding_changes_nothing(mode):
    inputs, targets = make_inputs(NODES, EDGES, REAL)
    used = max(inputs[name][:REAL].max() for name in ("senders", "receivers")) + 1
    junk = {**inputs, "nodes": inputs["nodes"].copy()}
    junk["nodes"][used:] = np.random.default_rng(5).normal(0, 10, (NODES - used, 3))
    targets["label"][REAL:] = 1
    model = network(dataclasses.replace(SMALL, with_max=True), **MODES[mode])
    clean, dirty = taught(model, inputs, targets), taught(model, junk, targets)
    assert np.array_equal(clean[0][:REAL], dirty[0][:REAL])
    assert clean[1] == dirty[1]
    assert all(np.array_equal(a, b) for a, b in zip(clean[2], dirty[2], strict=True))


@pytest.mark.parametrize(("nodes", "edges"), [(21, 51), (24, 96), (90, 60)])
def test_the_amount_of_padding_changes_nothing(nodes, edges):
    graph, model = real_graph(20, REAL, seed=2), network()
    expected = taught(model, *padded(*graph, **PADDED))
    got = taught(model, *padded(*graph, nodes=nodes, edges=edges))
    assert_close((got[0][:REAL], *got[1:]), (expected[0][:REAL], *expected[1:]), 2e-5)


def test_graphs_of_a_batch_do_not_see_each_other():
    one, two = real_graph(20, REAL, seed=2), real_graph(13, 30, seed=3)
    model = network(dataclasses.replace(SMALL, with_max=True))
    features, label = (np.concatenate([one[i], two[i]]) for i in (0, 3))
    senders, receivers = (np.concatenate([one[i], len(one[0]) + two[i]]) for i in (1, 2))
    together, _ = padded(features, senders, receivers, label, nodes=40, edges=90)
    alone = [np.asarray(model(padded(*graph, **PADDED)[0]))[: len(graph[1])] for graph in (one, two)]
    assert np.asarray(model(together))[:80] == pytest.approx(np.concatenate(alone), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_of_nothing_but_padding_teaches_nothing(mode):
    model = network(dataclasses.replace(SMALL, with_max=True), **MODES[mode])
    logits, loss, gradients = taught(model, *make_inputs(NODES, EDGES, 0))
    assert np.isfinite(logits).all()
    assert loss == 0
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_stays_near(precision, name):
    batch = make_inputs(NODES, EDGES, REAL)
    shape = dataclasses.replace(SMALL, with_max=True)
    logits, loss, gradients = taught(network(shape), *batch)
    precision(name)
    model = network(shape)
    short, short_loss, short_gradients = taught(model, *batch)
    assert short.dtype == np.float32
    assert short == pytest.approx(logits, abs=0.05)
    assert short_loss == pytest.approx(loss, rel=0.02)
    assert {gradient.dtype for gradient in short_gradients} == {np.dtype(np.float32)}
    all_, short_all = (np.concatenate([g.ravel() for g in those]) for those in (gradients, short_gradients))
    assert np.linalg.norm(short_all - all_) < 0.1 * np.linalg.norm(all_)
