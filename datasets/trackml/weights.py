"""The weight of each hit in the TrackML score (Amrouche et al., arXiv:1904.06778)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PT_LOW, PT_HIGH = 0.5, 3.0
"""GeV; between them the weight of a particle rises linearly from `WEIGHT_LOW` to 1."""
WEIGHT_LOW = 0.2

ORDER_PROFILE = (10.0, 8.0, 6.0, 5.0, 3.0, 3.0, 3.0, 5.0, 6.0)
"""Weights along a track of nine hits; the first and last hits matter most."""

NHITS_MIN, NHITS_MAX = 4, 20
"""Particles with fewer hits count nothing; of longer ones the first 20 hits count."""


def hit_weights(particle: NDArray[np.int64], distance: Floats, pt: Floats) -> Floats:
    """Return each hit's share of the score: pt weight times order weight, 1 over all hits of the event.

    The order weights of a particle are `ORDER_PROFILE` stretched over its hits and add up to 1.

    Args:
        particle: (hits,) the hit's row in `pt`; -1 where it is noise.
        distance: (hits,) |z of the hit - z of the particle's vertex|, mm; orders the hits of a particle.
        pt: (particles,) GeV.

    Returns:
        (hits,) weights; all 0 where no particle has four hits.
    """
    weight = np.zeros(len(particle))
    order = np.lexsort((distance, particle))[np.count_nonzero(particle < 0) :]
    row = particle[order]
    nhits = np.bincount(row, minlength=len(pt))
    place = np.arange(len(row)) - (np.cumsum(nhits) - nhits)[row]
    used = np.minimum(nhits, NHITS_MAX)[row]
    profile_place = np.linspace(0.0, 1.0, len(ORDER_PROFILE))
    along = np.interp(place / np.maximum(used - 1, 1), profile_place, ORDER_PROFILE)
    along[(used < NHITS_MIN) | (place >= used)] = 0.0
    total = np.bincount(row, weights=along, minlength=len(pt))[row]
    of_pt = np.interp(pt, (PT_LOW, PT_HIGH), (WEIGHT_LOW, 1.0))[row]
    weight[order] = of_pt * np.divide(along, total, out=np.zeros_like(along), where=total > 0.0)
    return weight / weight.sum() if weight.any() else weight
