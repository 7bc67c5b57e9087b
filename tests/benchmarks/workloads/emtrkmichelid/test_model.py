"""The network, its loss and its figures of merit."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.workload import Batch
from benchmarks.workloads.emtrkmichelid.config import FEATURE_MAP_BYTES, PARAMETERS, PATCH_BYTES, PRESETS
from benchmarks.workloads.emtrkmichelid.events import COUNTS_PER_UNIT, preprocess
from tests.reference import emtrkmichelid as reference

keras = pytest.importorskip("keras", reason="models are written in Keras")

from benchmarks.workloads.emtrkmichelid.losses import cross_entropies  # noqa: E402
from benchmarks.workloads.emtrkmichelid.metrics import PatchMetrics  # noqa: E402
from benchmarks.workloads.emtrkmichelid.model import OUTPUTS, build_model  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return build_model(np.random.default_rng(1), "float32")


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(3, 48, 48, 1)).astype(np.float32)


def test_it_has_the_published_numbers_of_parameters(model) -> None:
    assert model.count_params() == PARAMETERS == 11_900_420
    layers = {layer.name: layer.count_params() for layer in model.layers if layer.count_params()}
    assert layers == {
        "convolution": 1_248,
        "dense_128": 11_894_912,
        "dense_32": 4_128,
        "classes": 99,
        "michel": 33,
    }
    assert [tuple(output.shape) for output in model.outputs] == [(None, n) for n in OUTPUTS.values()]


def test_it_consists_of_layers_that_keras_has(model) -> None:
    """A server loads it with Keras alone."""
    assert {type(layer).__module__.partition(".")[0] for layer in model.layers} == {"keras"}
    rebuilt = keras.Model.from_config(model.get_config())
    assert [weight.shape for weight in rebuilt.weights] == [weight.shape for weight in model.weights]


def test_it_computes_what_the_plain_formulae_say(model, patches: np.ndarray) -> None:
    weights = [np.asarray(weight) for weight in model.get_weights()]
    ours = [keras.ops.convert_to_numpy(output) for output in model(patches)]
    for mine, plain in zip(ours, reference.outputs(weights, patches), strict=True):
        assert mine == pytest.approx(plain, abs=2e-5)

    classes = np.eye(3, dtype=np.float32)
    michel = np.array([[0], [1], [0]], np.float32)
    mine = float(cross_entropies(model(patches), (classes, michel), patches))
    assert mine == pytest.approx(reference.loss(weights, patches, classes, michel), rel=1e-4)


def test_the_seed_decides_the_weights(model) -> None:
    again = build_model(np.random.default_rng(1), "mixed_bfloat16")
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert {layer.compute_dtype for layer in again.layers if layer.count_params()} == {"bfloat16", "float32"}


def test_patches_are_scaled_for_the_model() -> None:
    images = np.full((2, 48, 48), 600, np.int16)
    ready = preprocess(images)
    assert (ready.shape, ready.dtype) == ((2, 48, 48, 1), np.float32)
    assert ready == pytest.approx(600 / COUNTS_PER_UNIT)


def test_figures_of_merit_by_hand() -> None:
    """Two tracks, of which one is right, two showers, one of them a Michel electron, and an empty patch."""
    classes = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2]]
    michel = np.array([[0], [0], [0], [1], [0]], np.float32)
    batch = Batch(None, (classes, michel), 5, 5, 5)
    answers = [np.eye(3)[[0, 1, 1, 1, 2]], np.array([[0.1], [0.9], [0.2], [0.8], [0.0]])]
    metrics, other = PatchMetrics(), PatchMetrics()
    other.update(answers, batch)
    metrics.merge(other)
    assert metrics.result() == {
        "accuracy": 0.8,
        "track_recall": 0.5,
        "shower_recall": 1.0,
        "none_recall": 1.0,
        "michel_efficiency": 1.0,
        "michel_purity": 0.5,
    }
    assert metrics.breakdown() == {}


def test_the_expected_memory_counts_patches_and_weights() -> None:
    smoke = PRESETS["smoke"]
    assert PATCH_BYTES == 9216
    assert FEATURE_MAP_BYTES == 371_712
    expected = 700e6 + 20 * PARAMETERS + 1693 * (9216 + 2 * 371_712) + 5_000 * 9216 * 1.5
    assert smoke.expected_memory_bytes() == expected
