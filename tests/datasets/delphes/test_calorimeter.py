import numpy as np
import pytest

from datasets.delphes.calorimeter import ECAL, HCAL, Grid, ecal_sigma, energy_fractions, hcal_sigma

CALORIMETERS = pytest.mark.parametrize("calorimeter", [ECAL, HCAL], ids=["ecal", "hcal"])


def rows_with(grid: Grid, cells: int) -> int:
    return int((grid.phi_cells == cells).sum())


def test_the_ecal_grid_has_the_rows_of_the_card():
    # upper edges: barrel -85 to 86, two endcaps of 84; forward -4.7 to -2.958 and 3.125 to 5
    assert (rows_with(ECAL.grid, 360), rows_with(ECAL.grid, 36)) == (172 + 2 * 84, 11 + 11)
    assert len(ECAL.grid.eta_edges) == len(ECAL.grid.phi_cells) + 1


def test_the_hcal_grid_has_the_rows_of_the_card():
    assert [rows_with(HCAL.grid, cells) for cells in (72, 36, 18)] == [38, 38, 4]
    assert len(HCAL.grid.eta_edges) == 38 + 38 + 4 + 1


@CALORIMETERS
def test_the_edges_rise_from_minus_five_to_five(calorimeter):
    edges = calorimeter.grid.eta_edges
    assert (edges[0], edges[-1]) == (-5.0, 5.0)
    assert np.diff(edges).min() > 0.01


@CALORIMETERS
def test_a_point_lies_within_the_bounds_of_its_cell(calorimeter):
    rng = np.random.default_rng(0)
    eta, phi = rng.uniform(-4.999, 5, 10_000), rng.uniform(-np.pi, np.pi, 10_000)
    cells = calorimeter.grid.cells(eta, phi)
    eta_low, eta_high, phi_low, phi_high = calorimeter.grid.bounds(cells)
    assert ((eta_low < eta) & (eta <= eta_high)).all()
    assert ((phi_low <= phi + 1e-12) & (phi <= phi_high + 1e-12)).all()


@CALORIMETERS
def test_points_beyond_eta_five_have_no_cell(calorimeter):
    assert calorimeter.grid.cells(np.array([-5.1, -5.0, 5.0, 5.1]), np.zeros(4)).tolist()[::3] == [-1, -1]


def test_a_cell_ends_where_the_card_says():
    grid = Grid(np.array([-1.0, 0.0, 1.0]), np.array([2, 4]))
    eta = np.array([-0.5, -0.5, 0.0, 0.5, 0.5, 1.0, -1.0])
    phi = np.array([-0.1, 0.1, 0.1, -np.pi, 0.1, np.pi, 0.0])
    # rows of 2 and 4 cells from phi = -pi; the edge eta = 0 belongs to the row below, -1 to none
    assert grid.cells(eta, phi).tolist() == [0, 1, 1, 2, 4, 5, -1]


@CALORIMETERS
def test_two_particles_in_one_cell_sum(calorimeter):
    deposits = np.array([3000.0, 1000.0, 0.0, 2000.0])
    eta, phi = np.array([0.043, 0.044, 0.043, 0.043]), np.array([0.03, 0.032, 0.03, 2.0])
    towers = calorimeter.measure(deposits, eta, phi, np.random.default_rng(3))
    assert len(towers.energy) == 2
    assert towers.member_particle.tolist() == [0, 1, 3]
    assert towers.member_tower.tolist() == [0, 0, 1]
    assert towers.energy == pytest.approx([4000.0, 2000.0], rel=0.3)
    assert np.abs(towers.phi - [0.03, 2.0]).max() < 2 * np.pi / 72


def test_small_energies_are_below_threshold():
    phi = np.linspace(-3, 3, 1000)
    eta = np.zeros(1000)
    rng = np.random.default_rng(0)
    # HCAL: E > 2 sigma(E) means E > (2 * 1.5)^2 = 9 GeV (and a little more)
    assert HCAL.measure(np.full(1000, 50.0), eta, phi, rng).energy.min() > 9.0
    assert ECAL.measure(np.full(1000, 1.0), eta, phi, rng).energy.min() > 0.5


def test_the_mean_energy_is_kept():
    n = 36 * 360
    phi = np.repeat((np.arange(360) + 0.5) * 2 * np.pi / 360 - np.pi, 36)
    eta = np.tile((np.arange(36) + 0.5) * 0.0174, 360)
    towers = ECAL.measure(np.full(n, 50.0), eta, phi, np.random.default_rng(0))
    assert len(towers.energy) == n
    assert towers.energy.mean() == pytest.approx(50.0, rel=0.005)


def test_resolutions_of_the_card():
    energy = np.array([100.0])
    central = np.sqrt(0.8**2 + 1.1**2 + 0.4**2)
    assert ecal_sigma(np.array([0.0]), energy) == pytest.approx(central)
    assert ecal_sigma(np.array([-1.0]), energy) == pytest.approx(1.64 * central)
    assert ecal_sigma(np.array([2.0]), energy) == pytest.approx(2.16 * central)
    assert ecal_sigma(np.array([3.0]), energy) == pytest.approx(np.hypot(10.7, 20.8))
    assert hcal_sigma(np.array([-3.0]), energy) == pytest.approx(np.hypot(5.0, 15.0))
    assert hcal_sigma(np.array([3.1]), energy) == pytest.approx(np.hypot(13.0, 27.0))


def test_energy_fractions():
    pdg = np.array([22, -11, 13, 310, -3122, 211, 130, 2112], dtype=np.int32)
    ecal, hcal = energy_fractions(pdg)
    assert ecal.tolist() == [1, 1, 0, 0.3, 0.3, 0, 0, 0]
    assert hcal.tolist() == [0, 0, 0, 0.7, 0.7, 1, 1, 1]
