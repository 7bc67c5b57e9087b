"""One Delphes-like event: a hard collision, its pile-up, the detector, and the rows of the public format.

Arrays are float32, in GeV and rad. All tracks come first, then ECAL towers, then HCAL towers:

inputs (rows, 12)
    track: 2, pt, eta, sin phi, cos phi, p, outer eta, sin outer phi, cos outer phi, charge, muon, electron
    tower: 1, Et, eta, sin phi, cos phi, E, E_em, E_had, 0, 0, 0, 0
targets (rows, 7)
    class, charge, pt, eta, sin phi, cos phi, E of the generated particle, all 0 where there is none.
    class: 0 none, 1 charged hadron, 2 neutral hadron, 3 photon, 4 electron, 5 muon.
    charge: the sign of the PDG number for classes 1, 4 and 5, so leptons have the opposite of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.collisions import Particles, Pool, overlay
from datasets.delphes.calorimeter import ECAL, HCAL, Towers, energy_fractions
from datasets.delphes.tracker import (
    HALF_LENGTH,
    RADIUS,
    TRACKER_ETA_MAX,
    Floats,
    Ints,
    log_normal,
    momentum_resolution,
    particle_kind,
    propagate,
    smear_angles,
    tracking_efficiency,
)

Rows = NDArray[np.float32]

N_INPUTS = 12
N_TARGETS = 7
TOWER, TRACK = 1, 2
NONE, CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(6)

VERTEX_SIGMA = 53.0
"""Spread of the collisions along the beam, mm (card: PileUpMerger)."""

NEUTRAL_ENERGY_MIN = 9.0
"""Smallest energy of a neutral hadron that is a tower's target, GeV (ntuplizer of the public data set)."""

# The classes that a tower can have. Of classes with equal energies, the first one wins.
_TOWER_CLASSES = np.array([NEUTRAL_HADRON, CHARGED_HADRON, PHOTON, ELECTRON])


def mix_pileup(hard: Particles, pool: Pool, mean: float, rng: np.random.Generator) -> Particles:
    """Adds a Poisson number of pool events and drops the particles that are produced outside the tracker.

    Args:
        hard: PARTICLE array of the hard collision.
        pool: Source of the pile-up.
        mean: Mean number of pile-up collisions.
        rng: Generator of the choice, of the angles and of the vertices.

    Returns:
        A PARTICLE array in the order of ``datasets.collisions.overlay``.
    """
    particles = overlay(hard, pool, mean, rng, sigma_z=VERTEX_SIGMA)
    inside = (np.hypot(particles["x"], particles["y"]) < RADIUS) & (np.abs(particles["z"]) < HALF_LENGTH)
    particles_inside: Particles = particles[inside]
    return particles_inside


def simulate(particles: Particles, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Passes particles through the detector and matches tracks and towers to the particles.

    Args:
        particles: PARTICLE array.
        rng: Generator of the detector's fluctuations.

    Returns:
        Inputs (rows, 12) and targets (rows, 7), laid out as the module says.
    """
    # Everything is computed in double precision, and only the rows are float32.
    pt, eta, phi, energy = (particles[name].astype(np.float64) for name in ("pt", "eta", "phi", "energy"))
    vertex = np.stack([particles[axis].astype(np.float64) for axis in "xyz"])
    eta_outer, phi_outer = propagate(particles["charge"], pt, eta, phi, vertex)

    # Tracks, with a target each.
    truth = Truth(particles["pdg"], particles["charge"], pt, eta, phi, energy)
    tracks, momenta = _tracks(truth, eta_outer, rng)
    untracked = np.ones(len(particles), dtype=bool)
    untracked[tracks] = False
    inputs = [_track_inputs(truth, tracks, momenta, eta_outer, phi_outer)]
    targets = [_track_targets(truth, tracks)]

    # Towers of both calorimeters, whose targets are particles that left no track.
    for calorimeter, fraction, column in zip(
        (ECAL, HCAL), energy_fractions(particles["pdg"]), (6, 7), strict=True
    ):
        towers = calorimeter.measure(fraction * energy, eta_outer, phi_outer, rng)
        inputs.append(_tower_inputs(towers, column))
        targets.append(tower_targets(truth, towers, untracked))
    return np.concatenate(inputs), np.concatenate(targets)


@dataclass(frozen=True)
class Truth:
    """The generated particles, column by column.

    Args:
        pdg: (n,) PDG numbers.
        charge: (n,) charges in units of the positron's.
        pt: (n,) GeV.
        eta: (n,) pseudorapidity of the momentum.
        phi: (n,) azimuth of the momentum, rad.
        energy: (n,) GeV.
    """

    pdg: NDArray[np.int32]
    charge: NDArray[np.int32]
    pt: Floats
    eta: Floats
    phi: Floats
    energy: Floats


def _tracks(truth: Truth, eta_outer: Floats, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Draws which particles left a track, and what is measured of them.

    Args:
        truth: Generated particles.
        eta_outer: (n,) pseudorapidity of the exit points.
        rng: Generator of the efficiency and of the errors.

    Returns:
        The particles (tracks,), hadrons, then electrons, then muons, and the measured pt, eta and phi of
        their momenta (3, tracks), GeV and rad.
    """
    charged = np.flatnonzero(truth.charge)
    kind = particle_kind(truth.pdg[charged])
    has_track = rng.random(len(charged)) < tracking_efficiency(kind, truth.pt[charged], eta_outer[charged])
    charged, kind = charged[has_track], kind[has_track]
    order = np.argsort(kind, kind="stable")
    tracks, kind = charged[order], kind[order]

    # The card smears the size of the momentum first, and then the direction of all kinds of tracks together.
    true_pt = truth.pt[tracks]
    pt = log_normal(true_pt, momentum_resolution(kind, true_pt, eta_outer[tracks]) * true_pt, rng)
    return tracks, np.stack([pt, *smear_angles(truth.eta[tracks], truth.phi[tracks], rng)])


def _track_inputs(truth: Truth, tracks: Ints, momenta: Floats, eta_outer: Floats, phi_outer: Floats) -> Rows:
    """Returns the input rows of tracks, with measured momenta (3, tracks) and true exit points."""
    pt, eta, phi = momenta
    phi_out = phi_outer[tracks]
    code = np.abs(truth.pdg[tracks])
    columns = [np.full(len(tracks), TRACK), pt, eta, np.sin(phi), np.cos(phi), pt * np.cosh(eta)]
    columns += [eta_outer[tracks], np.sin(phi_out), np.cos(phi_out), truth.charge[tracks]]
    columns += [code == 13, code == 11]
    return np.stack(columns, axis=1).astype(np.float32)


def _track_targets(truth: Truth, tracks: Ints) -> Rows:
    """Returns the target rows of tracks. A charged particle of any other kind counts as a hadron."""
    code = np.abs(truth.pdg[tracks])
    kind = np.where(code == 13, MUON, np.where(code == 11, ELECTRON, CHARGED_HADRON))
    phi = truth.phi[tracks]
    columns = [kind, np.sign(truth.pdg[tracks]), truth.pt[tracks], truth.eta[tracks]]
    columns += [np.sin(phi), np.cos(phi), truth.energy[tracks]]
    return np.stack(columns, axis=1).astype(np.float32)


def _tower_inputs(towers: Towers, energy_column: int) -> Rows:
    """Returns the input rows of towers, with the energy also in the column of their calorimeter."""
    rows = np.zeros((len(towers.energy), N_INPUTS), dtype=np.float32)
    rows[:, 0] = TOWER
    rows[:, 1] = towers.energy / np.cosh(towers.eta)
    rows[:, 2] = towers.eta
    rows[:, 3], rows[:, 4] = np.sin(towers.phi), np.cos(towers.phi)
    rows[:, 5] = rows[:, energy_column] = towers.energy
    return rows


def tower_targets(truth: Truth, towers: Towers, untracked: NDArray[np.bool_]) -> Rows:
    """Returns for each tower the sum of its particles without a track, as the public data set does.

    The class is the one with the largest share of the energy. Charged hadrons beyond the tracker
    (|eta| > 2.5) count as neutral. A neutral hadron below 9 GeV leaves the row empty.

    Args:
        truth: Generated particles.
        towers: Towers and their members.
        untracked: (n,) whether each particle left no track.

    Returns:
        Target rows (towers, 7), laid out as the module says.
    """
    # The four-momentum of each tower is the sum over its members.
    free = untracked[towers.member_particle]
    tower, member = towers.member_tower[free], towers.member_particle[free]
    pt, phi, energy = truth.pt[member], truth.phi[member], truth.energy[member]
    n = len(towers.energy)
    sums = [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(truth.eta[member]), energy]
    px, py, pz, total = (np.bincount(tower, weights=w, minlength=n) for w in sums)
    pt_sum = np.hypot(px, py)
    eta = np.arcsinh(pz / np.where(pt_sum > 0.0, pt_sum, 1.0))

    # The class follows from the energy of each class in the tower, and the empty rows from class and energy.
    code = np.abs(truth.pdg[member])
    column = np.select([code == 22, code == 11, truth.charge[member] != 0], [2, 3, 1], default=0)
    shares = np.bincount(tower * 4 + column, weights=energy, minlength=4 * n).reshape(n, 4)
    kind = _TOWER_CLASSES[np.argmax(shares, axis=1)]
    kind[(kind == CHARGED_HADRON) & (np.abs(eta) > TRACKER_ETA_MAX)] = NEUTRAL_HADRON
    empty = (total == 0.0) | ((kind == NEUTRAL_HADRON) & (total < NEUTRAL_ENERGY_MIN))
    charge = np.isin(kind, (CHARGED_HADRON, ELECTRON))

    # sin phi is py / pt and cos phi is px / pt.
    unit = np.where(pt_sum > 0.0, pt_sum, 1.0)
    rows = np.stack([kind, charge, pt_sum, eta, py / unit, px / unit, total], axis=1)
    rows[empty] = 0.0
    return rows.astype(np.float32)
