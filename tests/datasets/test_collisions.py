import numpy as np
import pytest

from datasets.collisions import Block, Pool, blocks, overlay
from datasets.pythia import PARTICLE


def at_the_centre(count: int) -> np.ndarray:
    return np.zeros(count, dtype=PARTICLE)


def test_blocks_hold_all_events_and_differ_in_their_random_numbers():
    sequence = blocks("ttbar", 1, seed=7, events=10, per_block=4)
    assert [block.events for block in sequence] == [4, 4, 2]
    all_blocks = [*sequence, Block("ttbar", 0, 7, 0, 4), Block("ttbar", 1, 8, 0, 4)]
    assert len({block.seeds()[0] for block in all_blocks}) == 5
    assert sequence[0].seeds()[0] == blocks("ttbar", 1, seed=7, events=4, per_block=4)[0].seeds()[0]


def test_collisions_are_spread_as_asked_and_their_particles_stay_together():
    pool = Pool(np.array([0, 2]), at_the_centre(2))
    mixed = overlay(at_the_centre(2), pool, 2000.0, np.random.default_rng(1), sigma_z=5.5, sigma_xy=0.014)
    assert len(mixed) % 2 == 0 and 3800 < len(mixed) < 4200
    for axis, sigma in (("x", 0.014), ("y", 0.014), ("z", 5.5)):
        first, second = mixed[axis].reshape(-1, 2).T
        assert np.array_equal(first, second)
        assert first.std() == pytest.approx(sigma, rel=0.1)


def test_without_a_spread_across_the_beam_vertices_lie_on_it():
    pool = Pool(np.array([0, 2]), at_the_centre(2))
    mixed = overlay(at_the_centre(1), pool, 10.0, np.random.default_rng(1), sigma_z=5.5)
    assert not mixed["x"].any() and not mixed["y"].any() and mixed["z"].all()
