"""From deposits to an image: recombination, drift, diffusion, wires, noise and 16-bit numbers.

An image is (wires, times) of pixels. A wire is 0.48 cm from the next one, and six ticks of 0.5 us, in which
electrons drift 0.48 cm, make a pixel along the drift.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datasets.liquid_argon.deposits import STEP, Deposits, Indices, Numbers

SIDE = 48
"""Wires, and times, of a patch."""

PITCH = 0.48  # cm, of pixels
ELECTRONS_PER_COUNT = 100.0

PAIRS_PER_MEV = 1.0 / 23.6e-6
DRIFT_SPEED = 0.16  # cm/us
DRIFT_LENGTH = 360.0  # cm, at most
LIFETIME = 20_000.0  # us, of electrons until an impurity catches them
DIFFUSION = 7e-6  # cm^2/us, in both directions
NOISE = 1500.0  # electrons in a pixel: 600 in each of six ticks
COHERENT_NOISE = 500.0  # electrons that all wires have in common at a time

Images = NDArray[np.int16]


def collected_electrons(energy: Numbers, length: Numbers) -> Numbers:
    """Returns the electrons that escape recombination (Birks' law as ICARUS measured it, at 0.5 kV/cm).

    Args:
        energy: Energy of each deposit, MeV.
        length: Length of its path, cm.
    """
    density, field = 1.396, 0.5
    ionisation = energy / length
    return np.asarray(PAIRS_PER_MEV * energy * 0.8 / (1.0 + 0.0486 * ionisation / (density * field)))


def take_images(deposits: Deposits, patches: int, rng: np.random.Generator) -> Images:
    """Returns what the wires of each patch see, (patches, 48, 48), in counts of 100 electrons.

    Args:
        deposits: In coordinates that begin at the centre of their patch.
        patches: Number of patches.
        rng: Generator of drift distances, diffusion, sub-pixel offsets and noise.
    """
    # Electrons that drift longer are fewer and more spread out.
    time = rng.uniform(0.0, DRIFT_LENGTH / DRIFT_SPEED, size=patches)
    electrons = collected_electrons(deposits.energy, deposits.length)
    electrons *= np.exp(-time / LIFETIME)[deposits.patch]
    spread = np.sqrt(2.0 * DIFFUSION * time)[deposits.patch]
    offset = rng.uniform(-0.5, 0.5, size=(patches, 2))[deposits.patch]

    # The drift is the second axis of an image, and the direction across the wires the first.
    plane = deposits.position[:, 1::-1] + rng.normal(size=(len(electrons), 2)) * spread[:, None]
    charge = _collect(deposits.patch, plane / PITCH + offset + 0.5 * SIDE, electrons, patches)

    charge += rng.normal(0.0, NOISE, size=charge.shape)
    charge += rng.normal(0.0, COHERENT_NOISE, size=(patches, 1, SIDE))
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(charge / ELECTRONS_PER_COUNT), limits.min, limits.max).astype(np.int16)


def _collect(patch: Indices, place: Numbers, electrons: Numbers, patches: int) -> Numbers:
    """Returns the electrons in each pixel, (patches, 48, 48).

    A deposit is as wide as a step, half a pixel, and is divided between the pixels that it touches. Points
    would leave a pattern in the spectrum of pixels, which would have the charge of one step, or of two.

    Args:
        patch: (deposits,) number of the patch of each.
        place: (deposits, 2) place in its image, in pixels from the edge.
        electrons: (deposits,) electrons of each.
        patches: Number of patches.
    """
    width = STEP / PITCH
    low, high = (np.floor(place + shift).astype(np.int64) for shift in (-0.5 * width, 0.5 * width))
    share = np.where(high > low, (place + 0.5 * width - high) / width, 1.0)
    charge = np.zeros(patches * SIDE * SIDE)
    for row, of_row in ((low[:, 0], 1.0 - share[:, 0]), (high[:, 0], share[:, 0])):
        for column, of_column in ((low[:, 1], 1.0 - share[:, 1]), (high[:, 1], share[:, 1])):
            inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
            index = ((patch * SIDE + row) * SIDE + column)[inside]
            charge += np.bincount(index, (electrons * of_row * of_column)[inside], len(charge))
    return charge.reshape(patches, SIDE, SIDE)
