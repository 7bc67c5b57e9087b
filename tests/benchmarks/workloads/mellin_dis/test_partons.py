from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.errors import RunFailedError
from benchmarks.workloads.mellin_dis.partons import (
    CENTRAL,
    NAMES,
    RANGES,
    bootstrap_partons,
    check_ranges,
    check_sum_rules,
    input_moments,
    normalised_partons,
    published_partons,
)


def test_the_published_input_keeps_the_sum_rules() -> None:
    check_sum_rules(published_partons())
    ours = normalised_partons(np.array(CENTRAL))
    for name in ("uv_n", "dv_n", "gluon_n"):
        assert getattr(ours, name) == pytest.approx(getattr(published_partons(), name), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "what"),
    [("uv_n", "2 for valence u quarks"), ("dv_n", "1 for valence d quarks"), ("gluon_n", "1 for momentum")],
)
def test_a_violated_sum_rule_is_named(name: str, what: str) -> None:
    published = published_partons()
    wrong = dataclasses.replace(published, **{name: 1.001 * getattr(published, name)})
    with pytest.raises(RunFailedError, match=f"sum rule violated: expected {what}, got "):
        check_sum_rules(wrong)


def test_quarks_that_have_all_momentum_leave_none_to_the_gluon() -> None:
    parameters = np.array(CENTRAL)
    parameters[NAMES.index("sea_n")] = 0.5
    parameters[NAMES.index("sea_a")] = -0.5
    parameters[NAMES.index("sea_b")] = 2.0
    with pytest.raises(RunFailedError, match="expected quarks with a momentum below 1, got "):
        normalised_partons(parameters)


@pytest.mark.parametrize("index", range(len(NAMES)))
@pytest.mark.parametrize("value", [-99.0, 99.0, np.nan])
def test_a_parameter_outside_its_range_is_named(index: int, value: float) -> None:
    parameters = np.array(CENTRAL)
    parameters[index] = value
    low, high = RANGES[index]
    with pytest.raises(RunFailedError, match=rf"parameter {NAMES[index]}: expected {low} to {high}, got "):
        check_ranges(parameters)


def test_a_bootstrap_depends_on_seed_and_number_only() -> None:
    first, again = (bootstrap_partons(2560, 7, 0.02).parameters for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for seed, replica in ((2560, 8), (2561, 7)):
        assert (bootstrap_partons(seed, replica, 0.02).parameters != first).all()


def test_bootstraps_scatter_around_the_central_parameters() -> None:
    parameters = np.array([bootstrap_partons(1, replica, 0.02).parameters for replica in range(300)])
    np.testing.assert_allclose(parameters.mean(axis=0), CENTRAL, rtol=0.006)
    np.testing.assert_allclose(parameters.std(axis=0) / np.abs(CENTRAL), 0.02, rtol=0.2)


def test_a_spread_that_is_too_large_ends_with_one_line() -> None:
    with pytest.raises(RunFailedError, match="lower --set parameter_spread"):
        for replica in range(100):
            bootstrap_partons(1, replica, 0.5)


def test_moments_at_two_are_shares_of_the_momentum() -> None:
    """Without sea and gluon, u quarks have 2 (a / (a + b + 1)) and d quarks 1 (a / (a + b + 1))."""
    parameters = np.array(CENTRAL)
    parameters[NAMES.index("sea_n")] = 0.0
    partons = dataclasses.replace(published_partons(), parameters=parameters)
    singlet, _, t3, t8, t15 = input_moments(partons, np.array([2.0 + 0j]))[:, 0].real
    up, down = 2 * 0.8 / 4.8, 0.8 / 5.8
    assert singlet == t8 == t15 == pytest.approx(up + down, rel=1e-5)
    assert t3 == pytest.approx(up - down, rel=1e-5)
