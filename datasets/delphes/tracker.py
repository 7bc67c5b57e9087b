"""Fast tracker response in the manner of Delphes: helix, efficiency, resolutions, with numpy only.

Parameters are those of the CMS-like Delphes card of the public data set. Formulas take the
pseudorapidity of the point where a particle leaves the tracker, as Delphes' modules do.
Lengths are in mm, energies in GeV, angles in rad.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RADIUS = 1290.0
HALF_LENGTH = 3000.0
FIELD = 3.8  # tesla, along +z
MM_PER_GEV = 1000.0 / (0.299792458 * FIELD)
"""Radius of curvature of one unit charge with pt = 1 GeV."""

HADRON, ELECTRON, MUON = 0, 1, 2
TRACKER_ETA_MAX = 2.5
TRACK_PT_MIN = 0.1

ANGULAR_RESOLUTION = 0.01
"""Standard deviation of a track's measured eta, and of its measured phi in rad (card: AngularSmearing)."""

# Rows: hadron, electron, muon.
_PT_BOUNDS = np.array([[1.0, np.inf], [1.0, 100.0], [1.0, 1000.0]])
_EFFICIENCY = np.array(  # [kind, barrel or endcap (|eta| > 1.5), pt interval]
    [
        [[0.70, 0.95, 0.95], [0.60, 0.85, 0.85]],
        [[0.73, 0.95, 0.99], [0.50, 0.83, 0.90]],
        [[0.75, 0.99, 0.99], [0.70, 0.98, 0.98]],
    ]
)
_RESOLUTION_ETA = np.array([0.5, 1.5])
_RESOLUTION_CONSTANT = np.array([[0.06, 0.10, 0.25], [0.03, 0.05, 0.15], [0.01, 0.015, 0.025]])
_RESOLUTION_SLOPE = np.array([[1.3e-3, 1.7e-3, 3.1e-3], [1.3e-3, 1.7e-3, 3.1e-3], [1.0e-4, 1.5e-4, 3.5e-4]])


def propagate(
    charge: NDArray[np.int32], pt: Floats, eta: Floats, phi: Floats, vertex: Floats
) -> tuple[Floats, Floats]:
    """Follows particles to where they leave the tracker's cylinder.

    Neutral particles go straight. A particle of charge q turns on a circle of radius
    pt / (0.3 |q| B), clockwise for q > 0. A looper that never reaches the side leaves through an end.

    Args:
        charge: (n,) charge in units of the positron's.
        pt: (n,) GeV.
        eta: (n,) pseudorapidity of the momentum.
        phi: (n,) azimuth of the momentum, rad.
        vertex: (3, n) x, y, z of production inside the cylinder, mm.

    Returns:
        Eta and phi, rad, of the exit point, seen from the detector's centre, each (n,).
    """
    x, y, z = vertex
    slope = np.sinh(eta)  # dz over transverse path
    cos_phi, sin_phi = np.cos(phi), np.sin(phi)
    with np.errstate(divide="ignore"):  # a particle with eta = 0 never reaches an end
        to_end = np.abs((np.copysign(HALF_LENGTH, slope) - z) / slope)

    # Straight lines: the path to the side is the root of a quadratic equation, and the nearer exit counts.
    along = x * cos_phi + y * sin_phi
    across = x * sin_phi - y * cos_phi
    path = np.minimum(to_end, np.sqrt(RADIUS**2 - across**2) - along)
    x_out, y_out, z_out = x + path * cos_phi, y + path * sin_phi, z + path * slope

    # Charged particles take a helix in their place.
    q = np.flatnonzero(charge)
    x_out[q], y_out[q], helix_path = _helix(
        charge[q], pt[q], phi[q], x[q], y[q], cos_phi[q], sin_phi[q], to_end[q]
    )
    z_out[q] = z[q] + helix_path * slope[q]
    return np.arcsinh(z_out / np.hypot(x_out, y_out)), np.arctan2(y_out, x_out)


def _helix(
    charge: NDArray[np.int32],
    pt: Floats,
    phi: Floats,
    x: Floats,
    y: Floats,
    cos_phi: Floats,
    sin_phi: Floats,
    to_end: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Returns x, y and the transverse path where helices leave the cylinder. All arguments are (n,)."""
    # The circle of each particle in the transverse plane.
    sign = np.sign(charge)
    bend = pt * MM_PER_GEV / charge  # signed radius
    radius = np.abs(bend)
    x_centre, y_centre = x + bend * sin_phi, y - bend * cos_phi
    centre = np.hypot(x_centre, y_centre)

    # The angle from the direction of the circle's centre to the particle, counted against its motion:
    # the particle starts inside the cylinder and comes out when this angle has fallen to ``exit_angle``.
    start_angle = sign * (np.arctan2(y - y_centre, x - x_centre) - np.arctan2(y_centre, x_centre))
    with np.errstate(divide="ignore", invalid="ignore"):  # a circle about the axis is a looper
        cosine = (RADIUS**2 - centre**2 - radius**2) / (2 * centre * radius)
    exit_angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    to_side = np.where(centre + radius < RADIUS, np.inf, radius * np.mod(start_angle - exit_angle, 2 * np.pi))

    # The nearer exit counts, and a looper has no exit through the side.
    path = np.minimum(to_side, to_end)
    direction = phi - path / bend
    return x_centre - bend * np.sin(direction), y_centre + bend * np.cos(direction), path


def particle_kind(pdg: NDArray[np.int32]) -> Ints:
    """Returns (n,) HADRON, ELECTRON or MUON for the PDG numbers (n,) of charged particles."""
    code = np.abs(pdg)
    kind: Ints = np.select([code == 11, code == 13], [ELECTRON, MUON], default=HADRON)
    return kind


def tracking_efficiency(kind: Ints, pt: Floats, eta: Floats) -> Floats:
    """Returns (n,) the probability that a charged particle leaves a track (card: TrackingEfficiency).

    Args:
        kind: (n,) HADRON, ELECTRON or MUON.
        pt: (n,) GeV.
        eta: (n,) pseudorapidity of the exit point.
    """
    bounds = _PT_BOUNDS[kind]
    interval = (pt > bounds[:, 0]).astype(np.int64) + (pt > bounds[:, 1])
    efficiency = _EFFICIENCY[kind, (np.abs(eta) > 1.5).astype(np.int64), interval]
    stiff = (kind == MUON) & (pt > 1000.0)
    efficiency[stiff] *= np.exp(0.5 - 5.0e-4 * pt[stiff])
    efficiency[(pt <= TRACK_PT_MIN) | (np.abs(eta) > TRACKER_ETA_MAX)] = 0.0
    return efficiency


def momentum_resolution(kind: Ints, pt: Floats, eta: Floats) -> Floats:
    """Returns (n,) sigma(pt) / pt, at most 1 (card: MomentumSmearing).

    Args:
        kind: (n,) HADRON, ELECTRON or MUON.
        pt: (n,) GeV.
        eta: (n,) pseudorapidity of the exit point.
    """
    region = np.searchsorted(_RESOLUTION_ETA, np.abs(eta))
    resolution = np.hypot(_RESOLUTION_CONSTANT[kind, region], _RESOLUTION_SLOPE[kind, region] * pt)
    capped: Floats = np.minimum(resolution, 1.0)
    return capped


def smear_angles(eta: Floats, phi: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws the measured directions of tracks, whose errors depend on nothing (card: AngularSmearing).

    Args:
        eta: (n,) true pseudorapidity of the momentum.
        phi: (n,) true azimuth of the momentum, rad.
        rng: Generator of the errors.

    Returns:
        Measured eta and phi, rad, each (n,). Phi may lie slightly beyond +-pi.
    """
    return rng.normal(eta, ANGULAR_RESOLUTION), rng.normal(phi, ANGULAR_RESOLUTION)


def log_normal(mean: Floats, sigma: Floats, rng: np.random.Generator) -> Floats:
    """Draws positive values (n,) of the given mean and standard deviation, as Delphes smears."""
    width = np.sqrt(np.log1p((sigma / mean) ** 2))
    gauss = rng.standard_normal(len(mean))
    factor: Floats = np.exp(width * gauss - 0.5 * width**2)
    return mean * factor
