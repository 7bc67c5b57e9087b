"""The model of a step against numbers worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.scaling.model import AllReduce, Computing, Model, Ring

SIZES = (4, 1 << 14, 1 << 18, 1 << 22)
ALPHA, BETA = 0.001, 1e-9  # a millisecond a message, 1 GB/s


def test_a_ring_of_two_and_of_four() -> None:
    """Four ranks: six messages of a quarter of 4 MB; two: two of a half."""
    ring = Ring(ALPHA, BETA)
    assert ring.seconds(4, 4_000_000) == pytest.approx(6 * 0.001 + 6 * 1_000_000 * 1e-9)
    assert ring.seconds(2, 4_000_000) == pytest.approx(2 * 0.001 + 2 * 2_000_000 * 1e-9)
    assert ring.seconds(1, 4_000_000) == 0


def test_a_call_takes_its_time_on_any_number_of_ranks_but_one() -> None:
    ring = Ring(ALPHA, BETA, call=0.5)
    assert ring.seconds(1, 4) == 0
    assert ring.seconds(3, 0) == pytest.approx(0.5 + 4 * 0.001)


@pytest.mark.parametrize(
    ("ranks", "call"), [((2,), None), ((2, 4), 0.0), ((2, 4), 0.003), ((3, 8, 16), 0.003)]
)
def test_the_fit_finds_the_ring_that_made_the_numbers(ranks: tuple[int, ...], call: float | None) -> None:
    made = Ring(ALPHA, BETA, call)
    measured = [AllReduce(n, size, made.seconds(n, size)) for n in ranks for size in SIZES]
    fitted = Ring.fit(measured)
    assert fitted.alpha == pytest.approx(ALPHA, rel=1e-9)
    assert fitted.beta == pytest.approx(BETA, rel=1e-9)
    assert fitted.call == (None if call is None else pytest.approx(call, rel=1e-9, abs=1e-12))
    assert fitted.deviation(measured) == pytest.approx(0, abs=1e-9)


def test_from_one_number_of_ranks_a_call_counts_as_messages() -> None:
    """3 ms a call and two messages of 1 ms: two messages of 2.5 ms."""
    made = Ring(ALPHA, BETA, 0.003)
    fitted = Ring.fit([AllReduce(2, size, made.seconds(2, size)) for size in SIZES])
    assert (fitted.call, fitted.alpha) == (None, pytest.approx(0.0025))


def test_a_byte_never_takes_less_than_nothing() -> None:
    """The larger message took less: beta is 0, and alpha lies between a half of 2 ms and of 1 ms."""
    fitted = Ring.fit([AllReduce(2, 4, 0.002), AllReduce(2, 1 << 20, 0.001)])
    assert fitted.beta == 0
    # The least squares of (2 alpha / 2 ms - 1) and (2 alpha / 1 ms - 1): alpha = (1 + 2) / (1 + 4) ms.
    assert fitted.alpha == pytest.approx(0.0006)
    assert fitted.deviation([AllReduce(2, 4, 0.0024)]) == pytest.approx(0.5)


def test_small_messages_count_as_much_as_large_ones() -> None:
    """Ten percent more on each side of the truth: a fit of absolute seconds would not see the small one."""
    fitted = Ring.fit([AllReduce(2, 0, 1.1 * 0.002), AllReduce(2, 0, 0.9 * 0.002), AllReduce(2, 1e9, 1.002)])
    assert fitted.alpha == pytest.approx(0.001, rel=0.02)
    assert fitted.beta == pytest.approx(1e-9, rel=0.02)


def test_serial_seconds_are_where_the_line_meets_no_events() -> None:
    """Eight events in 1 s and two in 0.4 s: 0.1 s each, and 0.2 s in any case."""
    computing = Computing.through((8, 1.0), (2, 0.4))
    assert computing.event == pytest.approx(0.1)
    assert computing.serial == pytest.approx(0.2)
    assert computing.seconds(4) == pytest.approx(0.6)
    assert computing.serial_share(8) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("small", "serial", "event"), [((2, 0.1), 0.0, 0.125), ((2, 1.5), 1.0, 0.0)], ids=["bent", "slower"]
)
def test_no_part_is_below_nothing(small: tuple[int, float], serial: float, event: float) -> None:
    """Noise can make the small step too fast for a line, or slower than the large one."""
    computing = Computing.through((8, 1.0), small)
    assert (computing.serial, computing.event) == (pytest.approx(serial), pytest.approx(event))


def test_a_model_adds_computing_and_communication() -> None:
    """Two events of 0.1 s on each of four ranks, and 6 ms for six messages without bytes."""
    model = Model(Computing.proportional(2, 0.2), Ring(ALPHA, BETA), 0)
    assert model.step_seconds(4, 2) == pytest.approx(0.206)
    assert model.throughput(4, 2) == pytest.approx(8 / 0.206)
    assert model.communication_share(4, 2) == pytest.approx(0.006 / 0.206)
    assert model.communication_share(1, 2) == 0
