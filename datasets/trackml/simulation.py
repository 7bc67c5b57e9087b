"""One tracking event: particles through the detector, what it misses, what it measures, noise.

A hit is a crossing that ``datasets.trackml.fatras`` simulates, seen with the resolution of the TrackML
challenge's events. With pile-up 200 an event has about 1e4 particles above 0.1 GeV and, without noise,
1e5 hits. Hits that are lost on the way (``NUCLEAR_INTERACTION_PROBABILITY``, ``MODULE_INEFFICIENCY``) bring
their number per particle near that of the challenge's primary particles. A third of the challenge's
particles are secondary ones. Here there are next to none.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError, explain_import_error
from datasets.trackml.columns import HitEvent
from datasets.trackml.weights import hit_weights

PT_MIN = 0.1
"""Smallest pt of a particle that is followed, GeV."""

ETA_MAX = 4.0
"""Largest |eta| of a particle that is followed."""

RADIUS, HALF_LENGTH = 1020.0, 2950.0
"""Cylinder that holds the vertices of particles that are followed, about the outermost layers, mm."""

NUCLEAR_INTERACTION_PROBABILITY = 0.02
"""Chance of a hadron to end in each module it crosses: the nuclear interactions that Fatras leaves out."""

MODULE_INEFFICIENCY = 0.016
"""Chance of a module not to see a particle."""

_BARRELS = (8, 13, 17)

_RESOLUTION = {
    # Volumes: standard deviation of r phi, then the error along z in a barrel or along r in a disk, in mm.
    (8,): (0.015, "gaussian", 0.004),
    (7, 9): (0.015, "gaussian", 0.009),
    (13,): (0.0215, "even", 0.59),  # evenly within half a strip's length
    (12, 14): (0.0215, "even", 0.6),
    (17,): (0.03, "even", 5.3),
    (16, 18): (0.09, "even", 5.0),
}

_NOISE_PROFILE = {(7, 8, 9): 0.05, (12, 14): 0.14, (13,): 0.19, (17,): 0.58, (16, 18): 0.2}
"""Shares of noise in the volumes of the challenge's events, by which noise is spread over the volumes."""


def simulate(particles: NDArray[np.void], noise: float, rng: np.random.Generator) -> HitEvent:
    """Makes the hits of the charged particles of an event.

    Args:
        particles: PARTICLE array of stable particles, including neutral particles.
        noise: Mean share of the hits that no particle made, from 0 and below 1.
        rng: Generator of the simulation's and the detector's fluctuations.

    Returns:
        Hits in the order of their modules, numbered from 1. The particles are the charged ones with
        pt > ``PT_MIN`` and |eta| < ``ETA_MAX``, with hits or without, then the electrons and positrons that
        they made on the way and that left hits. The number of a particle is its row, counted from 1. A noise
        hit has its measured position as its true position, and no momentum.

    Raises:
        DataError: ACTS (the package pyacts) is not installed or cannot be loaded.
    """
    fatras = load_fatras()
    primaries = select(particles)
    crossings, particles = fatras.propagate(primaries, seed=int(rng.integers(2**63)))
    crossings = apply_inefficiencies(crossings, particles["pdg"], rng)
    crossings, particles = _without_hitless(crossings, particles, len(primaries))
    measured = measure(crossings["volume_id"], crossings["position"], rng)
    fake, fake_position = noise_hits(crossings, measured, noise, fatras.modules(), rng)
    return assemble(np.concatenate([crossings, fake]), np.concatenate([measured, fake_position]), particles)


def load_fatras() -> ModuleType:
    """Imports ACTS and returns ``datasets.trackml.fatras``.

    Raises:
        DataError: ACTS (the package pyacts) is not installed or cannot be loaded.
    """
    try:
        from datasets.trackml import fatras
    except ImportError as error:
        reason = explain_import_error(error, "tracking")
        raise DataError(
            f"making tracking events needs ACTS (pyacts), which is {reason}; "
            "or bring events from another machine: docs/data.md, 'Other machines', has a fallback, too"
        ) from error
    return fatras


def select(particles: NDArray[np.void]) -> NDArray[np.void]:
    """Returns the charged particles that are followed, without those on which Fatras fails.

    Fatras fails on particles that are made outside the detector.
    """
    keep = (particles["charge"] != 0) & (particles["pt"] > PT_MIN) & (np.abs(particles["eta"]) < ETA_MAX)
    keep &= (np.hypot(particles["x"], particles["y"]) < RADIUS) & (np.abs(particles["z"]) < HALF_LENGTH)
    selected: NDArray[np.void] = particles[keep]
    return selected


def apply_inefficiencies(
    crossings: NDArray[np.void], pdg: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.void]:
    """Returns the crossings that modules see: some hadrons end on the way, and modules miss some crossings.

    Args:
        crossings: CROSSING array.
        pdg: (particles,) PDG numbers.
        rng: Generator of both kinds of loss.
    """
    hadron = np.abs(pdg) > 100
    reach = np.where(
        hadron, rng.geometric(NUCLEAR_INTERACTION_PROBABILITY, size=len(pdg)), np.iinfo(np.int64).max
    )
    visible = crossings["index"] < reach[crossings["particle"]]
    visible &= rng.random(len(crossings)) >= MODULE_INEFFICIENCY
    visible_crossings: NDArray[np.void] = crossings[visible]
    return visible_crossings


def _without_hitless(
    crossings: NDArray[np.void], particles: NDArray[np.void], primaries: int
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Drops secondary particles without hits and numbers the particles of the crossings again.

    Args:
        crossings: CROSSING array, whose particle numbers are changed in place.
        particles: PARTICLE array, the primary particles first.
        primaries: Number of primary particles, all of which stay.
    """
    listed = np.bincount(crossings["particle"], minlength=len(particles)) > 0
    listed[:primaries] = True
    crossings["particle"] = (np.cumsum(listed) - 1)[crossings["particle"]]
    return crossings, particles[listed]


def measure(
    volume_id: NDArray[np.int32], position: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Smears positions within their modules' planes.

    Args:
        volume_id: (hits,) volume of each hit.
        position: (hits, 3) x, y, z in mm.
        rng: Generator of the errors.

    Returns:
        (hits, 3) x, y, z in mm.
    """
    across, along = rng.normal(size=len(volume_id)), np.zeros(len(volume_id))
    for volumes, (sigma, shape, size) in _RESOLUTION.items():
        here = np.isin(volume_id, volumes)
        across[here] *= sigma
        count = int(here.sum())
        along[here] = size * (rng.normal(size=count) if shape == "gaussian" else rng.uniform(-1, 1, count))
    in_barrel = np.isin(volume_id, _BARRELS)
    x, y, z = position.T
    r = np.hypot(x, y) + np.where(in_barrel, 0.0, along)
    phi = np.arctan2(y, x) + across / r
    return np.stack([r * np.cos(phi), r * np.sin(phi), z + np.where(in_barrel, along, 0.0)], axis=1)


def noise_hits(
    crossings: NDArray[np.void],
    measured: NDArray[np.float64],
    noise: float,
    modules: NDArray[np.void],
    rng: np.random.Generator,
) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """Makes noise: copies of hits, each on a random module of its ring, so that noise is flat in phi.

    Args:
        crossings: CROSSING array of the hits.
        measured: (hits, 3) measured positions of the hits, mm.
        noise: Mean share of noise among all hits.
        modules: MODULE array of the detector. A layer's modules of the same r and z are a ring, evenly
            spaced in phi.
        rng: Generator of the choice.

    Returns:
        A CROSSING array with particle -1, and the positions (noise hits, 3), mm.
    """
    # A copy lies in a volume as often as noise did in the challenge.
    odds = np.zeros(len(crossings))
    for volumes, share in _NOISE_PROFILE.items():
        odds[np.isin(crossings["volume_id"], volumes)] = share / (1.0 - share)
    count = rng.poisson(len(crossings) * noise / (1.0 - noise))
    if not count:
        return crossings[:0], measured[:0]

    # Each copy moves to its new module by a turn about the beam, and belongs to no particle.
    picks = rng.choice(len(crossings), size=count, p=odds / odds.sum())
    fake, position = crossings[picks], measured[picks]
    fake["module_id"], turn = _other_module(fake, modules, rng)
    x, y = position[:, 0].copy(), position[:, 1].copy()
    position[:, 0], position[:, 1] = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    fake["particle"], fake["position"], fake["momentum"] = -1, position, 0.0
    return fake, position


def _other_module(
    hits: NDArray[np.void], modules: NDArray[np.void], rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Returns the number of a random module of each hit's ring, and the angle from the hit's own module."""
    # A ring has one layer, one radius and one z, which are rounded so that the last bits do not split it.
    x, y, z = modules["centre"].T
    ring = np.stack([modules["volume_id"], modules["layer_id"], np.hypot(x, y).round(2), z.round(2)])
    _, ring, ring_size = np.unique(ring, axis=1, return_inverse=True, return_counts=True)

    # Modules ring after ring, each ring in the order of phi, so that a step in the list is a step around it.
    around = np.lexsort((np.arctan2(y, x), ring))
    modules, ring = modules[around], ring[around]

    # Each hit takes a random number of steps around its ring.
    key = _module_key(modules)
    in_order = np.argsort(key)
    row = in_order[np.searchsorted(key, _module_key(hits), sorter=in_order)]
    first, size = np.searchsorted(ring, ring[row]), ring_size[ring[row]]
    steps = rng.integers(size)
    number: NDArray[np.int32] = modules["module_id"][first + (row - first + steps) % size]
    return number, 2.0 * np.pi * steps / size


def _module_key(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Returns one number for volume, layer and module of each row, in the order of the three."""
    volume, layer, module = (rows[name].astype(np.int64) for name in ("volume_id", "layer_id", "module_id"))
    return (volume << 48) + (layer << 32) + module


def assemble(
    crossings: NDArray[np.void], measured: NDArray[np.float64], particles: NDArray[np.void]
) -> HitEvent:
    """Puts an event's columns together, laid out as ``datasets.trackml.columns`` says.

    Args:
        crossings: CROSSING array, in which particle -1 is noise.
        measured: (hits, 3) measured positions, mm.
        particles: PARTICLE array.
    """
    # Hits stand in the order of their modules, so that their numbers say nothing about the particles.
    order = np.lexsort((crossings["index"], crossings["particle"], _module_key(crossings)))
    crossings, measured = crossings[order], measured[order]
    row = crossings["particle"]

    # Kinematics in double precision, and the vertex of noise at 0, which its weight does not depend on.
    pt = particles["pt"].astype(np.float64)
    vertex_z = np.append(particles["z"], 0.0)[row].astype(np.float64)
    weight = hit_weights(row, np.abs(crossings["position"][:, 2] - vertex_z), pt)
    momentum = pt * np.stack([np.cos(particles["phi"]), np.sin(particles["phi"]), np.sinh(particles["eta"])])

    return HitEvent(
        hits={
            "hit_id": np.arange(1, len(row) + 1, dtype=np.int32),
            "position": measured.astype(np.float32),
            **{name: crossings[name].copy() for name in ("volume_id", "layer_id", "module_id")},
            "particle_id": row + 1,
            "true_position": crossings["position"].astype(np.float32),
            "true_momentum": crossings["momentum"].astype(np.float32),
            "weight": weight.astype(np.float32),
        },
        particles={
            "particle_id": np.arange(1, len(particles) + 1),
            "particle_type": particles["pdg"].copy(),
            "vertex": np.stack([particles[axis] for axis in "xyz"], axis=1),
            "momentum": momentum.T.astype(np.float32),
            "charge": particles["charge"].copy(),
            "nhits": np.bincount(row[row >= 0], minlength=len(particles)).astype(np.int32),
        },
    )
