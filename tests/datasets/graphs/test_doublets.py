import numpy as np
import pytest

from datasets.errors import DataError
from datasets.graphs import doublets
from datasets.graphs.doublets import Points, expand, find_doublets, wrap_angles
from datasets.trackml.layers import LAYERS, LayerPair

PAIR = (LayerPair(0, 1),)


def find(r, phi, z, phi_slope_max=1e-3, z0_max=100.0, layer=(0, 1), pairs=PAIR) -> list[tuple[int, int]]:
    points = Points(*(np.array(values, np.float64) for values in (r, phi, z)))
    doublets = find_doublets(points, np.array(layer, np.int32), pairs, phi_slope_max, z0_max)
    return list(zip(*(hits.tolist() for hits in doublets), strict=True))


def test_limits_of_the_cuts_are_outside():
    # dphi / dr = 2^-4 / 64 = 2^-10 and z0 = 16 - 64 * 8 / 64 = 8, without rounding
    hits = ([64.0, 128.0], [0.0, 0.0625], [16.0, 24.0])
    above = np.nextafter(2.0**-10, 1.0), np.nextafter(8.0, 9.0)
    assert find(*hits, *above) == [(0, 1)]
    assert find(*hits, 2.0**-10, above[1]) == []
    assert find(*hits, above[0], 8.0) == []


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_doublets_are_found_across_pi(sign: float):
    phi = [sign * (np.pi - 0.01), -sign * (np.pi - 0.01)]  # 0.02 rad apart
    assert find([100.0, 200.0], phi, [0.0, 0.0], phi_slope_max=2.1e-4) == [(0, 1)]
    assert find([100.0, 200.0], phi, [0.0, 0.0], phi_slope_max=1.9e-4) == []


def test_the_outer_hit_lies_further_out():
    assert find([100.0, 100.0], [0.0, 0.0], [0.0, 1.0]) == []
    assert find([100.0, 99.0], [0.0, 0.0], [0.0, 1.0]) == []
    assert find([100.0, 101.0], [0.0, 0.0], [0.0, 1.0], layer=(1, 0)) == []


def test_a_line_through_the_next_cylinder_makes_no_doublet_past_it():
    pairs = (LayerPair(2, 4, missed=LAYERS[3]),)  # r = 172 mm, |z| up to 491 mm
    for cot_theta, expected in ((2.5, []), (-2.5, []), (3.0, [(0, 1)]), (-3.0, [(0, 1)])):  # z 430, 516 there
        z = [116.0 * cot_theta, 260.0 * cot_theta]
        assert find([116.0, 260.0], [0.0, 0.0], z, layer=(2, 4), pairs=pairs) == expected


def brute_force(points, layer, pairs, phi_slope_max, z0_max) -> list[tuple[int, int]]:
    """Returns the doublets by their definition, which is checked for every two hits."""
    one, two = (grid.ravel() for grid in np.meshgrid(*[np.arange(len(layer))] * 2))
    one, two = one[points.r[two] > points.r[one]], two[points.r[two] > points.r[one]]
    dr, dz = points.r[two] - points.r[one], points.z[two] - points.z[one]
    dphi = np.angle(np.exp(1j * (points.phi[two] - points.phi[one])))
    passed = (np.abs(dphi / dr) < phi_slope_max) & (np.abs(points.z[one] - points.r[one] * dz / dr) < z0_max)
    sought = np.zeros(len(one), bool)
    for pair in pairs:
        here = (layer[one] == pair.inner) & (layer[two] == pair.outer)
        if pair.missed is not None:
            crossing = points.z[one] + (pair.missed.r[0] - points.r[one]) * dz / dr
            here &= np.abs(crossing) > pair.missed.z[1]
        sought |= here
    chosen = np.flatnonzero(passed & sought)
    return sorted(zip(one[chosen].tolist(), two[chosen].tolist(), strict=True), key=lambda pair: pair[::-1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cuts", [(6e-4, 100.0), (6e-3, 400.0), (5e-3, 20.0), (2e-4, 2000.0), (10.0, 1e5)])
def test_windows_lose_and_add_nothing(seed: int, cuts: tuple[float, float], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doublets, "CANDIDATES_AT_ONCE", 100)  # several pieces
    rng = np.random.default_rng(seed)
    layer = rng.integers(0, 6, 400).astype(np.int32)
    # Layers 0 to 3 are thick cylinders, 4 and 5 disks on either side.
    r = np.array([50.0, 100.0, 170.0, 260.0, 0.0, 0.0])[layer] + rng.uniform(0.0, 20.0, 400)
    r = np.where(layer > 3, rng.uniform(40.0, 300.0, 400), r)
    z = np.where(layer > 3, np.where(layer > 4, -700.0, 600.0), rng.uniform(-500.0, 500.0, 400))
    points = Points(r, rng.uniform(-np.pi, np.pi, 400), z)
    pairs = [LayerPair(0, 1), LayerPair(1, 2), LayerPair(2, 3), LayerPair(0, 3, missed=LAYERS[1])]
    pairs += [LayerPair(inner, disk) for inner in (0, 1, 2) for disk in (4, 5)] + [LayerPair(4, 3)]
    inner, outer = find_doublets(points, layer, pairs, *cuts)
    expected = brute_force(points, layer, pairs, *cuts)
    assert len(expected) > 10
    assert list(zip(inner.tolist(), outer.tolist(), strict=True)) == expected


def test_layers_without_hits_have_no_doublets():
    assert find([], [], [], layer=()) == []
    assert find([100.0], [0.0], [0.0], layer=(0,)) == []


def test_too_many_doublets_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doublets, "EDGES_MAX", 1000)
    monkeypatch.setattr(doublets, "_survivors", None)
    ring = np.linspace(-3.0, 3.0, 40)
    hits = (np.repeat([100.0, 200.0], 40), np.tile(ring, 2), np.zeros(80))
    with pytest.raises(
        DataError, match=r"fewer than 1,000 edges in a graph, got up to 1,600; lower phi_slope_max"
    ):
        find(*hits, phi_slope_max=1.0, layer=np.repeat([0, 1], 40))


def test_runs_are_expanded():
    run, number = expand(np.array([5, 9, 0]), np.array([2, 0, 3]))
    assert (run.tolist(), number.tolist()) == ([0, 0, 2, 2, 2], [5, 6, 0, 1, 2])


def test_angles_are_turned_into_range():
    assert wrap_angles(np.array([0.0, 3.5, -3.5, 7.0])) == pytest.approx(
        [0.0, 3.5 - 2 * np.pi, 2 * np.pi - 3.5, 7.0 - 2 * np.pi]
    )
