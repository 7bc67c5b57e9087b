"""Fast calorimeter response in the manner of Delphes' SimpleCalorimeter, with numpy only.

Cells, thresholds and resolutions are those of the CMS-like Delphes card of the public data set.
Energies are in GeV, angles in rad.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.delphes.tracker import Floats, Ints, log_normal

SIGNIFICANCE_MIN = 2.0
"""Smallest energy of a tower in standard deviations of its resolution."""

_EM_PARTICLES = (11, 22, 111)
_INVISIBLE = (12, 13, 14, 16)  # muons leave nothing in Delphes' towers
_V0_PARTICLES = (310, 3122)  # K0S and Lambda share their energy
_V0_ECAL_FRACTION = 0.3


@dataclass(frozen=True)
class Grid:
    """The cells of a calorimeter: row i spans ``eta_edges[i]`` to ``eta_edges[i + 1]``.

    Args:
        eta_edges: (rows + 1,) ascending.
        phi_cells: (rows,) number of equal cells in phi of each row.
    """

    eta_edges: Floats
    phi_cells: Ints

    def cells(self, eta: Floats, phi: Floats) -> Ints:
        """Returns (n,) the number of each point's cell, row by row from phi = -pi, and -1 outside."""
        row = np.searchsorted(self.eta_edges, eta) - 1  # an edge belongs to the row below it
        inside = (row >= 0) & (row < len(self.phi_cells))
        row = np.where(inside, row, 0)
        count = self.phi_cells[row]
        column = np.minimum(((phi + np.pi) * (count / (2 * np.pi))).astype(np.int64), count - 1)
        return np.where(inside, self._first_cells()[row] + column, -1)

    def bounds(self, cells: Ints) -> tuple[Floats, Floats, Floats, Floats]:
        """Returns lower eta, upper eta, lower phi and upper phi of cells (n,), each (n,)."""
        first = self._first_cells()
        row = np.searchsorted(first, cells, side="right") - 1
        step = 2 * np.pi / self.phi_cells[row]
        low = (cells - first[row]) * step - np.pi
        return self.eta_edges[row], self.eta_edges[row + 1], low, low + step

    def _first_cells(self) -> Ints:
        """Returns (rows,) the number of the first cell of each row."""
        return np.cumsum(self.phi_cells) - self.phi_cells


@dataclass(frozen=True)
class Towers:
    """The towers of one calorimeter, and the particles that went into each of them.

    Args:
        energy: (towers,) measured energy, GeV.
        eta: (towers,) position, drawn within the cell.
        phi: (towers,) position, drawn within the cell, rad.
        member_tower: (members,) row of a tower.
        member_particle: (members,) row of a particle that went into it.
    """

    energy: Floats
    eta: Floats
    phi: Floats
    member_tower: Ints
    member_particle: Ints


@dataclass(frozen=True)
class Calorimeter:
    """One calorimeter.

    Args:
        grid: Cells of the calorimeter.
        energy_min: Smallest energy of a tower, GeV.
        sigma: Function of eta (n,) and energy (n,) that returns the energy resolution (n,), GeV.
    """

    grid: Grid
    energy_min: float
    sigma: Callable[[Floats, Floats], Floats]

    def measure(self, deposits: Floats, eta: Floats, phi: Floats, rng: np.random.Generator) -> Towers:
        """Sums deposits per cell, smears the sums, and keeps the towers above threshold.

        Args:
            deposits: (n,) energy that each particle leaves, GeV, or 0.
            eta: (n,) pseudorapidity of the exit points.
            phi: (n,) azimuth of the exit points, rad.
            rng: Generator of the smearing and of the positions.

        Returns:
            Towers in the order of their cells, with positions that are uniform within the cell.
        """
        # The true energy of every cell that a particle hits.
        particle = np.flatnonzero(deposits > 0.0)
        cell = self.grid.cells(eta[particle], phi[particle])
        particle, cell = particle[cell >= 0], cell[cell >= 0]
        cells, tower = np.unique(cell, return_inverse=True)
        true_energy = np.zeros(len(cells))
        np.add.at(true_energy, tower, deposits[particle])
        eta_low, eta_high, phi_low, phi_high = self.grid.bounds(cells)
        centre = 0.5 * (eta_low + eta_high)

        # Positions are drawn for all cells, so that thresholds do not change the random numbers behind them.
        energy = log_normal(true_energy, self.sigma(centre, true_energy), rng)
        significant = energy >= SIGNIFICANCE_MIN * self.sigma(centre, energy)
        above_threshold = (energy >= self.energy_min) & significant
        tower_eta, tower_phi = rng.uniform(eta_low, eta_high), rng.uniform(phi_low, phi_high)

        # Members keep their tower under its new number, and lose it with a tower below threshold.
        member = above_threshold[tower]
        return Towers(
            energy=energy[above_threshold],
            eta=tower_eta[above_threshold],
            phi=tower_phi[above_threshold],
            member_tower=(np.cumsum(above_threshold) - 1)[tower[member]],
            member_particle=particle[member],
        )


def energy_fractions(pdg: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Returns the shares (n,) of a particle's energy that it leaves in the ECAL and in the HCAL."""
    code = np.abs(pdg)
    ecal = np.isin(code, _EM_PARTICLES) + _V0_ECAL_FRACTION * np.isin(code, _V0_PARTICLES)
    hcal = np.where(np.isin(code, _INVISIBLE), 0.0, 1.0 - ecal)
    return ecal, hcal


def ecal_sigma(eta: Floats, energy: Floats) -> Floats:
    """Returns (n,) the ECAL's energy resolution, GeV (eta: arXiv:1306.2016, energy: arXiv:1502.02701)."""
    eta = np.abs(eta)
    central = np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2)
    forward = np.sqrt((0.107 * energy) ** 2 + 2.08**2 * energy)
    barrel = (1.0 + 0.64 * eta**2) * central
    endcap = (2.16 + 5.6 * (eta - 2.0) ** 2) * central
    return np.where(eta <= 1.5, barrel, np.where(eta <= 2.5, endcap, forward))


def hcal_sigma(eta: Floats, energy: Floats) -> Floats:
    """Returns (n,) the HCAL's energy resolution, GeV."""
    central = np.sqrt((0.050 * energy) ** 2 + 1.50**2 * energy)
    forward = np.sqrt((0.130 * energy) ** 2 + 2.70**2 * energy)
    return np.where(np.abs(eta) <= 3.0, central, forward)


def _grid(rows: dict[float, int], lowest: float) -> Grid:
    """Builds a grid from ``{upper eta edge: cells in phi}``, in any order, above the lowest edge."""
    edges = sorted(rows)
    return Grid(np.array([lowest, *edges]), np.array([rows[edge] for edge in edges], dtype=np.int64))


def _ecal_grid() -> Grid:
    """Returns the cells of the ECAL and of the forward calorimeter's electromagnetic part (card: ECal)."""
    hf = (4.7, 4.525, 4.35, 4.175, 4.0, 3.825, 3.65, 3.475, 3.3, 3.125)
    fine = [i * 0.0174 for i in range(-85, 87)]
    fine += [start + i * 0.0174 for start in (-2.958, 1.4964) for i in range(1, 85)]
    rows = dict.fromkeys([-2.958, 5.0, *hf, *(-edge for edge in hf)], 36)
    return _grid({**rows, **dict.fromkeys(fine, 360)}, lowest=-5.0)


def _hcal_grid() -> Grid:
    """Returns the cells of the HCAL and of the forward calorimeter's hadronic part (card: HCal)."""
    barrel = [round(i * 0.087, 3) for i in range(-18, 20)]
    endcap = (1.74, 1.83, 1.93, 2.043, 2.172, 2.322, 2.5, 2.65, 2.868, 2.95)
    hf = (3.125, 3.3, 3.475, 3.65, 3.825, 4.0, 4.175, 4.35)
    medium = [-1.653, 4.525, *endcap, *hf, *(-edge for edge in (*endcap, *hf))]
    rows = dict.fromkeys(barrel, 72) | dict.fromkeys(medium, 36)
    return _grid(rows | dict.fromkeys((-4.7, -4.525, 4.7, 5.0), 18), lowest=-5.0)


ECAL = Calorimeter(_ecal_grid(), energy_min=0.5, sigma=ecal_sigma)
HCAL = Calorimeter(_hcal_grid(), energy_min=1.0, sigma=hcal_sigma)
