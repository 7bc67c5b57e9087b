import numpy as np
import pytest

from datasets.errors import DataError
from datasets.graphs.truth import doublet_keys, one_hit_per_layer, particle_rows, true_doublets

IDS = np.array([4503599627370497, 7, 4503599627370499])


def test_hits_find_their_particles_by_all_digits_of_the_id():
    hits = np.array([7, 0, 4503599627370499, 4503599627370497, 7])
    assert particle_rows(hits, IDS).tolist() == [1, -1, 2, 0, 1]
    assert particle_rows(np.zeros(2, np.int64), IDS[:0]).tolist() == [-1, -1]


@pytest.mark.parametrize("listed", [IDS, IDS[:0]])
def test_a_hit_of_an_unlisted_particle_is_named(listed: np.ndarray):
    with pytest.raises(DataError, match="got none with id 4503599627370498"):
        particle_rows(np.array([0, 4503599627370498]), listed)


def test_one_hit_is_kept_in_each_layer():
    #                    overlap in the barrel   disk        another particle
    row = np.array([0, 0, 0, 0, 1])
    layer = np.array([1, 1, 10, 10, 1], np.int32)
    r = np.array([73.0, 71.0, 40.0, 41.0, 75.0])
    z = np.array([5.0, 5.0, -1502.0, -1498.0, 5.0])
    assert one_hit_per_layer(row, layer, r, z).tolist() == [1, 3, 4]


def test_true_doublets_join_consecutive_layers():
    row = np.array([0, 0, 0, 0, 1, 1, 0])
    layer = np.array([3, 1, 2, 1, 0, 2, 1], np.int32)
    distance = np.array([30.0, 10.0, 20.0, 11.0, 1.0, 2.0, 50.0])  # overlap on layer 1, and back there
    first, second = true_doublets(row, layer, distance)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(1, 2), (2, 0), (4, 5)]


def test_keys_tell_particles_and_layers_apart_but_not_directions():
    layers = np.arange(48, dtype=np.int32)
    row, one, two = (grid.ravel() for grid in np.meshgrid(np.arange(3), layers, layers))
    keys = doublet_keys(row, one, two)
    assert len(np.unique(keys)) == 3 * 48 * 49 / 2
    assert np.array_equal(keys, doublet_keys(row, two, one))
