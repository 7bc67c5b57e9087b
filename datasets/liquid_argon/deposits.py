"""Energy that particles leave in liquid argon, and the vectors that every simulation of them needs.

Coordinates are in cm: x along the drift of the electrons, y across the wires, z along them. An image shows x
and y only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

RADIATION_LENGTH = 14.0  # cm
MINIMUM_IONISATION = 2.1  # MeV/cm, mean of a relativistic particle
STEP = 0.24  # cm, half a pixel

# Width of the fluctuations of the energy that a relativistic particle leaves in a step, MeV: the K/2 Z/A x of
# Landau's theory for argon of 1.396 g/cm^3. The mean of a Moyal variable is the sum of Euler's constant and
# ln 2.
_FLUCTUATION = 0.5 * 0.307 * 18 / 39.95 * 1.396 * STEP
_MOYAL_MEAN = 1.2704

Vectors = NDArray[np.float64]
Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Deposits:
    """Energy left in short pieces of path.

    Args:
        patch: (deposits,) number of the patch that each belongs to.
        position: (deposits, 3) middle of the piece, cm.
        energy: (deposits,) energy, MeV.
        length: (deposits,) length of the piece, cm.
    """

    patch: Indices
    position: Vectors
    energy: Numbers
    length: Numbers

    @classmethod
    def join(cls, *parts: Self) -> Self:
        """Returns the deposits of all parts, one part after another."""
        names = ("patch", "position", "energy", "length")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def shift_origin(self, origin: Vectors) -> Deposits:
        """Returns the deposits in coordinates that begin at ``origin``, (patches, 3)."""
        return Deposits(self.patch, self.position - origin[self.patch], self.energy, self.length)

    def choose(self, patches: int, rng: np.random.Generator) -> Vectors:
        """Returns the position of one deposit of each patch, (patches, 3), chosen by energy.

        A patch without deposits gets the origin.
        """
        # The smallest of exponential variables with rates w belongs to each with a probability of w.
        waiting_times = rng.exponential(size=len(self.energy)) / self.energy
        order = np.lexsort((waiting_times, self.patch))
        chosen_patches, first = np.unique(self.patch[order], return_index=True)
        positions = np.zeros((patches, 3))
        positions[chosen_patches] = self.position[order[first]]
        return positions


def isotropic_directions(count: int, rng: np.random.Generator) -> Vectors:
    """Returns unit vectors in all directions, (count, 3)."""
    vectors = rng.normal(size=(count, 3))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def perpendiculars(direction: Vectors) -> tuple[Vectors, Vectors]:
    """Returns two unit vectors for each of ``direction``, (n, 3), perpendicular to it and to each other."""
    # T. Duff et al., "Building an orthonormal basis, revisited", JCGT 6 (2017) 1.
    x, y, z = direction.T
    sign = np.copysign(1.0, z)
    a = -1.0 / (sign + z)
    b = x * y * a
    first = np.stack([1.0 + sign * x * x * a, sign * b, -sign * x], axis=1)
    return first, np.stack([b, sign + y * y * a, -y], axis=1)


def deflect(direction: Vectors, tangents: Vectors) -> Vectors:
    """Turns unit vectors, (n, 3), by angles whose tangents in two planes are ``tangents``, (n, 2)."""
    first, second = perpendiculars(direction)
    turned = direction + tangents[:, :1] * first + tangents[:, 1:] * second
    return np.asarray(turned / np.linalg.norm(turned, axis=1, keepdims=True))


def scattering_angle(kinetic: Numbers, mass: Numbers | float) -> Numbers:
    """Returns the width of the angle of multiple scattering in a step, in one plane, rad (Highland).

    Args:
        kinetic: Kinetic energy, MeV.
        mass: Mass, MeV.
    """
    momentum_times_beta = kinetic * (kinetic + 2.0 * mass) / (kinetic + mass)
    angle = 13.6 / np.maximum(momentum_times_beta, 1e-3) * np.sqrt(STEP / RADIATION_LENGTH)
    return np.asarray(np.minimum(angle, 1.0))


def fluctuate(ionisation: Numbers, rng: np.random.Generator) -> Numbers:
    """Returns the energy left in steps, MeV, whose fluctuations have the long tail of Landau and Moyal.

    Args:
        ionisation: Mean energy loss, MeV/cm.
        rng: Generator of the fluctuations.
    """
    moyal = -np.log(rng.normal(size=ionisation.shape) ** 2)
    mean = ionisation * STEP
    width = _FLUCTUATION * ionisation / MINIMUM_IONISATION
    return np.asarray(np.maximum(mean + width * (moyal - _MOYAL_MEAN), 0.2 * mean))
