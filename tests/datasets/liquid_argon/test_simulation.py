"""Tracks, cascades and images, against numbers that can be checked by hand."""

import numpy as np
import pytest

from datasets.liquid_argon.cascade import Cascade, develop, michel_energies
from datasets.liquid_argon.deposits import (
    MINIMUM_IONISATION,
    STEP,
    Deposits,
    deflect,
    fluctuate,
    isotropic_directions,
    perpendiculars,
    scattering_angle,
)
from datasets.liquid_argon.detector import PITCH, SIDE, collected_electrons, take_images
from datasets.liquid_argon.patches import NONE, SHARES, SHOWER, TRACK, make_patches
from datasets.liquid_argon.tracks import HALF_LENGTH, MUON, PROTON, ionise


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_perpendiculars_are_unit_vectors_at_right_angles(rng: np.random.Generator):
    direction = np.concatenate([isotropic_directions(50, rng), [[0, 0, 1], [0, 0, -1], [1, 0, 0]]])
    first, second = perpendiculars(direction)
    for ours, theirs in ((first, second), (first, direction), (second, direction)):
        assert np.einsum("ij,ij->i", ours, theirs) == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(first, axis=1) == pytest.approx(1)
    turned = deflect(direction, np.full((len(direction), 2), 0.1))
    assert np.einsum("ij,ij->i", turned, direction) == pytest.approx(1 / np.sqrt(1.02))


def test_a_muon_of_100_mev_scatters_by_highlands_formula():
    """T = 100 MeV and m = 105.7 MeV have p beta = 100 * 311.4 / 205.7 = 151.4 MeV."""
    angle = scattering_angle(np.array([100.0]), 105.7)
    assert angle == pytest.approx(13.6 / 151.4 * np.sqrt(0.24 / 14), rel=1e-3)


def test_fluctuations_keep_the_mean_and_have_a_tail_upwards(rng: np.random.Generator):
    energy = fluctuate(np.full(200_000, MINIMUM_IONISATION), rng)
    assert energy.mean() == pytest.approx(MINIMUM_IONISATION * STEP, rel=0.005)
    assert np.median(energy) < energy.mean()
    assert energy.min() > 0


def test_a_muon_that_crosses_ionises_evenly_on_both_sides(rng: np.random.Generator):
    deposits = ionise(MUON, np.zeros(1, np.int64), np.array([2000.0]), rng)
    assert len(deposits.energy) == 2 * int(HALF_LENGTH / STEP)
    assert deposits.energy.sum() == pytest.approx(2 * HALF_LENGTH * MINIMUM_IONISATION, rel=0.1)
    distance = np.linalg.norm(deposits.position, axis=1)
    assert distance.min() == 0.0
    assert distance.max() == pytest.approx(HALF_LENGTH, rel=0.02)


@pytest.mark.parametrize("particle", [MUON, PROTON])
def test_a_particle_that_stops_leaves_its_energy_and_most_of_it_at_the_end(
    particle, rng: np.random.Generator
):
    """The residual range R = 10 cm has a kinetic energy of A / 0.58 R^0.58, with A at 1 cm."""
    patch = np.arange(200)
    deposits = ionise(particle, patch, np.full(200, 10.0), rng)
    of_first = deposits.patch == 0
    assert np.count_nonzero(of_first) == round(HALF_LENGTH / STEP) + round(10.0 / STEP)
    order = np.tile(np.arange(np.count_nonzero(of_first)), 200)
    ahead = order >= int(HALF_LENGTH / STEP)
    energy = deposits.energy[ahead].sum() / 200
    assert energy == pytest.approx(particle.ionisation / 0.58 * 10**0.58, rel=0.06)
    last = order == order.max()
    assert deposits.energy[last].mean() > 4 * deposits.energy[order == 0].mean()


@pytest.mark.parametrize("is_photon", [False, True])
def test_a_cascade_keeps_the_energy(is_photon: bool, rng: np.random.Generator):
    """But for what goes beyond the horizon, and the masses of pairs."""
    count = 60
    start = Cascade(
        np.arange(count),
        np.zeros((count, 3)),
        isotropic_directions(count, rng),
        np.full(count, 200.0),
        np.full(count, is_photon),
    )
    deposits = develop(start, rng)
    total = np.bincount(deposits.patch, deposits.energy, count)
    assert total.max() <= 200.0 + 1e-6
    assert total.mean() > 185.0
    assert (deposits.energy > 0).all() and (deposits.length > 0).all()


def test_an_electron_of_20_mev_leaves_most_within_10_cm_and_radiates_the_rest(rng: np.random.Generator):
    count = 300
    start = Cascade(
        np.arange(count),
        np.zeros((count, 3)),
        np.tile([0.0, 0.0, 1.0], (count, 1)),
        np.full(count, 20.0),
        np.zeros(count, bool),
    )
    deposits = develop(start, rng)
    is_near = np.linalg.norm(deposits.position, axis=1) < 20.0 / MINIMUM_IONISATION
    assert 0.65 < deposits.energy[is_near].sum() / deposits.energy.sum() < 0.95
    assert deposits.position[is_near, 2].mean() > 3.0


def test_michel_energies_have_the_mean_of_the_spectrum(rng: np.random.Generator):
    """The mean of x^2 (3 - 2x) is 0.7 of the end of the spectrum, 52.8 MeV."""
    energies = michel_energies(50_000, rng)
    assert energies.mean() == pytest.approx(0.7 * 52.8, rel=0.01)
    assert energies.max() <= 52.8


def test_a_relativistic_particle_frees_30000_electrons_in_a_pixel():
    """2.1 MeV/cm over 0.48 cm: 1.008 MeV, of which 0.698 escape, at 23.6 eV each."""
    electrons = collected_electrons(np.array([2.1 * PITCH]), np.array([PITCH]))
    assert electrons == pytest.approx(1.008e6 / 23.6 * 0.698, rel=2e-3)


def test_an_image_has_wires_first_and_the_drift_second(rng: np.random.Generator):
    """Fifty MeV three pixels further along the drift than the centre, in the second of two patches."""
    deposits = Deposits(
        np.ones(50, np.int64), np.tile([3 * PITCH, 0.0, 9.0], (50, 1)), np.ones(50), np.full(50, STEP)
    )
    images = take_images(deposits, 2, rng)
    assert images.shape == (2, SIDE, SIDE) and images.dtype == np.int16
    wire, time = np.unravel_index(images[1].argmax(), (SIDE, SIDE))
    assert abs(wire - 24) <= 1 and abs(time - 27) <= 1
    assert images[1].sum() > 3000 > 150 > np.abs(images[0]).max()


def test_noise_is_that_of_a_wire_and_of_all_wires_together(rng: np.random.Generator):
    nothing = Deposits(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    images = take_images(nothing, 200, rng).astype(float)
    assert images.std() == pytest.approx(np.hypot(15, 5), rel=0.02)
    assert images.mean(axis=1).std() == pytest.approx(np.hypot(5, 15 / np.sqrt(48)), rel=0.03)


def test_one_deposit_of_each_patch_is_chosen_by_energy(rng: np.random.Generator):
    """Of 1 MeV at x = 1 and 3 MeV at x = 2, the second is chosen three times out of four."""
    count = 20_000
    patch = np.repeat(np.arange(count), 2)
    position = np.zeros((2 * count, 3))
    position[:, 0] = np.tile([1.0, 2.0], count)
    deposits = Deposits(patch, position, np.tile([1.0, 3.0], count), np.ones(2 * count))
    chosen = deposits.choose(count + 1, rng)
    assert chosen[:-1, 0].mean() == pytest.approx(1.75, abs=0.01)
    assert chosen[-1].tolist() == [0, 0, 0]


def test_patches_have_what_their_truth_says_at_their_centre(rng: np.random.Generator):
    patches = make_patches(1500, rng)
    share = np.bincount(patches.content, minlength=3) / 1500
    expected = [SHARES["track"], SHARES["shower"] + SHARES["michel"], SHARES["none"]]
    assert share == pytest.approx(expected, abs=0.05)
    assert patches.michel.mean() == pytest.approx(SHARES["michel"], abs=0.03)
    assert (patches.content[patches.michel == 1] == SHOWER).all()

    # The pixels around the centre have charge, unless the patch is empty.
    centre = patches.images[:, 22:27, 22:27].astype(int).sum(axis=(1, 2))
    assert np.median(centre[patches.content == TRACK]) > 900
    assert (centre[patches.content == TRACK] > 300).all()
    assert np.median(centre[patches.content == SHOWER]) > 600
    assert np.abs(np.median(centre[patches.content == NONE])) < 60
