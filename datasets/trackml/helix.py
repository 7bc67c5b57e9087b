"""Exact helices of charged particles in a homogeneous field, and where they cross layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from datasets.trackml.layers import Layer

FIELD = 2.0
"""Magnetic field in T, along z, everywhere."""

MM_PER_GEV = 1.0 / (0.0003 * FIELD)
"""Radius of the helix of a unit charge with a transverse momentum of 1 GeV, mm."""


@dataclass(frozen=True)
class Helices:
    """The helices of charged particles, each a function of the angle ``psi`` by which it has turned.

    Args:
        start: (particles, 3) production vertices, mm.
        phi: (particles,) azimuth of the momenta at the start, rad.
        radius: (particles,) radius, mm.
        charge: (particles,) 1 or -1. A positive particle turns clockwise, seen against the field.
        cot_theta: (particles,) way along z for a way across the beam.
    """

    start: NDArray[np.float64]
    phi: NDArray[np.float64]
    radius: NDArray[np.float64]
    charge: NDArray[np.float64]
    cot_theta: NDArray[np.float64]

    @classmethod
    def of(cls, particles: NDArray[np.void]) -> Self:
        """Returns the helices of a PARTICLE array."""
        values = {name: particles[name].astype(np.float64) for name in ("x", "y", "z", "phi", "pt", "eta")}
        return cls(
            start=np.stack([values[axis] for axis in "xyz"], axis=1),
            phi=values["phi"],
            radius=MM_PER_GEV * values["pt"],
            charge=particles["charge"].astype(np.float64),
            cot_theta=np.sinh(values["eta"]),
        )

    def __getitem__(self, rows: NDArray[np.int64]) -> Self:
        """Returns some of the helices."""
        columns = (self.start, self.phi, self.radius, self.charge, self.cot_theta)
        return type(self)(*(column[rows] for column in columns))

    def position(self, psi: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns (particles, 3) positions at ``psi``, mm."""
        turned = self.phi - self.charge * psi
        signed_radius = self.charge * self.radius
        x = self.start[:, 0] + signed_radius * (np.sin(self.phi) - np.sin(turned))
        y = self.start[:, 1] + signed_radius * (np.cos(turned) - np.cos(self.phi))
        return np.stack([x, y, self.start[:, 2] + self.radius * psi * self.cot_theta], axis=1)

    def turn_to(self, layer: Layer, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the angle at which each particle first crosses a layer, within half a turn.

        Args:
            layer: The layer.
            distance: (particles,) by how much its radius is larger, or its z higher in a disk, mm.

        Returns:
            (particles,) angles, NaN where a particle does not cross the layer.
        """
        is_cylinder = layer.r[0] == layer.r[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            if is_cylinder:
                psi = self._to_cylinder(layer.r[0] + distance)
            else:
                psi = self._to_plane(layer.z[0] + distance)
        psi = np.where((psi > 0.0) & (psi < np.pi), psi, np.nan)

        # A cylinder has ends, and a disk has a hole and a rim.
        x, y, z = self.position(psi).T
        value, (low, high) = (z, layer.z) if is_cylinder else (np.hypot(x, y), layer.r)
        return np.where((low <= value) & (value <= high), psi, np.nan)

    def _to_cylinder(self, rho: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the smallest angle from 0 to 2 pi at which a particle is at ``rho`` from the beam."""
        # The circle's centre, seen from the beam, and the particle's start, seen from the centre.
        x = self.start[:, 0] + self.charge * self.radius * np.sin(self.phi)
        y = self.start[:, 1] - self.charge * self.radius * np.cos(self.phi)
        start = np.arctan2(self.start[:, 1] - y, self.start[:, 0] - x)

        # The law of cosines gives the two points of the circle at this distance from the beam.
        centre = np.hypot(x, y)
        half = np.arccos((rho**2 - centre**2 - self.radius**2) / (2.0 * centre * self.radius))
        middle = self.charge * (start - np.arctan2(y, x))
        angle: NDArray[np.float64] = np.mod([middle - half, middle + half], 2.0 * np.pi).min(axis=0)
        return angle

    def _to_plane(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the angle at which a particle reaches ``z``."""
        angle: NDArray[np.float64] = (z - self.start[:, 2]) / (self.radius * self.cot_theta)
        return angle
