import numpy as np
import pytest
from numpy.typing import ArrayLike

from datasets.delphes.tracker import (
    ANGULAR_RESOLUTION,
    ELECTRON,
    HADRON,
    HALF_LENGTH,
    MM_PER_GEV,
    MUON,
    RADIUS,
    log_normal,
    momentum_resolution,
    particle_kind,
    propagate,
    smear_angles,
    tracking_efficiency,
)


def exit_point(
    charge: int, pt: float, eta: float, phi: float, vertex: ArrayLike = (0.0, 0.0, 0.0)
) -> tuple[float, float]:
    eta_out, phi_out = propagate(
        np.array([charge], dtype=np.int32),
        np.array([pt]),
        np.array([eta]),
        np.array([phi]),
        np.asarray(vertex, dtype=np.float64).reshape(3, 1),
    )
    return float(eta_out[0]), float(phi_out[0])


def test_a_neutral_particle_from_the_centre_keeps_its_direction():
    assert exit_point(0, 2.0, 0.7, 1.1) == pytest.approx((0.7, 1.1))
    assert exit_point(0, 2.0, -4.0, -3.0) == pytest.approx((-4.0, -3.0))


def test_a_neutral_particle_from_elsewhere_hits_the_side_or_the_end_where_it_should():
    # flat along +x from z = 500 mm: the side at (1290, 0, 500)
    assert exit_point(0, 1.0, 0.0, 0.0, (0.0, 0.0, 500.0)) == pytest.approx((np.arcsinh(500 / RADIUS), 0.0))
    # dz = dx from z = 2900 mm: the end at (100, 0, 3000)
    eta = np.arcsinh(1.0)
    assert exit_point(0, 1.0, eta, 0.0, (0.0, 0.0, 2900.0)) == pytest.approx((np.arcsinh(30.0), 0.0))
    # flat along +x from y = 774 mm: 3-4-5 triangle, the side at (1032, 774, 0)
    assert exit_point(0, 1.0, 0.0, 0.0, (0.0, 774.0, 0.0)) == pytest.approx((0.0, np.arctan2(3, 4)))


@pytest.mark.parametrize("charge", [-1, 1, 2])
def test_a_charged_particle_turns_by_the_analytic_angle(charge: int):
    pt = 2.0
    radius = pt * MM_PER_GEV / abs(charge)
    turn = np.arcsin(RADIUS / (2 * radius))  # half the angle of the chord that ends on the side
    path = 2 * radius * turn
    eta = 0.5
    expected = np.arcsinh(path * np.sinh(eta) / RADIUS), 0.3 - np.sign(charge) * turn
    assert exit_point(charge, pt, eta, 0.3) == pytest.approx(expected)


def test_the_radius_of_curvature_is_the_textbook_value():
    assert abs(MM_PER_GEV - 1000 / (0.3 * 3.8)) < 1.0


@pytest.mark.parametrize("charge", [-1, 1])
def test_a_looper_leaves_through_the_end(charge: int):
    radius = 0.2 * MM_PER_GEV  # 2 r < 1290 mm: it never reaches the side
    eta = 1.0
    turned = HALF_LENGTH / np.sinh(eta) / radius
    distance = 2 * radius * abs(np.sin(turned / 2))
    eta_out, phi_out = exit_point(charge, 0.2, eta, 0.0)
    assert eta_out == pytest.approx(np.arcsinh(HALF_LENGTH / distance))
    direction = -charge * turned / 2 + (np.pi if np.sin(turned / 2) < 0 else 0.0)
    assert np.exp(1j * phi_out) == pytest.approx(np.exp(1j * direction))


def test_a_stiff_charged_particle_goes_straight():
    assert exit_point(1, 1.0e5, 0.4, -2.0) == pytest.approx((0.4, -2.0), abs=1e-4)


def test_a_displaced_charged_particle_ends_on_the_side():
    """Shows that the exits of random helices lie on the cylinder, on the side or the end that comes first."""
    rng = np.random.default_rng(0)
    n = 2000
    charge = rng.choice(np.array([-1, 1], dtype=np.int32), n)
    pt, eta, phi = rng.uniform(0.1, 5, n), rng.uniform(-2, 2, n), rng.uniform(-3, 3, n)
    vertex = rng.uniform(-400, 400, (3, n))
    eta_out, phi_out = propagate(charge, pt, eta, phi, vertex)
    # Step along each helix in small arcs and find the first step outside, independently.
    arcs = np.linspace(0, 1, 4001)[:, None] * 6000.0
    bend = pt * MM_PER_GEV / charge
    direction = phi - arcs / bend
    x = vertex[0] + bend * (np.sin(phi) - np.sin(direction))
    y = vertex[1] + bend * (np.cos(direction) - np.cos(phi))
    z = vertex[2] + arcs * np.sinh(eta)
    outside = (np.hypot(x, y) > RADIUS) | (np.abs(z) > HALF_LENGTH)
    first, which = outside.argmax(axis=0), np.flatnonzero(outside.any(axis=0))
    x, y, z = (axis[first[which], which] for axis in (x, y, z))
    assert len(which) > 1500
    turned = np.abs(np.exp(1j * phi_out[which]) - np.exp(1j * np.arctan2(y, x)))
    far = np.hypot(x, y) > 100  # near the beam a step is a large angle
    assert turned[far].max() < 0.05
    assert np.abs(eta_out[which] - np.arcsinh(z / np.hypot(x, y)))[far].max() < 0.05


@pytest.mark.parametrize(
    ("kind", "pt", "eta", "efficiency"),
    [
        (HADRON, 0.1, 0.0, 0.0),
        (HADRON, 0.5, 1.5, 0.70),
        (HADRON, 5.0, -1.0, 0.95),
        (HADRON, 0.5, 2.0, 0.60),
        (HADRON, 5.0, -2.5, 0.85),
        (HADRON, 5.0, 2.6, 0.0),
        (ELECTRON, 50.0, 0.0, 0.95),
        (ELECTRON, 150.0, 0.0, 0.99),
        (ELECTRON, 0.5, 2.0, 0.50),
        (MUON, 150.0, 0.0, 0.99),
        (MUON, 0.5, 2.0, 0.70),
        (MUON, 2000.0, 0.0, 0.99 * np.exp(-0.5)),
    ],
)
def test_tracking_efficiency_of_the_card(kind: int, pt: float, eta: float, efficiency: float):
    assert tracking_efficiency(np.array([kind]), np.array([pt]), np.array([eta])) == pytest.approx(efficiency)


@pytest.mark.parametrize(
    ("kind", "pt", "eta", "resolution"),
    [
        (HADRON, 1.0, 0.5, np.hypot(0.06, 1.3e-3)),
        (HADRON, 100.0, -2.0, np.hypot(0.25, 0.31)),
        (ELECTRON, 10.0, 1.0, np.hypot(0.05, 1.7e-2)),
        (MUON, 100.0, 2.0, np.hypot(0.025, 3.5e-2)),
        (HADRON, 1.0e4, 2.0, 1.0),
    ],
)
def test_momentum_resolution_of_the_card(kind: int, pt: float, eta: float, resolution: float):
    assert momentum_resolution(np.array([kind]), np.array([pt]), np.array([eta])) == pytest.approx(resolution)


def test_kinds_of_particles():
    pdg = np.array([211, -11, 13, 321, -2212, 11], dtype=np.int32)
    assert particle_kind(pdg).tolist() == [HADRON, ELECTRON, MUON, HADRON, HADRON, ELECTRON]


def test_measured_angles_have_the_gaussian_errors_of_the_card():
    assert ANGULAR_RESOLUTION == 0.01
    rng = np.random.default_rng(2)
    n = 200_000
    eta, phi = rng.uniform(-2.5, 2.5, n), rng.uniform(-np.pi, np.pi, n)
    measured_eta, measured_phi = smear_angles(eta, phi, rng)
    for pull in ((measured_eta - eta) / 0.01, (measured_phi - phi) / 0.01):
        assert abs(pull.mean()) < 4 / np.sqrt(n)
        assert abs(pull.std() - 1) < 4 / np.sqrt(2 * n)
        for sigmas, share in ((1, 0.68269), (2, 0.95450), (3, 0.99730)):
            assert abs((np.abs(pull) < sigmas).mean() - share) < 4 * np.sqrt(share * (1 - share) / n)
    assert abs(np.corrcoef(measured_eta - eta, measured_phi - phi)[0, 1]) < 4 / np.sqrt(n)


def test_log_normal_has_the_mean_and_deviation_asked_for():
    drawn = log_normal(np.full(200_000, 10.0), np.full(200_000, 3.0), np.random.default_rng(1))
    assert drawn.min() > 0
    assert drawn.mean() == pytest.approx(10.0, rel=0.01)
    assert drawn.std() == pytest.approx(3.0, rel=0.02)
