"""Learning rates, step by step."""

import pytest

keras = pytest.importorskip("keras", reason="optimisers are Keras'")

from benchmarks.backends.optimizers import scale_learning_rate  # noqa: E402


def rates(optimizer, steps):
    """What the optimiser uses at each of its steps."""
    variable = keras.Variable([0.0])
    optimizer.build([variable])
    seen = []
    for _ in range(steps):
        seen.append(float(optimizer.learning_rate))
        optimizer.apply([keras.ops.zeros(1)], [variable])
    return seen


def test_a_number_is_multiplied():
    optimizer = keras.optimizers.Adam(0.5)
    scale_learning_rate(optimizer, 4.0, 0)
    assert rates(optimizer, 3) == [2.0, 2.0, 2.0]


def test_a_warm_up_rises_in_equal_steps():
    optimizer = keras.optimizers.Adam(0.5)
    scale_learning_rate(optimizer, 2.0, 4)
    assert rates(optimizer, 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_schedule_goes_on_below_the_factor():
    halving = keras.optimizers.schedules.ExponentialDecay(1.0, decay_steps=2, decay_rate=0.5, staircase=True)
    optimizer = keras.optimizers.Adam(halving)
    scale_learning_rate(optimizer, 2.0, 2)
    assert rates(optimizer, 5) == [1.0, 2.0, 1.0, 1.0, 0.5]


def test_without_factor_and_warm_up_nothing_is_touched():
    optimizer = keras.optimizers.Adam(0.5)
    before = optimizer.get_config()
    scale_learning_rate(optimizer, 1.0, 0)
    assert optimizer.get_config() == before
