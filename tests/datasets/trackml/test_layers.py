from collections import Counter

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.trackml.layers import BARREL, DISKS, LAYERS, layer_numbers, layer_pairs


def test_the_layers_are_those_of_the_detector():
    assert Counter(layer.volume_id for layer in LAYERS) == {
        8: 4, 13: 4, 17: 2, 7: 7, 9: 7, 12: 6, 14: 6, 16: 6, 18: 6
    }  # fmt: skip
    assert len({(layer.volume_id, layer.layer_id) for layer in LAYERS}) == len(BARREL) + len(DISKS) == 48
    assert [layer.r[0] for layer in BARREL] == sorted(layer.r[0] for layer in BARREL)
    first, last = (next(disk for disk in DISKS if (disk.volume_id, disk.layer_id) == (7, i)) for i in (2, 14))
    assert (first.z[0], last.z[0]) == (-1500.0, -600.0)  # ids ascend with z on either side


def test_hits_get_the_numbers_of_their_layers():
    volume_id, layer_id = np.array([8, 17, 13, 7], np.int32), np.array([2, 4, 2, 2], np.int32)
    assert layer_numbers(volume_id, layer_id).tolist() == [0, 9, 4, 10]
    assert len(layer_numbers(volume_id[:0], layer_id[:0])) == 0


@pytest.mark.parametrize(("volume", "layer"), [(8, 3), (10, 2), (-1, 2), (8, -2), (99, 99), (8, 14)])
def test_an_unknown_layer_is_named(volume: int, layer: int):
    ids = np.array([[8, 2], [volume, layer]], np.int32)
    with pytest.raises(DataError, match=f"got volume_id {volume}, layer_id {layer}"):
        layer_numbers(ids[:, 0], ids[:, 1])


def test_barrel_pairs_are_neighbours_and_the_way_past_the_end_of_the_pixels():
    pairs = layer_pairs("barrel")
    assert {(pair.inner, pair.outer) for pair in pairs} == {(n, n + 1) for n in range(9)} | {(2, 4)}
    assert {(pair.inner, pair.outer): pair.missed for pair in pairs if pair.missed} == {(2, 4): LAYERS[3]}


def test_the_two_sides_have_the_same_pairs():
    mirrored = {
        number: next(
            i for i, other in enumerate(LAYERS) if (other.r, other.z) == (layer.r, (-layer.z[1], -layer.z[0]))
        )
        for number, layer in enumerate(LAYERS)
    }
    pairs = {(pair.inner, pair.outer) for pair in layer_pairs("full")}
    assert {(mirrored[inner], mirrored[outer]) for inner, outer in pairs} == pairs
    names = [(layer.volume_id, layer.layer_id) for layer in LAYERS]
    named = {(names[inner], names[outer]) for inner, outer in pairs}
    assert {((8, 2), (9, 2)), ((9, 2), (9, 4)), ((13, 8), (18, 2)), ((14, 2), (18, 4))} <= named
    assert ((9, 4), (9, 2)) not in named and ((8, 2), (8, 6)) not in named
