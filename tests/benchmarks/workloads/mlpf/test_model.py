"""The model against its plain transcription, and the properties that padding and seeds must have."""

import math

import numpy as np
import pytest

from tests.benchmarks.workloads.mlpf.toy import toy_events

keras = pytest.importorskip("keras", reason="models are written in Keras")
tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow here")

from benchmarks.workloads.mlpf.losses import mlpf_loss  # noqa: E402
from benchmarks.workloads.mlpf.model import MLPF  # noqa: E402
from tests.reference import mlpf as reference  # noqa: E402


@pytest.fixture
def precision():
    """Sets the number format of models made in a test, and takes it back."""

    def choose(name):
        keras.config.set_floatx("float64" if name == "float64" else "float32")
        keras.config.set_dtype_policy(name)

    yield choose
    choose("float32")


def counted(variables):
    return sum(math.prod(variable.shape) for variable in variables)


def test_parameters_of_the_original():
    model = MLPF(np.random.default_rng(0))
    assert counted(model.trainable_variables) == 3_285_841
    assert counted(model.non_trainable_variables) == 38_400


def test_initial_weights_follow_the_generator():
    first, again, other = (MLPF(np.random.default_rng(seed)) for seed in (0, 0, 1))
    same = [np.array_equal(a, b) for a, b in zip(first.weights, again.weights, strict=True)]
    assert all(same)
    assert not np.array_equal(first.common[0].theta, other.common[0].theta)


def both(model, inputs, targets):
    """(predictions, loss, gradients) of the model and of the transcription, with the same weights."""
    weights = reference.weights_of(model)
    variables = [variable.value for variable in model.trainable_variables]
    compute = model.compute_dtype

    def ours():
        predictions = model(inputs)
        return predictions, mlpf_loss(predictions, targets, inputs)

    def plain():
        predictions = reference.forward(weights, inputs, bin_size=model.bin_size, compute_dtype=compute)
        return predictions, reference.loss(predictions, targets, inputs)

    for function in (ours, plain):
        with tf.GradientTape() as tape:
            predictions, loss = function()
        gradients = tape.gradient(loss, variables)
        yield predictions.numpy(), float(loss), [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize("real", [128, 100], ids=["no padding", "padding"])
@pytest.mark.parametrize(
    ("name", "close"), [("float64", 1e-10), ("float32", 2e-3)], ids=["float64", "float32"]
)
def test_agrees_with_the_transcription(precision, name, close, real):
    precision(name)
    model = MLPF(np.random.default_rng(3), bin_size=64)
    inputs, targets = (tf.constant(array, dtype=name) for array in toy_events(2, 128, real))
    (predictions, loss, gradients), (expected, expected_loss, expected_gradients) = both(
        model, inputs, targets
    )
    assert predictions == pytest.approx(expected, rel=close, abs=close)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    for variable, got, want in zip(model.trainable_variables, gradients, expected_gradients, strict=True):
        scale = np.linalg.norm(want)
        if scale < 1e-5:
            assert np.linalg.norm(got) < 1e-4, variable.path
        else:
            assert np.linalg.norm(got - want) < close * scale, variable.path


@pytest.mark.slow
def test_agrees_at_the_published_size():
    model = MLPF(np.random.default_rng(3))
    inputs, targets = (tf.constant(array) for array in toy_events(1, 6400, 5500))
    (predictions, loss, _), (expected, expected_loss, _) = both(model, inputs, targets)
    # Round-off may swap two elements between bins, which moves those rows and no others.
    off = np.abs(predictions - expected).max(axis=-1) > 2e-3 * np.abs(expected).max()
    assert off.mean() < 0.01
    assert loss == pytest.approx(expected_loss, rel=1e-5)


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_stays_near(precision, name):
    inputs, targets = toy_events(2, 128, 100)
    losses = []
    for policy in ("float32", name):
        precision(policy)
        model = MLPF(np.random.default_rng(3), bin_size=64)
        predictions = model(inputs)
        assert predictions.dtype == "float32"
        losses.append(float(mlpf_loss(predictions, targets, inputs)))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_what_stands_in_padding_changes_nothing():
    model = MLPF(np.random.default_rng(3), bin_size=64)
    inputs, _ = toy_events(2, 128, 90)
    junk = inputs.copy()
    junk[:, 90:, 1:] = np.random.default_rng(5).normal(0, 10, junk[:, 90:, 1:].shape)
    clean, dirty = np.asarray(model(inputs)), np.asarray(model(junk))
    assert np.array_equal(clean, dirty)
    assert not clean[:, 90:].any()


def test_events_of_a_batch_do_not_see_each_other():
    model = MLPF(np.random.default_rng(3), bin_size=64)
    inputs, _ = toy_events(3, 128, 100)
    together = np.asarray(model(inputs))
    alone = np.asarray(model(inputs[1:2]))
    assert together[1:2] == pytest.approx(alone, rel=1e-4, abs=1e-4)
