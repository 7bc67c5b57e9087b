"""Muons, pions and protons: long paths with little scattering, which ionise most before they stop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.liquid_argon.deposits import (
    MINIMUM_IONISATION,
    STEP,
    Deposits,
    Indices,
    Numbers,
    fluctuate,
    isotropic_directions,
    perpendiculars,
    scattering_angle,
)

HALF_LENGTH = 36.0  # cm of a path on either side of its centre, more than the diagonal of a patch


@dataclass(frozen=True)
class Particle:
    """A heavy particle in liquid argon.

    Args:
        mass: Mass, MeV.
        ionisation: Energy loss at 1 cm before the end of the path, MeV/cm.
    """

    mass: float
    ionisation: float


# The energy loss falls with the distance R to the end as R^-0.42 (ArgoNeuT, JINST 8 (2013) P08005).
MUON = Particle(mass=105.7, ionisation=8.0)
PROTON = Particle(mass=938.3, ionisation=17.0)
_EXPONENT = -0.42


def ionise(particle: Particle, patch: Indices, residual_range: Numbers, rng: np.random.Generator) -> Deposits:
    """Returns what particles leave that pass the origin of their patch in any direction.

    Args:
        particle: Kind of all of them.
        patch: (particles,) number of the patch of each.
        residual_range: (particles,) distance from the origin to the end of the path, cm, 0 for a particle
            that stops at the origin.
        rng: Generator of directions, scattering and fluctuations.
    """
    # A path has equal steps, whose middles are at these distances behind the origin.
    steps = int(HALF_LENGTH / STEP)
    travelled = STEP * (np.arange(2 * steps) - steps + 0.5)
    to_end = residual_range[:, None] - travelled
    is_real = to_end > 0.0
    to_end = np.maximum(to_end, 0.5 * STEP)

    # Fast particles ionise least, and have lost that much in each cm that they have still to go.
    ionisation = np.maximum(particle.ionisation * to_end**_EXPONENT, MINIMUM_IONISATION)
    kinetic = particle.ionisation / (1.0 + _EXPONENT) * to_end ** (1.0 + _EXPONENT)
    kinetic = np.maximum(kinetic, MINIMUM_IONISATION * to_end)

    # Kicks add up along the path, and so the direction walks in both planes.
    kicks = rng.normal(size=(2, *to_end.shape)) * scattering_angle(kinetic, particle.mass)
    across, up = np.cumsum(kicks, axis=2)
    forward = isotropic_directions(len(patch), rng)
    first, second = perpendiculars(forward)
    direction = forward[:, None] + across[..., None] * first[:, None] + up[..., None] * second[:, None]
    direction /= np.linalg.norm(direction, axis=2, keepdims=True)
    position = np.cumsum(STEP * direction, axis=1)
    position -= position[:, steps - 1 : steps]

    energy = fluctuate(ionisation, rng)
    patches = np.broadcast_to(patch[:, None], is_real.shape)
    lengths = np.full(np.count_nonzero(is_real), STEP)
    return Deposits(patches[is_real], position[is_real], energy[is_real], lengths)
