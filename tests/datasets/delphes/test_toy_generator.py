"""Events of MLPF without Pythia: the same bytes for a seed, and rows as the detector makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.delphes.simulation import simulate
from datasets.delphes.toy_generator import ETA_MAX, PT_MIN, ToySettings, draw_particles, generate
from datasets.store import open_store

SMALL = ToySettings(3, 2, pileup_mean=4, seed=7)


def test_a_small_data_set_is_the_same_for_one_worker_and_for_two(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    one = generate(SMALL, tmp_path / "one", workers=1, progress=lambda *call: calls.append(call))
    two = generate(SMALL, tmp_path / "two", workers=2)
    assert (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()
    assert calls == [(number, 5) for number in range(1, 6)]

    store = open_store(two)
    assert {name: len(split) for name, split in store.splits.items()} == {"train": 3, "validation": 2}
    columns = [split.table("elements").columns for split in store.splits.values()]
    assert all(rows["inputs"].shape[1] == 12 and rows["targets"].shape[1] == 7 for rows in columns)
    assert store.manifest["generator"] == "hepbench toy"


def test_another_seed_gives_other_events() -> None:
    first, again, other = (draw_particles(5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_particles_are_within_their_limits_and_fly_on_their_mass_shell() -> None:
    particles = draw_particles(200, np.random.default_rng(1))
    assert particles["pt"].min() >= PT_MIN
    assert np.abs(particles["eta"]).max() <= ETA_MAX
    photons = particles[particles["pdg"] == 22]
    assert photons["energy"] == pytest.approx(photons["pt"] * np.cosh(photons["eta"]), rel=1e-5)
    assert set(particles["charge"]) == {-1, 0, 1}


def test_an_event_at_full_pileup_is_about_as_long_as_with_pythia() -> None:
    """Events of the public data set have about 5,000 to 6,000 rows, tracks and towers in like numbers."""
    rng = np.random.default_rng(1)
    inputs, targets = simulate(draw_particles(201, rng), rng)
    assert 5000 < len(inputs) < 6400
    assert 0.3 < np.mean(inputs[:, 0] == 2) < 0.6
    assert np.isfinite(inputs).all() and np.isfinite(targets).all()
    assert set(np.unique(targets[:, 0])) == {0, 1, 2, 3, 4, 5}
