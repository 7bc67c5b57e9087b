"""The weight of each hit in the TrackML score (Amrouche et al., arXiv:1904.06778)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PT_LOW, PT_HIGH = 0.5, 3.0
"""Limits in GeV between which the weight of a particle rises linearly from ``WEIGHT_LOW`` to 1."""

WEIGHT_LOW = 0.2

ORDER_PROFILE = (10.0, 8.0, 6.0, 5.0, 3.0, 3.0, 3.0, 5.0, 6.0)
"""Weights along a track of nine hits, of which the first and last ones matter most."""

NHITS_MIN, NHITS_MAX = 4, 20
"""Smallest number of hits of a particle that counts, and largest number of its hits that count."""


def hit_weights(particle: NDArray[np.int64], distance: Floats, pt: Floats) -> Floats:
    """Returns each hit's share of the score, which is the pt weight times the order weight.

    The order weights of a particle are ``ORDER_PROFILE`` stretched over its hits and add up to 1.

    Args:
        particle: (hits,) row of the hit's particle in ``pt``, -1 for noise.
        distance: (hits,) |z of the hit - z of the particle's vertex|, mm, which orders a particle's hits.
        pt: (particles,) GeV.

    Returns:
        (hits,) weights that add up to 1, or all 0 where no particle has four hits.
    """
    # Hits particle by particle, each particle's hits along its track, without noise.
    weight = np.zeros(len(particle))
    order = np.lexsort((distance, particle))[np.count_nonzero(particle < 0) :]
    row = particle[order]
    nhits = np.bincount(row, minlength=len(pt))
    place = np.arange(len(row)) - (np.cumsum(nhits) - nhits)[row]

    # The profile is stretched over the hits that count.
    hits_counted = np.minimum(nhits, NHITS_MAX)[row]
    profile_place = np.linspace(0.0, 1.0, len(ORDER_PROFILE))
    along = np.interp(place / np.maximum(hits_counted - 1, 1), profile_place, ORDER_PROFILE)
    along[(hits_counted < NHITS_MIN) | (place >= hits_counted)] = 0.0
    total = np.bincount(row, weights=along, minlength=len(pt))[row]

    # Both weights are normalised: over each particle, then over the event.
    pt_weight = np.interp(pt, (PT_LOW, PT_HIGH), (WEIGHT_LOW, 1.0))[row]
    weight[order] = pt_weight * np.divide(along, total, out=np.zeros_like(along), where=total > 0.0)
    return weight / weight.sum() if weight.any() else weight
