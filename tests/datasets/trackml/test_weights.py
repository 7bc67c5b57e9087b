import numpy as np
import pytest

from datasets.trackml.weights import hit_weights


def weights(particle: list[int], distance: list[float], pt: list[float]) -> np.ndarray:
    return hit_weights(np.array(particle, dtype=np.int64), np.array(distance), np.array(pt))


def test_nine_hits_have_the_profile_in_the_order_of_their_distance():
    distance = [80, 70, 60, 50, 40, 30, 20, 10, 0]
    assert weights([0] * 9, distance, [1.0]) * 49 == pytest.approx([6, 5, 3, 3, 3, 5, 6, 8, 10])


def test_the_profile_is_stretched_over_other_numbers_of_hits():
    # a third of the way along nine hits lies between the third and the fourth: 6 + 2/3 (5 - 6)
    expected = np.array([10, 16 / 3, 3 + 0 / 3, 6])
    expected[1] = np.interp(8 / 3, range(9), (10, 8, 6, 5, 3, 3, 3, 5, 6))
    expected[2] = np.interp(16 / 3, range(9), (10, 8, 6, 5, 3, 3, 3, 5, 6))
    assert weights([0] * 4, [0, 1, 2, 3], [1.0]) == pytest.approx(expected / expected.sum())


def test_noise_and_particles_of_three_hits_count_nothing():
    shares = weights([-1, 0, 1, 0, 1, 0, 1, 1, -1], [0, 1, 1, 2, 2, 3, 3, 4, 5], [9.0, 9.0])
    assert (shares > 0).tolist() == [False, False, True, False, True, False, True, True, False]
    assert shares.sum() == pytest.approx(1)
    assert weights([0, 0, 0, -1], [1, 2, 3, 4], [9.0]).tolist() == [0, 0, 0, 0]
    assert weights([], [], []).tolist() == []


def test_hits_after_the_twentieth_count_nothing():
    shares = weights([0] * 25, list(range(25)), [1.0])
    assert (shares[:20] > 0).all() and not shares[20:].any()


@pytest.mark.parametrize(("pt", "ratio"), [(0.1, 0.2), (0.5, 0.2), (1.75, 0.6), (3.0, 1.0), (50.0, 1.0)])
def test_pt_weighs_from_a_fifth_to_one(pt: float, ratio: float):
    shares = weights([0] * 4 + [1] * 4, [0, 1, 2, 3] * 2, [pt, 10.0])
    assert shares[:4].sum() / shares[4:].sum() == pytest.approx(ratio)
