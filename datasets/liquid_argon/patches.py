"""Patches with their truth: a track, a shower, a Michel electron or nothing at the centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.liquid_argon.cascade import Cascade, develop, michel_energies
from datasets.liquid_argon.deposits import Deposits, Indices, Numbers, isotropic_directions
from datasets.liquid_argon.detector import PITCH, SIDE, Images, take_images
from datasets.liquid_argon.tracks import MUON, PROTON, ionise

TRACK, SHOWER, NONE = range(3)
"""Contents of a patch. A Michel electron is a shower."""

SHARES = {"track": 0.45, "shower": 0.3, "michel": 0.1, "none": 0.15}
PROTON_SHARE = 0.3  # of tracks
COSMIC_SHARE = 0.15  # of the patches that are not empty, which a muon crosses besides
ARGON_39_MEAN = 1.0  # decays in a patch: 1 Bq/kg, all along the wires and the drift, in 144 us


@dataclass(frozen=True)
class Patches:
    """Images with their truth.

    Args:
        images: (patches, 48, 48) counts, see ``take_images``.
        content: (patches,) ``TRACK``, ``SHOWER`` or ``NONE``.
        michel: (patches,) 1 where the shower is a Michel electron.
    """

    images: Images
    content: NDArray[np.uint8]
    michel: NDArray[np.uint8]


def make_patches(count: int, rng: np.random.Generator) -> Patches:
    """Makes patches of all kinds in the proportions of ``SHARES``.

    Args:
        count: Number of patches.
        rng: Generator of everything that is drawn.
    """
    kind = rng.choice(len(SHARES), size=count, p=list(SHARES.values()))
    track, shower, michel, none = (np.flatnonzero(kind == number) for number in range(len(SHARES)))

    # What is at the centre decides on the truth, whatever else is in the patch.
    electrons = Deposits.join(_showers(shower, rng), _michel_electrons(michel, rng))
    centres = electrons.choose(count, rng)
    stopped_muons = ionise(MUON, michel, np.zeros(len(michel)), rng)
    deposits = Deposits.join(
        electrons.shift_origin(centres),
        stopped_muons.shift_origin(centres),
        _tracks(track, rng),
        _crossing_muons(np.setdiff1d(np.arange(count), none), count, rng),
        _argon_decays(count, rng),
    )

    content = np.full(count, NONE, np.uint8)
    content[track] = TRACK
    content[shower] = content[michel] = SHOWER
    is_michel = np.zeros(count, np.uint8)
    is_michel[michel] = 1
    return Patches(take_images(deposits, count, rng), content, is_michel)


def _tracks(patch: Indices, rng: np.random.Generator) -> Deposits:
    """Returns muons and protons that pass the centre; some stop soon after it."""
    is_proton = rng.uniform(size=len(patch)) < PROTON_SHARE
    muons, protons = patch[~is_proton], patch[is_proton]
    return Deposits.join(
        ionise(MUON, muons, _log_uniform(3.0, 3000.0, len(muons), rng), rng),
        ionise(PROTON, protons, _log_uniform(0.5, 60.0, len(protons), rng), rng),
    )


def _showers(patch: Indices, rng: np.random.Generator) -> Deposits:
    """Returns cascades of 30 MeV to 2 GeV, which electrons and photons begin at the origin."""
    count = len(patch)
    energy = _log_uniform(30.0, 2000.0, count, rng)
    is_photon = rng.uniform(size=count) < 0.5
    start = Cascade(patch, np.zeros((count, 3)), isotropic_directions(count, rng), energy, is_photon)
    return develop(start, rng)


def _michel_electrons(patch: Indices, rng: np.random.Generator) -> Deposits:
    """Returns what the electrons of muons leave that have stopped at the origin."""
    count = len(patch)
    start = Cascade(
        patch,
        np.zeros((count, 3)),
        isotropic_directions(count, rng),
        michel_energies(count, rng),
        np.zeros(count, np.bool_),
    )
    return develop(start, rng)


def _crossing_muons(patch: Indices, patches: int, rng: np.random.Generator) -> Deposits:
    """Returns cosmic muons that cross some of the patches anywhere."""
    crossed = patch[rng.uniform(size=len(patch)) < COSMIC_SHARE]
    origin = np.zeros((patches, 3))
    origin[crossed, :2] = rng.uniform(-0.5, 0.5, size=(len(crossed), 2)) * SIDE * PITCH
    return ionise(MUON, crossed, np.full(len(crossed), 1000.0), rng).shift_origin(-origin)


def _argon_decays(patches: int, rng: np.random.Generator) -> Deposits:
    """Returns the decays of argon 39 in all patches: electrons of up to 0.565 MeV, which go nowhere."""
    patch = np.repeat(np.arange(patches), rng.poisson(ARGON_39_MEAN, size=patches))
    count = len(patch)
    position = np.zeros((count, 3))
    position[:, :2] = rng.uniform(-0.5, 0.5, size=(count, 2)) * SIDE * PITCH
    energy = 0.565 * rng.beta(2.0, 3.0, size=count)
    return Deposits(patch, position, energy, np.full(count, 0.1))


def _log_uniform(low: float, high: float, count: int, rng: np.random.Generator) -> Numbers:
    """Returns numbers whose logarithms are uniform, (count,)."""
    return low * (high / low) ** rng.uniform(size=count)
