from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import RunFailedError
from benchmarks.kernels import worker
from benchmarks.workloads.mellin_dis import check_values, compiled
from benchmarks.workloads.mellin_dis.config import IMPLEMENTATIONS, PRESETS
from benchmarks.workloads.mellin_dis.cross_section import make_theory
from benchmarks.workloads.mellin_dis.ensembles import Ensembles, make_ensembles
from benchmarks.workloads.mellin_dis.events import KinematicEvents, make, open_events, sample_events
from benchmarks.workloads.mellin_dis.implementations import FACTORIES, implementations
from benchmarks.workloads.mellin_dis.partons import input_moments, published_partons
from benchmarks.workloads.mellin_dis.workload import WORKLOAD

THEORY = make_theory()
ON_HOST = [name for name, item in implementations().items() if not item.needs_backend]
BY_FRAMEWORK = [name for name, item in implementations().items() if item.needs_backend]
every_implementation = pytest.mark.parametrize("name", ON_HOST)


@pytest.fixture
def ensembles() -> Ensembles:
    return make_ensembles(THEORY, *sample_events(300, seed=2), seed=1, spread=0.02)


@every_implementation
def test_each_gives_the_check_values(name: str) -> None:
    quality = WORKLOAD.quality(PRESETS["smoke"], name, None)
    assert quality.keys() == {"deviation"}
    assert quality["deviation"] < 5e-10
    assert PRESETS["smoke"].quality_failure(quality) == ""


@every_implementation
def test_each_gives_the_cross_sections_of_a_loop(name: str, ensembles: Ensembles) -> None:
    """To 1e-10 below x = 0.8, and to 1e-8 above, where large terms of the contour cancel."""
    moments = np.stack([ensembles.moments(replica) for replica in range(3)])
    expected = FACTORIES["loop"](THEORY, ensembles.x, ensembles.q2, None)(moments)
    values = FACTORIES[name](THEORY, ensembles.x, ensembles.q2, None)(moments)
    assert values.shape == (3, 2, 300)
    deviations = np.abs(values / expected - 1).max(axis=(0, 1))
    assert deviations[ensembles.x < 0.8].max() < 1e-10
    assert deviations.max() < 1e-8


def test_there_is_one_of_each_name() -> None:
    assert tuple(implementations()) == tuple(FACTORIES) == IMPLEMENTATIONS


@every_implementation
@pytest.mark.parametrize("events", [200, 1500])
def test_each_takes_the_memory_that_is_predicted(name: str, events: int) -> None:
    """Within a factor of two, or 0.5 MB for what does not depend on events."""
    implementation = implementations()[name]
    moments = input_moments(published_partons(), THEORY.contour.nodes)[None]
    moments = np.repeat(moments, implementation.ensembles_per_call, axis=0)
    x, q2 = sample_events(events, seed=1)
    FACTORIES[name](THEORY, x[:2], q2[:2], None)(moments)  # compiles, which takes memory of its own
    tracemalloc.start()
    values = FACTORIES[name](THEORY, x, q2, None)(moments)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    expected = implementation.expected_bytes(events)
    assert peak < 2 * expected + 500_000
    assert expected < 2 * peak + 500_000
    assert np.isfinite(values).all()


def test_the_exponential_and_the_sine_are_exact_to_the_last_digits() -> None:
    for x in np.linspace(-690, 690, 4001):
        assert compiled._exp(x) == pytest.approx(np.exp(x), rel=1e-15)
        sine, cosine = compiled._sin_cos(x)
        assert sine == pytest.approx(np.sin(x), abs=5e-16)
        assert cosine == pytest.approx(np.cos(x), abs=5e-16)
    assert compiled._exp(-1e4) < 1e-300


def test_the_loss_of_the_published_input_is_zero(ensembles: Ensembles) -> None:
    weights = ensembles.weights(0)
    assert weights.sum() == len(ensembles.x)
    assert ensembles.loss(np.exp(ensembles.log_data), weights) == pytest.approx(0, abs=1e-25)
    assert ensembles.loss(np.exp(ensembles.log_data + 0.5), weights) == pytest.approx(0.25)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_a_cross_section_without_logarithm_is_named(value: float, ensembles: Ensembles) -> None:
    cross_sections = np.exp(ensembles.log_data)
    cross_sections[1, 5] = value
    with pytest.raises(RunFailedError, match=r"^cross section of the neutron in event 5: expected a finite"):
        ensembles.loss(cross_sections, np.ones(300, int))


def test_the_workload_gives_the_same_losses_in_every_implementation(tmp_path: Path) -> None:
    config = dataclasses.replace(PRESETS["smoke"], events=40, series_events=40)
    folder = make(config, tmp_path / "events", lambda _: None)
    events: KinematicEvents = open_events(dataclasses.replace(config, data=str(folder)), lambda _: None)
    losses = [WORKLOAD.build(config, events, name, 40, None)([0, 3]) for name in ON_HOST]
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-8)
    assert losses[0][0] != losses[0][1]


def test_the_floor_names_a_deviation_that_is_too_large() -> None:
    config = PRESETS["smoke"]
    assert config.quality_failure({"deviation": 1e-8}) == "deviation: expected at most 5e-09, got 1e-08"
    assert config.quality_failure({"deviation": float("nan")}) != ""
    wrong = check_values.CROSS_SECTIONS.copy()
    wrong[0, 3] *= 1.01
    assert check_values.largest_deviation(wrong) == pytest.approx(0.01)


@pytest.mark.parametrize("name", BY_FRAMEWORK)
def test_the_framework_gives_the_cross_sections_of_a_loop(name: str, ensembles: Ensembles) -> None:
    """To its precision below x = 0.8. Above, complex64 loses another digit."""
    from benchmarks.backends import tensorflow

    tolerance = 1e-4 if name.endswith("complex64") else 1e-10
    moments = np.stack([ensembles.moments(replica) for replica in range(2)])
    expected = FACTORIES["loop"](THEORY, ensembles.x, ensembles.q2, None)(moments)
    values = FACTORIES[name](THEORY, ensembles.x, ensembles.q2, tensorflow)(moments)
    assert values.dtype == np.float64
    deviations = np.abs(values / expected - 1).max(axis=(0, 1))
    assert deviations[ensembles.x < 0.8].max() < tolerance
    assert deviations.max() < 100 * tolerance
    assert WORKLOAD.quality(PRESETS["smoke"], name, tensorflow)["deviation"] < max(tolerance, 5e-10)


def test_a_device_has_the_rates_that_a_roofline_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.backends import tensorflow

    monkeypatch.setattr(worker, "_configured", [tensorflow])
    rates = worker.rates_of_device(PRESETS["smoke"], size=512)
    assert 1e8 < rates["copy_bytes_per_second"] < 1e14
    for number in ("float64", "float32"):
        assert 1e8 < rates[f"{number}_operations_per_second"] < 1e16
