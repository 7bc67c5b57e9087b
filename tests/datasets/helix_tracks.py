"""Toy events for tests: helices through the layers of the tracker, exactly measured.

A particle of transverse momentum pt turns with radius R = pt / (0.0003 B) mm about the beam's direction;
having turned by psi it is at r = 2 R sin(psi / 2) and z = z0 + R psi sinh(eta), from its vertex (0, 0, z0).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.store import Store, Writer, open_store
from datasets.trackml.columns import HitEvent, append_events
from datasets.trackml.layers import LAYERS

FIELD = 2.0


def helix_event(
    rng: np.random.Generator,
    particles: int,
    *,
    pt: tuple[float, float] = (1.0, 10.0),
    eta_max: float = 4.0,
    z_sigma: float = 50.0,
    noise: int = 0,
) -> HitEvent:
    """Returns an event of particles from the beam line, with noise flat in phi, but without material."""
    momentum_t = pt[0] * (pt[1] / pt[0]) ** rng.random(particles)
    eta = rng.uniform(-eta_max, eta_max, particles)
    phi0 = rng.uniform(-np.pi, np.pi, particles)
    charge = rng.choice([-1, 1], particles)
    z0 = np.clip(rng.normal(0.0, z_sigma, particles), -150.0, 150.0)
    positions, layers, owners = [], [], []
    for number, layer in enumerate(LAYERS):
        psi = _turn(layer, momentum_t, eta, z0)
        radius = momentum_t / (0.0003 * FIELD)
        r, z = 2 * radius * np.sin(psi / 2), z0 + radius * psi * np.sinh(eta)
        crossed = np.isfinite(psi) & (layer.r[0] - 1e-6 <= r) & (r <= layer.r[1] + 1e-6)
        crossed &= (layer.z[0] - 1e-6 <= z) & (z <= layer.z[1] + 1e-6)
        phi = phi0 - charge * psi / 2
        positions.append(np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1)[crossed])
        owners.append(1 + np.flatnonzero(crossed))
        layers.append(np.full(crossed.sum(), number))
    position, layer, owner = (np.concatenate(parts) for parts in (positions, layers, owners))
    copied = rng.integers(0, len(owner), noise)
    turned = rng.uniform(-np.pi, np.pi, noise)
    r = np.hypot(position[copied, 0], position[copied, 1])
    junk = np.stack([r * np.cos(turned), r * np.sin(turned), position[copied, 2]], axis=1)
    return make_event(
        np.concatenate([position, junk]),
        np.concatenate([layer, layer[copied]]),
        np.concatenate([owner, np.zeros(noise, np.int64)]),
        vertex=np.stack([0 * z0, 0 * z0, z0], axis=1),
        momentum=np.stack(
            [momentum_t * np.cos(phi0), momentum_t * np.sin(phi0), momentum_t * np.sinh(eta)], axis=1
        ),
    )


def make_event(position, layer, particle_id, *, vertex, momentum) -> HitEvent:
    """Returns an event of hits (hits, 3) with their layers and particles, which are numbered from 1."""
    position, layer = np.asarray(position, np.float32), np.asarray(layer)
    particle_id = np.asarray(particle_id, np.int64)
    vertex, momentum = np.asarray(vertex, np.float32), np.asarray(momentum, np.float32)
    ids = np.array([(LAYERS[number].volume_id, LAYERS[number].layer_id) for number in layer], np.int32)
    ids = ids.reshape(-1, 2)
    count = len(vertex)
    hits = {
        "hit_id": np.arange(1, len(layer) + 1, dtype=np.int32),
        "position": position,
        "volume_id": ids[:, 0].copy(),
        "layer_id": ids[:, 1].copy(),
        "module_id": np.ones(len(layer), np.int32),
        "particle_id": particle_id,
        "true_position": position,
        "true_momentum": np.zeros_like(position),
        "weight": np.where(particle_id > 0, 1.0 / max(len(layer), 1), 0.0).astype(np.float32),
    }
    particles = {
        "particle_id": np.arange(1, count + 1, dtype=np.int64),
        "particle_type": np.full(count, 211, np.int32),
        "vertex": vertex,
        "momentum": momentum,
        "charge": np.ones(count, np.int32),
        "nhits": np.bincount(particle_id, minlength=count + 1)[1:].astype(np.int32),
    }
    return HitEvent(hits, particles)


def line(*hits: tuple[float, float, float, int, int], pt: tuple[float, ...] = (2.0,)) -> HitEvent:
    """Returns an event of hits (r, phi, z, layer, particle) of particles from the centre with eta 0.5."""
    r, phi, z, layer, particle = np.array(hits, np.float64).reshape(-1, 5).T
    return make_event(
        np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1),
        layer.astype(int),
        particle.astype(int),
        vertex=np.zeros((len(pt), 3)),
        momentum=[(value, 0.0, value * np.sinh(0.5)) for value in pt],
    )


def write_hits(folder: Path, train: list[HitEvent], validation: list[HitEvent], **about: object) -> Store:
    """Writes a data set of hits and opens it."""
    with Writer(folder) as writer:
        append_events(writer, "train", train)
        append_events(writer, "validation", validation)
        writer.finish({"source": "test", **about})
    return open_store(folder)


def _turn(layer, pt, eta, z0) -> NDArray[np.float64]:
    """Returns psi where a helix first meets the layer's cylinder or plane, below half a turn."""
    radius = pt / (0.0003 * FIELD)
    with np.errstate(invalid="ignore", divide="ignore"):
        if layer.r[0] == layer.r[1]:
            return 2 * np.arcsin(layer.r[0] / (2 * radius))
        psi = (layer.z[0] - z0) / (radius * np.sinh(eta))
    return np.where((psi > 0) & (psi < np.pi), psi, np.nan)
