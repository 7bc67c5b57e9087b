"""Doublets: pairs of hits on neighbouring layers that one track from the beam line could have left.

For an inner hit 1 and an outer hit 2 (HEP.TrkX and its successors),

    phi_slope = (phi2 - phi1) / (r2 - r1)           the bending, 0.3 B / (2 pt) for a track from the beam line
    z0 = z1 - r1 (z2 - z1) / (r2 - r1)              where the straight line through both meets the beam line

and a doublet has r2 > r1, |phi_slope| < phi_slope_max and |z0| < z0_max. Of a pair of layers only hits that
can pass are compared: the outer hits are sorted into bins of z / r, and by phi within a bin, because

    |z0| < z0_max   is   |z2 / r2 - z1 / r1| < z0_max (1 / r1 - 1 / r2)

so that both cuts are windows around the inner hit, found by binary search.

A doublet from a barrel layer that passes by the next cylinder is dropped where its line crosses that cylinder
(so did DeZoort et al., arXiv:2103.16701, from barrel to disks): the track would have left a hit there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError
from datasets.trackml.layers import LayerPair

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

EDGES_MAX = 2**31
"""Limit of the number of edges of a graph, which are counted in int32."""

CANDIDATES_AT_ONCE = 1 << 20
"""Number of pairs of hits that are compared at a time, which bounds the memory whatever the cuts."""

_WINDOW_MARGIN = 1e-9
"""Excess of the windows over the cuts, relative and in rad, so that rounding never decides."""

_BIN_WIDTH_MIN = 1e-3
"""Smallest width of a bin of z / r."""


@dataclass(frozen=True)
class Points:
    """Positions of hits in cylindrical coordinates around the beam.

    Args:
        r: (hits,) float64, distance from the beam, mm.
        phi: (hits,) float64, from -pi to pi, rad.
        z: (hits,) float64, position along the beam, mm.
    """

    r: Floats
    phi: Floats
    z: Floats

    def __len__(self) -> int:
        """Returns the number of hits."""
        return len(self.r)

    def take(self, rows: Indices) -> Points:
        """Returns the hits of these rows, in their order."""
        return Points(self.r[rows], self.phi[rows], self.z[rows])


@dataclass(frozen=True)
class _Windows:
    """Runs of outer hits to compare inner hits with, for one pair of layers.

    Args:
        inner: (windows,) inner hit.
        start: (windows,) place in ``outer`` of the first candidate.
        count: (windows,) number of candidates.
        outer: (3 * outer hits,) outer hits by bin and phi, each three times: one turn back, as it is, and one
            turn further.
        outer_phi: (3 * outer hits,) phi of these, including the turn, rad.
    """

    inner: Indices
    start: Indices
    count: Indices
    outer: Indices
    outer_phi: Floats


def find_doublets(
    points: Points, layer: NDArray[np.int32], pairs: Sequence[LayerPair], phi_slope_max: float, z0_max: float
) -> tuple[Indices, Indices]:
    """Returns all doublets of an event as (inner hits, outer hits), sorted by outer, then inner hit.

    Args:
        points: Positions of the hits.
        layer: (hits,) number of each hit's layer.
        pairs: Pairs of layers that doublets are sought on.
        phi_slope_max: Upper limit of |phi_slope|, 1/mm.
        z0_max: Upper limit of |z0|, mm.

    Raises:
        DataError: There may be 2^31 doublets or more.
    """
    # Hits of each layer, in their order.
    order = np.argsort(layer, kind="stable")
    ends = np.cumsum(np.bincount(layer, minlength=1 + max(max(pair.inner, pair.outer) for pair in pairs)))
    of_layer = np.split(order, ends)

    # Candidates are counted before they are compared, so that loose cuts end in a line and not in swap.
    windows = [
        (pair, _windows(points, of_layer[pair.inner], of_layer[pair.outer], phi_slope_max, z0_max))
        for pair in pairs
        if len(of_layer[pair.inner]) and len(of_layer[pair.outer])
    ]
    candidates = sum(int(window.count.sum()) for _, window in windows)
    if candidates >= EDGES_MAX:
        raise DataError(
            f"expected fewer than {EDGES_MAX:,} edges in a graph, got up to {candidates:,}; "
            "lower phi_slope_max or z0_max, or cut the event into sectors"
        )

    # One number for each doublet sorts them by outer, then inner hit.
    keys = [_survivors(points, pair, window, phi_slope_max, z0_max) for pair, window in windows]
    outer, inner = np.divmod(np.sort(np.concatenate([np.empty(0, np.int64), *keys])), max(len(points), 1))
    return inner, outer


def _windows(points: Points, inner: Indices, outer: Indices, phi_slope_max: float, z0_max: float) -> _Windows:
    """Finds the outer hits in the phi window of each inner hit, for each bin of z / r that it can reach."""
    one, two = points.take(inner), points.take(outer)

    # The steepest line leaves the outer layer's z at this radius: a disk is not reached further out.
    with np.errstate(divide="ignore", invalid="ignore"):
        r_leaving = one.r * np.abs(two.z).max() / np.maximum(np.abs(one.z) - z0_max, 0.0)
    r_max = np.maximum(np.fmin(r_leaving, two.r.max()) * (1.0 + _WINDOW_MARGIN), one.r)
    half_phi = np.minimum(phi_slope_max * (r_max - one.r) * (1.0 + _WINDOW_MARGIN) + _WINDOW_MARGIN, np.pi)
    half_cot = z0_max * (1.0 / one.r - 1.0 / r_max) * (1.0 + _WINDOW_MARGIN) + _WINDOW_MARGIN

    # Bins of z / r about as wide as the windows: an inner hit reaches two or three of them.
    cot, outer_cot = one.z / one.r, two.z / two.r
    lowest, width = outer_cot.min(), max(half_cot.mean(), _BIN_WIDTH_MIN)
    outer_bin = np.floor((outer_cot - lowest) / width)
    low, high = (
        np.clip(np.floor((edge - lowest) / width), 0, outer_bin.max()).astype(np.int64)
        for edge in (cot - half_cot, cot + half_cot)
    )
    window, cot_bin = expand(low, high + 1 - low)

    # One sorted list for all bins: a bin is further from the next than any two values of phi, turns included.
    turns = np.concatenate([two.phi - 2 * np.pi, two.phi, two.phi + 2 * np.pi])
    key = 8 * np.pi * np.tile(outer_bin, 3) + turns
    by_key = np.argsort(key)
    centre = 8 * np.pi * cot_bin + one.phi[window]
    start, stop = (np.searchsorted(key[by_key], centre + side * half_phi[window]) for side in (-1, 1))
    return _Windows(inner[window], start, stop - start, outer[by_key % len(outer)], turns[by_key])


def _survivors(
    points: Points, pair: LayerPair, windows: _Windows, phi_slope_max: float, z0_max: float
) -> Indices:
    """Returns the doublets of a pair of layers, each as the number ``outer hit * hits + inner hit``."""
    # The candidates are cut into pieces of bounded size.
    ends = np.cumsum(windows.count)
    pieces = np.searchsorted(ends, np.arange(CANDIDATES_AT_ONCE, ends[-1], CANDIDATES_AT_ONCE))
    runs = (windows.inner, windows.start, windows.count)

    # The exact cuts, multiplied by dr where that avoids a division.
    doublets = []
    for inner, start, count in zip(*(np.split(run, pieces) for run in runs), strict=True):
        window, candidate = expand(start, count)
        one, two = inner[window], windows.outer[candidate]
        r, z = points.r[one], points.z[one]
        dr, dz = points.r[two] - r, points.z[two] - z
        dphi = windows.outer_phi[candidate] - points.phi[one]
        passed = np.abs(dphi) < phi_slope_max * dr
        passed &= np.abs(z * dr - r * dz) < z0_max * dr
        if pair.missed is not None:
            passed &= np.abs(z * dr + (pair.missed.r[0] - r) * dz) > pair.missed.z[1] * dr
        doublets.append(two[passed] * len(points) + one[passed])
    return np.concatenate(doublets)


def wrap_angles(phi: Floats) -> Floats:
    """Returns angles in rad, moved into the range from -pi to pi by whole turns."""
    return phi - 2 * np.pi * np.round(phi / (2 * np.pi))


def expand(start: Indices, count: Indices) -> tuple[Indices, Indices]:
    """Returns the run and the value of each number in runs (start, ..., start + count - 1).

    ``expand([5, 0], [2, 3])`` is ``([0, 0, 1, 1, 1], [5, 6, 0, 1, 2])``.

    Args:
        start: (runs,) first number of each run.
        count: (runs,) length of each run.
    """
    run = np.repeat(np.arange(len(start)), count)
    first = np.cumsum(count) - count
    return run, np.arange(len(run)) + (start - first)[run]
