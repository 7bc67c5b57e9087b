"""Electrons and photons: an electromagnetic cascade in steps, reduced to what an image shows.

Electrons ionise, scatter and radiate photons. Photons make pairs or scatter off electrons. The free path of
photons is the same at all energies, and positrons are electrons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from datasets.liquid_argon.deposits import (
    MINIMUM_IONISATION,
    RADIATION_LENGTH,
    STEP,
    Deposits,
    Indices,
    Numbers,
    Vectors,
    deflect,
    fluctuate,
    perpendiculars,
    scattering_angle,
)

ELECTRON_MASS = 0.511  # MeV
PHOTON_PATH = 18.0  # cm, nearly the same for pairs at high energy and for scattering at a few MeV
PAIR_ENERGY = 10.0  # MeV, at which pairs and scattering are equally frequent
LOWEST_PHOTON = 0.1  # MeV, below which a photon is absorbed where it is
LOWEST_RADIATION = 1.0  # MeV, below which radiation counts as ionisation
HORIZON = 150.0  # cm from the origin, beyond which nothing is followed


@dataclass(frozen=True)
class Cascade:
    """Electrons and photons at one moment.

    Args:
        patch: (particles,) number of the patch of each.
        position: (particles, 3) position, cm.
        direction: (particles, 3) unit vector.
        energy: (particles,) kinetic energy, MeV.
        is_photon: (particles,) whether it is a photon.
    """

    patch: Indices
    position: Vectors
    direction: Vectors
    energy: Numbers
    is_photon: NDArray[np.bool_]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Cascade:
        """Returns some of the particles."""
        return Cascade(
            self.patch[chosen],
            self.position[chosen],
            self.direction[chosen],
            self.energy[chosen],
            self.is_photon[chosen],
        )

    @classmethod
    def join(cls, *parts: Self) -> Self:
        """Returns the particles of all parts, one part after another."""
        names = ("patch", "position", "direction", "energy", "is_photon")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def develop(start: Cascade, rng: np.random.Generator) -> Deposits:
    """Returns what particles and all that they produce leave, until nothing is left of them.

    Args:
        start: The first particles.
        rng: Generator of everything that is drawn.
    """
    nothing = np.zeros(0)
    deposits = [Deposits(np.zeros(0, np.int64), np.zeros((0, 3)), nothing, nothing)]
    alive = start
    while len(alive.patch):
        electrons, radiation, ionised = _step_electrons(alive[~alive.is_photon], rng)
        products, absorbed = _convert_photons(alive[alive.is_photon], rng)
        deposits += [ionised, absorbed]
        alive = Cascade.join(electrons, radiation, products)
        alive = alive[(alive.position**2).sum(axis=1) < HORIZON**2]
    return Deposits.join(*deposits)


def _step_electrons(electrons: Cascade, rng: np.random.Generator) -> tuple[Cascade, Cascade, Deposits]:
    """Returns the electrons after a step, the photons that they radiated, and what they left."""
    count = len(electrons.patch)

    # An electron leaves the rest of its energy in its last step, which is shorter.
    left_energy = np.minimum(fluctuate(np.full(count, MINIMUM_IONISATION), rng), electrons.energy)
    length = np.minimum(STEP, left_energy / MINIMUM_IONISATION * 2.0)
    middle = electrons.position + 0.5 * length[:, None] * electrons.direction
    ionised = Deposits(electrons.patch, middle, left_energy, length)
    energy = electrons.energy - left_energy

    # Photons are drawn from dk/k, and kept with the rest of the spectrum of thin targets.
    fraction = np.minimum(LOWEST_RADIATION / np.maximum(energy, 1e-9), 1.0)
    probability = 4.0 / 3.0 * STEP / RADIATION_LENGTH * -np.log(fraction)
    emission, spectrum, acceptance = rng.uniform(size=(3, count))
    share = fraction**spectrum
    radiates = (emission < probability) & (acceptance < 1.0 - share + 0.75 * share**2)
    radiated = np.where(radiates, share * energy, 0.0)
    energy = energy - radiated

    position = electrons.position + STEP * electrons.direction
    tangents = rng.normal(size=(count, 2)) * scattering_angle(energy, ELECTRON_MASS)[:, None]
    after = Cascade(
        electrons.patch, position, deflect(electrons.direction, tangents), energy, electrons.is_photon
    )
    photons = Cascade(electrons.patch, position, electrons.direction, radiated, np.ones(count, np.bool_))
    return after[energy > 0.0], photons[radiates], ionised


def _convert_photons(photons: Cascade, rng: np.random.Generator) -> tuple[Cascade, Deposits]:
    """Returns what photons turn into where they interact, and what the slowest of them leave there."""
    count = len(photons.patch)
    path = rng.exponential(PHOTON_PATH, size=count)
    choice, share = rng.uniform(size=(2, count))
    turn = rng.uniform(0.0, 2.0 * np.pi, size=count)
    is_absorbed = photons.energy < LOWEST_PHOTON
    path[is_absorbed] = 0.0
    position = photons.position + path[:, None] * photons.direction
    photons = Cascade(photons.patch, position, photons.direction, photons.energy, photons.is_photon)

    makes_pair = photons.energy * (1.0 - choice) > PAIR_ENERGY * choice
    makes_pair &= photons.energy > 2.0 * ELECTRON_MASS
    scatters = ~makes_pair & ~is_absorbed
    pairs = _make_pairs(photons[makes_pair], share[makes_pair])
    scattered = _scatter(photons[scatters], share[scatters], turn[scatters])

    rest = photons[is_absorbed]
    absorbed = Deposits(rest.patch, rest.position, rest.energy, rest.energy / MINIMUM_IONISATION)
    return Cascade.join(pairs, scattered), absorbed


def _make_pairs(photons: Cascade, share: Numbers) -> Cascade:
    """Returns two electrons for each photon, which go on in its direction and share its energy."""
    kinetic = photons.energy - 2.0 * ELECTRON_MASS
    is_photon = np.zeros(len(share), np.bool_)
    halves = (
        Cascade(photons.patch, photons.position, photons.direction, kinetic * part, is_photon)
        for part in (share, 1.0 - share)
    )
    return Cascade.join(*halves)


def _scatter(photons: Cascade, share: Numbers, turn: Numbers) -> Cascade:
    """Returns photons after Compton scattering, and the electrons that they hit.

    The energy of the scattered photon is drawn evenly from what is possible. The angles follow from it.
    """
    before = photons.energy
    lowest = before / (1.0 + 2.0 * before / ELECTRON_MASS)
    after = lowest + share * (before - lowest)
    cosine = np.clip(1.0 - ELECTRON_MASS * (1.0 / after - 1.0 / before), -1.0, 1.0)
    sine = np.sqrt(1.0 - cosine**2)
    first, second = perpendiculars(photons.direction)
    across = np.cos(turn)[:, None] * first + np.sin(turn)[:, None] * second
    direction = cosine[:, None] * photons.direction + sine[:, None] * across

    # The electron has what the photon has lost, energy and momentum.
    momentum = before[:, None] * photons.direction - after[:, None] * direction
    momentum /= np.maximum(np.linalg.norm(momentum, axis=1, keepdims=True), 1e-12)
    no_photon = np.zeros(len(share), np.bool_)
    return Cascade.join(
        Cascade(photons.patch, photons.position, direction, after, photons.is_photon),
        Cascade(photons.patch, photons.position, momentum, before - after, no_photon),
    )


def michel_energies(count: int, rng: np.random.Generator) -> Numbers:
    """Returns energies of electrons from muons that decay at rest, MeV: Michel's spectrum x^2 (3 - 2x)."""
    x = np.linspace(0.0, 1.0, 501)
    return np.interp(rng.uniform(size=count), 2.0 * x**3 - x**4, 52.8 * x)
