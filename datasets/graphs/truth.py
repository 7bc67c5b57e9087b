"""The truth about an event's hits: their particles, one hit of each layer, and the true doublets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError
from datasets.trackml.layers import BARREL, LAYERS

Indices = NDArray[np.int64]


def particle_rows(hit_particle_id: NDArray[np.int64], particle_id: NDArray[np.int64]) -> Indices:
    """Returns (hits,) the row of each hit's particle, -1 for noise.

    Args:
        hit_particle_id: (hits,) particle of each hit, 0 for noise.
        particle_id: (particles,) particles in any order.

    Raises:
        DataError: A hit belongs to a particle that is not listed.
    """
    order = np.argsort(particle_id, kind="stable")
    sorted_id = np.append(particle_id[order], 0)  # one entry to compare with even where the list is empty
    place = np.searchsorted(sorted_id[:-1], hit_particle_id)
    listed = sorted_id[place] == hit_particle_id
    noise = hit_particle_id == 0
    if not (listed | noise).all():
        unknown = hit_particle_id[np.argmin(listed | noise)]
        raise DataError(
            f"expected the particle of every hit in the table of particles, got none with id {unknown}"
        )
    return np.where(noise, -1, np.append(order, -1)[place])


def one_hit_per_layer(
    row: Indices, layer: NDArray[np.int32], r: NDArray[np.float64], z: NDArray[np.float64]
) -> Indices:
    """Returns one hit of each particle and layer: that of smallest r, or on a disk that of smallest |z|.

    Args:
        row: (hits,) row of each hit's particle.
        layer: (hits,) number of the layer.
        r: (hits,) distance from the beam, mm.
        z: (hits,) position along the beam, mm.

    Returns:
        The rows of these hits, ascending.
    """
    depth = np.where(layer < len(BARREL), r, np.abs(z))
    order = np.lexsort((depth, layer, row))
    return np.sort(order[_first_of_run(row[order] * len(LAYERS) + layer[order])])


def true_doublets(
    row: Indices, layer: NDArray[np.int32], distance: NDArray[np.float64]
) -> tuple[Indices, Indices]:
    """Returns pairs of hits on consecutive layers of a track, the earlier hit and the later one.

    A track meets its layers in the order of ``distance``, and each layer once: where modules overlap, or a
    track comes back, the first hit represents the layer.

    Args:
        row: (hits,) row of each hit's particle.
        layer: (hits,) number of the layer.
        distance: (hits,) distance from the particle's vertex, mm.
    """
    order = np.lexsort((distance, row))
    _, first = np.unique(row[order] * len(LAYERS) + layer[order], return_index=True)
    order = order[np.sort(first)]
    same_particle = row[order[1:]] == row[order[:-1]]
    return order[:-1][same_particle], order[1:][same_particle]


def doublet_keys(row: Indices, one: NDArray[np.int32], two: NDArray[np.int32]) -> Indices:
    """Returns one number for each particle and pair of layers, whatever the order of the two layers.

    A true doublet counts as found if any two hits of its particle on its two layers are joined by an edge.

    Args:
        row: (pairs,) row of the particle.
        one: (pairs,) number of a layer.
        two: (pairs,) number of the other layer.
    """
    return (row * len(LAYERS) + np.minimum(one, two)) * len(LAYERS) + np.maximum(one, two)


def _first_of_run(values: Indices) -> NDArray[np.bool_]:
    """Marks the first value of each run of equal values in a sorted array."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
