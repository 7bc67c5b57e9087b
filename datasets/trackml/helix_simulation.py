"""Tracking events without ACTS and Pythia: charged particles on helices through ideal layers.

The particles are drawn from what two events of the TrackML challenge show (quantiles and shares) and come
from no collision. The detector is 48 cylinders and disks. Its resolution and its noise are those of
``datasets.trackml.simulation``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.pythia import PARTICLE
from datasets.trackml.columns import CROSSING, MODULE, HitEvent
from datasets.trackml.helix import MM_PER_GEV, Helices
from datasets.trackml.layers import BARREL, LAYERS
from datasets.trackml.simulation import ETA_MAX, MODULE_INEFFICIENCY, assemble, measure, noise_hits

VERTEX_SIGMA_Z, VERTEX_SIGMA_XY = 5.3, 0.014
"""Spread of the collisions along and across the beam, mm."""

PARTICLES_PER_COLLISION = 50.0
"""Mean number of charged particles of a collision with pt > 0.1 GeV and |eta| < 4."""

SECONDARY_SHARE, POSITIVE_SHARE = 0.29, 0.55
"""Shares of the particles that start inside the detector, and that have a positive charge."""

LOSS_PER_CROSSING = 0.03
"""Chance of a particle to end in each module that it crosses."""

PRIMARY_LOSS, SECONDARY_LOSS = 0.06, 0.10
"""Chance of a particle from the beam line, or from inside the detector, to leave no hit at all."""

MODULES_PER_LAYER = 64
"""Modules of each layer, which are equal sectors in phi."""

# All particles are pions, with their PDG number and their mass in GeV.
_PION, _PION_MASS = 211, 0.13957

# Shares of the particles and the values below which they lie, with pt in GeV and lengths in mm.
_PT_SHARES = (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 0.999, 1.0)
_PRIMARY_PT = (0.1, 0.141, 0.174, 0.269, 0.442, 0.722, 1.187, 1.578, 2.976, 10.0, 60.0)
_SECONDARY_PT = (0.1, 0.111, 0.122, 0.157, 0.229, 0.339, 0.480, 0.731, 1.70, 4.4, 30.0)
_RADIUS_SHARES, _RADIUS = (
    (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0),
    (1.0, 17.0, 34.0, 118.0, 284.0, 570.0, 1000.0),
)
_Z_SHARES, _Z = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0), (0.0, 155.0, 455.0, 965.0, 1800.0, 2900.0)

_SECONDARY_ETA_SCALE = 0.75
_SECONDARY_PHI_SIGMA = 1.4  # angle between momentum and vertex, rad

_PROPERTIES = {
    # Volumes: chance of a second hit where modules overlap, its distance along r in a barrel or along z in a
    # disk in mm, and the material that a particle crosses at a right angle, in radiation lengths.
    (8,): (0.24, 1.5, 0.007),
    (7, 9): (0.60, 2.5, 0.007),
    (13,): (0.26, 5.0, 0.0095),
    (12, 14): (0.10, 5.0, 0.0095),
    (16, 17, 18): (0.25, 5.0, 0.0095),
}
_KINDS = [kind for layer in LAYERS for volumes, kind in _PROPERTIES.items() if layer.volume_id in volumes]
_MATERIAL = np.array([material for _, _, material in _KINDS])
_LEAST_INCIDENCE = 0.05  # sine of the angle below which the material of a crossing grows no more


def simulate_helices(collisions: int, noise: float, rng: np.random.Generator) -> HitEvent:
    """Makes an event.

    Args:
        collisions: Number of collisions.
        noise: Mean share of the hits that no particle made, from 0 and below 1.
        rng: Generator of everything that is drawn.

    Returns:
        Hits and particles, ordered and numbered as those of ``datasets.trackml.simulation.simulate``.
    """
    particles, secondary = draw_particles(collisions, rng)
    crossings = propagate(particles, np.where(secondary, SECONDARY_LOSS, PRIMARY_LOSS), rng)
    measured = measure(crossings["volume_id"], crossings["position"], rng)
    fake, fake_position = noise_hits(crossings, measured, noise, modules(), rng)
    return assemble(np.concatenate([crossings, fake]), np.concatenate([measured, fake_position]), particles)


def draw_particles(collisions: int, rng: np.random.Generator) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Draws the charged particles of an event.

    Args:
        collisions: Number of collisions.
        rng: Generator of everything that is drawn.

    Returns:
        A PARTICLE array of pions, and which of them are secondary particles.
    """
    # All particles of a collision have its vertex on the beam line.
    sizes = rng.poisson(PARTICLES_PER_COLLISION, size=collisions)
    vertex = rng.normal(size=(collisions, 3)) * (VERTEX_SIGMA_XY, VERTEX_SIGMA_XY, VERTEX_SIGMA_Z)
    x, y, z = np.repeat(vertex, sizes, axis=0).T
    count = len(x)
    secondary = rng.random(count) < SECONDARY_SHARE

    # Secondary particles are central, and start in the detector on the side to which they fly.
    central = np.clip(rng.laplace(scale=_SECONDARY_ETA_SCALE, size=count), -ETA_MAX, ETA_MAX)
    eta = np.where(secondary, central, rng.uniform(-ETA_MAX, ETA_MAX, size=count))
    azimuth = rng.uniform(-np.pi, np.pi, size=count)
    radius = np.where(secondary, np.interp(rng.random(count), _RADIUS_SHARES, _RADIUS), 0.0)
    distance = np.where(secondary, np.interp(rng.random(count), _Z_SHARES, _Z), 0.0)
    phi = azimuth + np.where(secondary, rng.normal(scale=_SECONDARY_PHI_SIGMA, size=count), 0.0)

    # Momenta are spread evenly in their logarithm between the quantiles.
    share = rng.random(count)
    log_pt = [np.interp(share, _PT_SHARES, np.log(values)) for values in (_PRIMARY_PT, _SECONDARY_PT)]
    pt = np.exp(np.where(secondary, log_pt[1], log_pt[0]))
    charge = np.where(rng.random(count) < POSITIVE_SHARE, 1, -1)

    particles = np.empty(count, dtype=PARTICLE)
    particles["pdg"], particles["charge"] = _PION * charge, charge
    particles["pt"], particles["eta"], particles["phi"] = pt, eta, np.mod(phi + np.pi, 2 * np.pi) - np.pi
    particles["energy"] = np.hypot(pt * np.cosh(eta), _PION_MASS)
    particles["x"] = x + radius * np.cos(azimuth)
    particles["y"] = y + radius * np.sin(azimuth)
    particles["z"] = z + np.sign(eta) * distance
    return particles, secondary


def propagate(
    particles: NDArray[np.void], loss: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.void]:
    """Follows particles through all layers, with multiple scattering and losses.

    Args:
        particles: PARTICLE array of particles of unit charge.
        loss: (particles,) chance of each particle to leave no hit at all.
        rng: Generator of everything that is drawn.

    Returns:
        A CROSSING array of what the modules see.
    """
    row, layer, psi = _crossings(Helices.of(particles), rng)
    helices = Helices.of(particles)[row]
    first = np.searchsorted(row, row)
    position = helices.position(psi)
    across, along = _scattering(particles[row], helices.radius * psi, first, layer, rng)
    position = _displaced(position, across, along, layer)

    # The momentum turns with the helix and keeps its size.
    pt, turned = helices.radius / MM_PER_GEV, helices.phi - helices.charge * psi
    crossings = np.empty(len(row), dtype=CROSSING)
    crossings["volume_id"] = np.array([one.volume_id for one in LAYERS])[layer]
    crossings["layer_id"] = np.array([one.layer_id for one in LAYERS])[layer]
    crossings["module_id"] = _module_id(position)
    crossings["particle"], crossings["index"] = row, np.arange(len(row)) - first
    crossings["position"] = position
    crossings["momentum"] = np.stack(
        [pt * np.cos(turned), pt * np.sin(turned), pt * helices.cot_theta], axis=1
    )

    # A particle ends at some module, or before the first one, and modules miss some particles.
    reach = rng.geometric(LOSS_PER_CROSSING, size=len(particles))
    reach[rng.random(len(particles)) < loss] = 0
    seen = (crossings["index"] < reach[row]) & (rng.random(len(row)) >= MODULE_INEFFICIENCY)
    seen_crossings: NDArray[np.void] = crossings[seen]
    return seen_crossings


def modules() -> NDArray[np.void]:
    """Returns a MODULE array: each layer is ``MODULES_PER_LAYER`` equal sectors in phi."""
    number = np.arange(MODULES_PER_LAYER)
    phi = 2.0 * np.pi * (number + 0.5) / MODULES_PER_LAYER - np.pi
    rows = np.empty((len(LAYERS), MODULES_PER_LAYER), dtype=MODULE)
    for of_layer, layer in zip(rows, LAYERS, strict=True):
        r, z = sum(layer.r) / 2.0, sum(layer.z) / 2.0
        of_layer["volume_id"], of_layer["layer_id"] = layer.volume_id, layer.layer_id
        of_layer["module_id"] = 1 + number
        of_layer["centre"] = np.stack([r * np.cos(phi), r * np.sin(phi), np.full(len(phi), z)], axis=1)
    return rows.ravel()


def _module_id(position: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the number of the module that each of (hits, 3) positions is on."""
    turn = (np.arctan2(position[:, 1], position[:, 0]) + np.pi) / (2.0 * np.pi)
    return 1 + (turn * MODULES_PER_LAYER).astype(np.int64) % MODULES_PER_LAYER


def _crossings(helices: Helices, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Returns the row of the particle, the number of the layer and the angle of each crossing.

    They are in the order of the particles, and those of a particle in the order of the angle.
    """
    count = len(helices.phi)
    pieces = []
    for number, (layer, (overlap, distance, _)) in enumerate(zip(LAYERS, _KINDS, strict=True)):
        # Modules that overlap lie on both sides of their layer.
        overlapping = np.flatnonzero(rng.random(count) < overlap)
        shift = distance * rng.choice([-1.0, 1.0], size=len(overlapping))
        for rows, shifts in ((np.arange(count), np.zeros(count)), (overlapping, shift)):
            psi = helices[rows].turn_to(layer, shifts)
            crossed = np.isfinite(psi)
            pieces.append((rows[crossed], np.full(int(crossed.sum()), number), psi[crossed]))
    row, layer_number, psi = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    order = np.lexsort((psi, row))
    return row[order], layer_number[order], psi[order]


def _scattering(
    particles: NDArray[np.void],
    way: NDArray[np.float64],
    first: NDArray[np.int64],
    layer: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns how far multiple scattering displaces each crossing across the plane of the helix and along it.

    Args:
        particles: (crossings,) PARTICLE array, the particle of each crossing.
        way: (crossings,) way from the vertex across the beam, mm.
        first: (crossings,) place of the first crossing of the same particle.
        layer: (crossings,) number of the layer.
        rng: Generator of the angles.

    Returns:
        Displacements in the layer in mm: along r phi, and along z in a barrel or along r in a disk.
    """
    # Highland's formula without its logarithm, for the material that the particle crosses at its angle.
    eta, energy = particles["eta"].astype(np.float64), particles["energy"].astype(np.float64)
    momentum = particles["pt"] * np.cosh(eta)
    incidence = np.where(layer < len(BARREL), 1.0 / np.cosh(eta), np.abs(np.tanh(eta)))
    incidence = np.maximum(incidence, _LEAST_INCIDENCE)
    sigma = 0.0136 * energy / momentum**2 * np.sqrt(_MATERIAL[layer] / incidence)
    kicks = sigma[:, None] * rng.normal(size=(len(way), 2))

    # Every kick of an earlier crossing displaces by its angle times the way from there.
    length = (way * np.cosh(eta))[:, None]
    angles, moments = (_sum_before(values, first) for values in (kicks, kicks * length))
    displacement = length * angles - moments
    return displacement[:, 0], displacement[:, 1] / incidence


def _sum_before(values: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns, for each crossing, the sum over the earlier crossings of the same particle."""
    before = np.cumsum(values, axis=0) - values
    sums: NDArray[np.float64] = before - before[first]
    return sums


def _displaced(
    position: NDArray[np.float64],
    across: NDArray[np.float64],
    along: NDArray[np.float64],
    layer: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Returns (crossings, 3) positions that are moved within their layers, mm."""
    x, y, z = position.T
    in_barrel = layer < len(BARREL)
    radius = np.hypot(x, y)
    phi = np.arctan2(y, x) + across / radius
    radius = radius + np.where(in_barrel, 0.0, along)
    return np.stack([radius * np.cos(phi), radius * np.sin(phi), z + np.where(in_barrel, along, 0.0)], axis=1)
