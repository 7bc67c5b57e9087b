"""The layers of the TrackML detector: their numbers, their positions, and the pairs that tracks cross.

The detector is ACTS' generic detector: ten barrel cylinders, and on each side 7 disks of pixels, 6 of short
and 6 of long strips. Layers are numbered 0 to 9 in the barrel from the inside out, then 10 to 47 the disks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError


@dataclass(frozen=True)
class Layer:
    """A cylinder around the beam or a disk across it.

    Args:
        volume_id: Volume of the layer's hits.
        layer_id: Layer of its hits, which ascends with r in the barrel and with z in the disks.
        r: Lowest and highest radius, mm, which are equal for a cylinder.
        z: Lowest and highest z, mm, which are equal for a disk.
    """

    volume_id: int
    layer_id: int
    r: tuple[float, float]
    z: tuple[float, float]


@dataclass(frozen=True)
class LayerPair:
    """Two layers that a track can cross one right after the other.

    Args:
        inner: Number of the layer that is crossed first.
        outer: Number of the layer that is crossed next.
        missed: Cylinder that the track must have passed by: the one around an inner layer in the barrel,
            unless it is the outer layer itself.
    """

    inner: int
    outer: int
    missed: Layer | None = None


def _cylinders(volume_id: int, radii: tuple[float, ...], half_length: float) -> list[Layer]:
    """Returns the cylinders of a volume from the inside out."""
    return [
        Layer(volume_id, 2 * number, (radius, radius), (-half_length, half_length))
        for number, radius in enumerate(radii, start=1)
    ]


def _disks(volume_id: int, places: tuple[float, ...], r: tuple[float, float]) -> list[Layer]:
    """Returns the disks of a volume in the order of z."""
    return [Layer(volume_id, 2 * number, r, (z, z)) for number, z in enumerate(sorted(places), start=1)]


_PIXEL_DISKS = (600.0, 700.0, 820.0, 960.0, 1100.0, 1300.0, 1500.0)
_STRIP_DISKS = (1220.0, 1500.0, 1800.0, 2150.0, 2550.0, 2950.0)

BARREL = (
    _cylinders(8, (32.0, 72.0, 116.0, 172.0), 491.0)
    + _cylinders(13, (260.0, 360.0, 500.0, 660.0), 1083.0)
    + _cylinders(17, (820.0, 1020.0), 1079.0)
)
DISKS = [
    layer
    for negative_side, positive_side, places, r in (
        (7, 9, _PIXEL_DISKS, (30.0, 176.0)),
        (12, 14, _STRIP_DISKS, (240.0, 701.0)),
        (16, 18, _STRIP_DISKS, (755.0, 1018.0)),
    )
    for layer in _disks(negative_side, tuple(-z for z in places), r) + _disks(positive_side, places, r)
]
LAYERS = BARREL + DISKS
"""All layers. The place of a layer in this list is its number."""

DETECTORS = {"barrel": len(BARREL), "full": len(LAYERS)}
"""Number of the first layers that make up each part of the detector that a graph can be built of."""

LUMINOUS_REGION = 200.0
"""Largest distance of a track's start from the centre, mm, far above the spread of the vertices."""

_LINES = (21, 901)
"""Numbers of starting points and of directions in eta of the lines that are followed through the layers."""

_IDS_END = 1 + np.array([(layer.volume_id, layer.layer_id) for layer in LAYERS]).max(axis=0)
_NUMBERS = np.full(_IDS_END, -1, np.int32)
for _number, _layer in enumerate(LAYERS):
    _NUMBERS[_layer.volume_id, _layer.layer_id] = _number


def layer_numbers(volume_id: NDArray[np.int32], layer_id: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns (hits,) int32, the number of each hit's layer.

    Args:
        volume_id: (hits,) volume of each hit.
        layer_id: (hits,) layer of each hit within its volume.

    Raises:
        DataError: The detector has no such volume or layer.
    """
    ids = np.stack([volume_id, layer_id], axis=1)
    inside = np.all((ids >= 0) & (ids < _IDS_END), axis=1)
    numbers = np.where(inside, _NUMBERS[tuple(np.where(inside[:, None], ids, 0).T)], -1)
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
        volume, layer = ids[unknown[0]]
        raise DataError(
            f"expected volumes and layers of the TrackML detector, got volume_id {volume}, layer_id {layer}"
        )
    return numbers.astype(np.int32)


@cache
def layer_pairs(detector: str) -> tuple[LayerPair, ...]:
    """Returns the pairs of layers that doublets are sought on.

    These are the consecutive layers of straight lines from the luminous region through the whole detector.

    Args:
        detector: Part of the detector that holds both layers: "barrel" or "full".
    """
    start, eta = np.meshgrid(
        np.linspace(-LUMINOUS_REGION, LUMINOUS_REGION, _LINES[0]), np.linspace(-4.5, 4.5, _LINES[1])
    )
    crossed = np.stack([_crossing_radius(layer, start.ravel(), np.sinh(eta.ravel())) for layer in LAYERS])
    order = np.argsort(crossed, axis=0, kind="stable")
    radius = np.take_along_axis(crossed, order, axis=0)
    both_crossed = np.isfinite(radius[1:])
    pairs = np.unique(np.stack([order[:-1][both_crossed], order[1:][both_crossed]], axis=1), axis=0).tolist()
    end = DETECTORS[detector]
    return tuple(_pair(inner, outer) for inner, outer in pairs if max(inner, outer) < end)


def _pair(inner: int, outer: int) -> LayerPair:
    """Returns a pair with the cylinder that its tracks pass by, if there is one."""
    around = inner + 1
    return LayerPair(inner, outer, LAYERS[around] if around < len(BARREL) and around != outer else None)


def _crossing_radius(
    layer: Layer, start: NDArray[np.float64], cot_theta: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the radius at which ``z = start + r * cot_theta`` crosses a layer, or infinity."""
    low, high = layer.r
    if low == high:
        z = start + low * cot_theta
        return np.where((layer.z[0] <= z) & (z <= layer.z[1]), low, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (layer.z[0] - start) / cot_theta
    return np.where((low <= r) & (r <= high), r, np.inf)
