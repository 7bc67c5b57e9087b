"""Gradients against differences of values, parameter by parameter."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.backends import tensorflow
from benchmarks.workloads.mellin_dis.config import PRESETS
from benchmarks.workloads.mellin_dis.cross_section import make_theory
from benchmarks.workloads.mellin_dis.ensembles import Ensembles, in_chunks, make_ensembles
from benchmarks.workloads.mellin_dis.events import make, open_events, sample_events
from benchmarks.workloads.mellin_dis.gradient import LossGradient, moment_derivatives
from benchmarks.workloads.mellin_dis.partons import (
    NAMES,
    bootstrap_partons,
    input_moments,
    normalised_partons,
)
from benchmarks.workloads.mellin_dis.workload import WORKLOAD

STEP = 1e-5  # relative


@pytest.fixture(scope="module")
def ensembles() -> Ensembles:
    return make_ensembles(make_theory(), *sample_events(100, seed=2), seed=1, spread=0.02)


def shifted(parameters: np.ndarray, index: int, sign: int) -> np.ndarray:
    changed = parameters.copy()
    changed[index] *= 1 + sign * STEP
    return changed


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_moments_change_as_their_derivatives_say(index: int, ensembles: Ensembles) -> None:
    partons, n = bootstrap_partons(1, 0, 0.02), ensembles.theory.contour.nodes
    high, low = (
        input_moments(normalised_partons(shifted(partons.parameters, index, sign)), n) for sign in (1, -1)
    )
    differences = (high - low) / (2 * STEP * partons.parameters[index])
    derivatives = moment_derivatives(partons, n)[index]
    np.testing.assert_allclose(derivatives, differences, rtol=1e-6, atol=1e-7 * np.abs(derivatives).max())


@pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])
def test_the_gradient_is_that_of_finite_differences(xla: bool, ensembles: Ensembles) -> None:
    partons, weights = bootstrap_partons(1, 0, 0.02), ensembles.weights(0)

    def loss(parameters: np.ndarray) -> float:
        moments = input_moments(normalised_partons(parameters), ensembles.theory.contour.nodes)
        modes = ensembles.theory.modes(moments)
        return ensembles.loss(in_chunks(ensembles.theory, ensembles.x, ensembles.q2, modes), weights)

    value, gradient = LossGradient(ensembles, tensorflow, xla)(partons, weights)
    assert value == pytest.approx(loss(partons.parameters), rel=1e-9)
    for index, name in enumerate(NAMES):
        high, low = (loss(shifted(partons.parameters, index, sign)) for sign in (1, -1))
        expected = (high - low) / (2 * STEP * partons.parameters[index])
        assert gradient[index] == pytest.approx(expected, rel=1e-5, abs=1e-9), name


def test_the_implementation_gives_the_losses_of_the_others(tmp_path: Path) -> None:
    config = dataclasses.replace(PRESETS["smoke"], events=40, series_events=40)
    folder = make(config, tmp_path / "events", lambda _: None)
    events = open_events(dataclasses.replace(config, data=str(folder)), lambda _: None)
    losses = [WORKLOAD.build(config, events, name, 40, tensorflow)([0, 3]) for name in ("loop", "gradient")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-8)
