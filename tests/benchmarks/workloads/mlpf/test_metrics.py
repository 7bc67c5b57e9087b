"""Figures of merit on four elements, by hand."""

import json

import numpy as np
import pytest

from benchmarks.workload import Batch
from benchmarks.workloads.mlpf.metrics import ParticleFlowMetrics


def batch_of(truth, padding):
    rows = len(truth) + padding
    inputs, targets = np.zeros((1, rows, 12), np.float32), np.zeros((1, rows, 7), np.float32)
    inputs[0, : len(truth), 0] = 1
    targets[0, : len(truth), 0] = truth
    targets[0, : len(truth), 2] = 2.0
    targets[0, : len(truth), 6] = 4.0
    return Batch(inputs, targets, events=1, elements=len(truth), padded_elements=rows)


def predicting(classes, padding, pt=2.0, energy=4.0):
    predictions = np.zeros((1, len(classes) + padding, 12), np.float32)
    predictions[0, np.arange(len(classes)), classes] = 1.0
    predictions[0, :, 7], predictions[0, :, 11] = pt, energy
    return predictions


def figures(truth, classes, padding=0, **momentum):
    metrics = ParticleFlowMetrics()
    metrics.update(predicting(classes, padding, **momentum), batch_of(truth, padding))
    return metrics.result()


def test_accuracy_with_and_without_padding():
    got = figures([1, 1, 2, 3], [1, 1, 2, 1], padding=4)
    assert got["accuracy"] == 0.75
    assert got["accuracy_padded"] == 7 / 8


def test_macro_recall_is_over_the_classes_present():
    assert figures([1, 1, 2, 3], [1, 2, 2, 1])["recall_macro"] == pytest.approx((0.5 + 1 + 0) / 3)


def test_response_is_predicted_over_true():
    got = figures([1, 2, 3, 4], [1, 2, 3, 4], pt=3.0, energy=2.0)
    assert got["pt_response_median"] == 1.5
    assert got["energy_response_median"] == 0.5
    assert got["pt_response_iqr"] == got["energy_response_iqr"] == 0.0


def test_elements_without_a_particle_have_no_response():
    metrics = ParticleFlowMetrics()
    predictions = predicting([0, 1], 0)
    predictions[0, 0, 7] = 50.0
    metrics.update(predictions, batch_of([0, 1], 0))
    assert metrics.result()["pt_response_median"] == 1.0


def test_batches_add_up():
    metrics = ParticleFlowMetrics()
    metrics.update(predicting([1, 1], 0), batch_of([1, 1], 0))
    metrics.update(predicting([1, 1, 1, 1], 0), batch_of([2, 2, 2, 1], 0))
    assert metrics.result()["accuracy"] == 0.5


def test_ranks_add_up():
    """What one collects from two batches, two collect from one each."""
    updates = [
        (predicting([1, 1], 1, pt=3.0), batch_of([1, 1], 1)),
        (predicting([1, 1, 1], 0), batch_of([2, 2, 1], 0)),
    ]
    together, first, second = (ParticleFlowMetrics() for _ in range(3))
    for update in updates:
        together.update(*update)
    first.update(*updates[0])
    second.update(*updates[1])
    first.merge(second)
    assert first.result() == together.result()
    assert first.result()["accuracy"] == 3 / 5


def plots_of(metrics):
    return {plot["title"]: plot for plot in metrics.breakdown()["plots"]}


def test_the_plots_are_of_the_same_elements_as_the_figures():
    """Three elements are particles; one of them is not seen, and none is seen where there is none."""
    metrics = ParticleFlowMetrics()
    metrics.update(predicting([1, 0, 3, 1], 2, pt=3.0, energy=2.0), batch_of([1, 1, 3, 0], 2))
    got = plots_of(metrics)
    assert got["Particle classes"]["counts"][1][:2] == [1, 1]
    assert np.sum(got["Particle classes"]["counts"]) == 4
    momentum, energy = got["Momentum response"], got["Energy response"]
    assert momentum["edges"][60] == 1.5
    assert momentum["counts"]["all"][60] == sum(momentum["counts"]["all"]) == 3
    assert momentum["counts"]["photon"][60] == 1
    assert energy["counts"]["all"][20] == 3
    multiplicity = got["Multiplicity response"]
    assert multiplicity["counts"]["ch. hadron"][40] == multiplicity["counts"]["photon"][40] == 1
    assert sum(multiplicity["counts"]["n. hadron"]) == 0  # there are no such particles
    assert got["Particles in an event"]["outside"] == {"true": 1, "predicted": 1}  # fewer than ten


def test_a_response_beyond_the_bins_is_counted_apart():
    metrics = ParticleFlowMetrics()
    metrics.update(predicting([1, 1], 0, pt=300.0), batch_of([1, 1], 0))
    momentum = plots_of(metrics)["Momentum response"]
    assert momentum["outside"]["all"] == 2
    assert sum(momentum["counts"]["all"]) == 0


def test_particles_are_counted_event_by_event():
    metrics = ParticleFlowMetrics()
    metrics.update(predicting([1] * 20, 3), batch_of([1] * 20, 3))
    metrics.update(predicting([1] * 40, 0), batch_of([1] * 40, 0))
    counts = plots_of(metrics)["Particles in an event"]["counts"]
    assert sum(counts["true"]) == sum(counts["predicted"]) == 2
    assert max(counts["true"]) == 1  # 20 and 40 are in bins of their own


def test_the_plots_of_ranks_add_up_and_are_json_of_less_than_100_kb():
    updates = [
        (predicting([1, 1], 1, pt=3.0), batch_of([1, 1], 1)),
        (predicting([1, 1, 1], 0), batch_of([2, 2, 1], 0)),
    ]
    together, first, second = (ParticleFlowMetrics() for _ in range(3))
    for update in updates:
        together.update(*update)
    first.update(*updates[0])
    second.update(*updates[1])
    first.merge(second)
    assert first.breakdown() == together.breakdown()
    assert len(json.dumps(first.breakdown(), indent=2, allow_nan=False)) < 100_000
