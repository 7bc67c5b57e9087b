"""What the truth says of an event's hits: whose they are, one of each layer, and which are true doublets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError
from datasets.trackml.layers import BARREL, LAYERS

Indices = NDArray[np.int64]


def particle_rows(hit_particle_id: NDArray[np.int64], particle_id: NDArray[np.int64]) -> Indices:
    """Return for each hit the row of its particle, -1 for noise.

    Args:
        hit_particle_id: (hits,) 0 for noise.
        particle_id: (particles,) in any order.

    Raises:
        DataError: a hit belongs to a particle that is not listed.
    """
    order = np.argsort(particle_id, kind="stable")
    known = np.append(particle_id[order], 0)  # something to compare with even where the list is empty
    place = np.searchsorted(known[:-1], hit_particle_id)
    listed = known[place] == hit_particle_id
    noise = hit_particle_id == 0
    if not (listed | noise).all():
        lost = hit_particle_id[np.argmin(listed | noise)]
        raise DataError(
            f"expected the particle of every hit in the table of particles, got none with id {lost}"
        )
    return np.where(noise, -1, np.append(order, -1)[place])


def one_hit_per_layer(
    row: Indices, layer: NDArray[np.int32], r: NDArray[np.float64], z: NDArray[np.float64]
) -> Indices:
    """Return the hits left when each particle keeps one in a layer: smallest r, on a disk smallest |z|.

    Args:
        row: (hits,) particle.
        layer: (hits,) number of the layer.
        r: (hits,) mm.
        z: (hits,) mm.

    Returns:
        The hits kept, ascending.
    """
    depth = np.where(layer < len(BARREL), r, np.abs(z))
    order = np.lexsort((depth, layer, row))
    return np.sort(order[_first_of_run(row[order] * len(LAYERS) + layer[order])])


def true_doublets(
    row: Indices, layer: NDArray[np.int32], distance: NDArray[np.float64]
) -> tuple[Indices, Indices]:
    """Return pairs of hits on consecutive layers of a track, the earlier hit and the later one.

    A track meets its layers in the order of `distance`, and each layer once: where modules overlap, or a
    track comes back, the first hit stands for the layer.

    Args:
        row: (hits,) particle.
        layer: (hits,) number of the layer.
        distance: (hits,) from where the particle was produced, mm.
    """
    order = np.lexsort((distance, row))
    _, first = np.unique(row[order] * len(LAYERS) + layer[order], return_index=True)
    order = order[np.sort(first)]
    together = row[order[1:]] == row[order[:-1]]
    return order[:-1][together], order[1:][together]


def doublet_keys(row: Indices, one: NDArray[np.int32], two: NDArray[np.int32]) -> Indices:
    """Return one number for a particle and a pair of layers, in whatever order the layers come.

    A true doublet counts as found if any two hits of its particle on its two layers are joined by an edge.
    """
    return (row * len(LAYERS) + np.minimum(one, two)) * len(LAYERS) + np.maximum(one, two)


def _first_of_run(values: Indices) -> NDArray[np.bool_]:
    """Mark in sorted values the first of each run of equal ones."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
