import numpy as np
import pytest

from datasets.pythia import PARTICLE
from datasets.trackml.helix import Helices
from datasets.trackml.layers import Layer

CYLINDER = Layer(8, 2, (1000.0, 1000.0), (-1e6, 1e6))
DISK = Layer(9, 2, (0.0, 1e6), (600.0, 600.0))


def particle(*, pt: float = 0.6, charge: int = 1, eta: float = 0.0, phi: float = 0.0, **vertex: float):
    """One particle; its helix has a radius of 1 m for every 0.6 GeV of pt."""
    values = {"pt": pt, "charge": charge, "eta": eta, "phi": phi, "x": 0.0, "y": 0.0, "z": 0.0, **vertex}
    particles = np.zeros(1, dtype=PARTICLE)
    for name, value in values.items():
        particles[name] = value
    return Helices.of(particles)


def crossing(helices: Helices, layer: Layer, distance: float = 0.0):
    psi = helices.turn_to(layer, np.full(1, distance))
    return psi[0], helices.position(psi)[0]


@pytest.mark.parametrize("charge", [1, -1])
def test_a_circle_of_one_metre_meets_a_cylinder_of_one_metre_after_60_degrees(charge: int):
    """Start, centre of the circle and crossing are an equilateral triangle."""
    psi, position = crossing(particle(charge=charge), CYLINDER)
    assert psi == pytest.approx(np.pi / 3)
    # It left along x. In a field along z a positive particle turns clockwise.
    assert position == pytest.approx([1000 * np.sqrt(3) / 2, -charge * 500, 0], abs=1e-3)


def test_it_moves_along_the_beam_as_far_as_it_turns():
    slope = 3 / 4
    _, position = crossing(particle(eta=np.arcsinh(slope), z=10.0), CYLINDER)
    assert position[2] == pytest.approx(10 + 1000 * np.pi / 3 * slope, rel=1e-6)


def test_a_disk_is_met_where_the_way_along_the_beam_says():
    """cot theta is 2 / pi: after a quarter turn of 1 m the particle is at z = 1 m."""
    disk = Layer(9, 2, (0.0, 1e6), (1000.0, 1000.0))
    psi, position = crossing(particle(eta=np.arcsinh(2 / np.pi)), disk)
    assert psi == pytest.approx(np.pi / 2)
    assert position == pytest.approx([1000, -1000, 1000], rel=1e-6)


def test_a_particle_from_inside_the_detector_meets_the_far_side():
    """From (0, 800) along x its circle is around (0, -200): the law of cosines in that triangle."""
    psi, (x, y, _) = crossing(particle(y=800.0), CYLINDER)
    assert np.hypot(x, y) == pytest.approx(1000)
    assert np.hypot(x, y + 200) == pytest.approx(1000)
    assert (x, y) == pytest.approx((np.sqrt(1000**2 - 100**2), -100), abs=1e-3)
    assert psi == pytest.approx(np.pi / 2 - np.arcsin(0.1), rel=1e-6)


def test_a_stiff_particle_goes_nearly_straight():
    """The sagitta of a chord of 1 m in a circle of 100 m, and half the turn as the change of azimuth."""
    psi, (x, y, _) = crossing(particle(pt=60.0), CYLINDER)
    assert psi == pytest.approx(2 * np.arcsin(0.5 / 100), rel=1e-9)
    assert y == pytest.approx(-1000 * 0.5 / 100, rel=1e-6)
    assert np.hypot(x, y) == pytest.approx(1000)


@pytest.mark.parametrize(
    ("helices", "layer"),
    [
        (particle(pt=0.29), CYLINDER),  # reaches 2 R = 967 mm
        (particle(eta=3.0), Layer(8, 2, (1000.0, 1000.0), (-500.0, 500.0))),  # leaves at z = 10 m
        (particle(eta=-1.0), DISK),  # flies away from it
        (particle(eta=0.1), DISK),  # would need more than half a turn
        (particle(eta=5.0), Layer(9, 2, (30.0, 176.0), (600.0, 600.0))),  # passes through the hole
    ],
)
def test_what_a_particle_does_not_meet(helices: Helices, layer: Layer):
    assert np.isnan(helices.turn_to(layer, np.zeros(1))[0])


def test_a_layer_that_is_moved_is_met_where_it_is():
    _, (x, y, _) = crossing(particle(), CYLINDER, distance=5.0)
    assert np.hypot(x, y) == pytest.approx(1005)
    _, position = crossing(particle(eta=2.0), DISK, distance=-2.5)
    assert position[2] == pytest.approx(597.5)


def test_many_particles_are_on_their_layers_and_come_out_of_their_vertices():
    rng = np.random.default_rng(1)
    particles = np.zeros(1000, dtype=PARTICLE)
    particles["pt"], particles["eta"] = rng.uniform(0.1, 10, 1000), rng.uniform(-4, 4, 1000)
    particles["phi"], particles["charge"] = rng.uniform(-3, 3, 1000), rng.choice([-1, 1], 1000)
    particles["x"], particles["y"], particles["z"] = rng.uniform(-200, 200, (3, 1000))
    helices = Helices.of(particles)
    assert helices.position(np.zeros(1000)) == pytest.approx(helices.start)
    small = helices.position(np.full(1000, 1e-6)) - helices.start
    assert np.arctan2(small[:, 1], small[:, 0]) == pytest.approx(helices.phi, abs=1e-3)
    psi = helices.turn_to(CYLINDER, np.zeros(1000))
    reached = np.isfinite(psi)
    assert 700 < reached.sum() < 1000
    assert np.hypot(*helices.position(psi)[reached, :2].T) == pytest.approx(1000)

    # No earlier point of the way is on the cylinder.
    for part in np.linspace(0.0, 0.99, 20):
        assert (np.hypot(*helices.position(part * psi)[reached, :2].T) < 1000).all()
