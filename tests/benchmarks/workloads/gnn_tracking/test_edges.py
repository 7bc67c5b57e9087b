"""What the edges of a graph of three hits bring to its nodes, by hand."""

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="layers are written in Keras")

from keras import ops  # noqa: E402

from benchmarks.workloads.gnn_tracking.edges import Edges  # noqa: E402

# The inner hit is 1, the next 2, the outer 0: edges 1 -> 0, 2 -> 0, 1 -> 2, and padding 3 -> 3.
SENDERS, RECEIVERS, ORDER = [1, 2, 1, 3], [0, 0, 2, 3], [0, 2, 1, 3]
VALUES = np.array([[1, -10], [2, -20], [4, -40], [8, 80]], np.float32)


def three_hits(**options):
    senders, receivers, order = (
        ops.convert_to_tensor(rows, dtype="int32") for rows in (SENDERS, RECEIVERS, ORDER)
    )
    return Edges(senders, receivers, order, nodes=4, **options)


@pytest.fixture(params=[False, True], ids=["sorted segments", "fixed sums"])
def edges(request):
    return three_hits(fixed_sums=request.param)


def test_sums_at_receivers(edges):
    assert np.asarray(edges.at_receivers(VALUES)).tolist() == [[3, -30], [0, 0], [4, -40], [8, 80]]


def test_sums_at_senders(edges):
    assert np.asarray(edges.at_senders(VALUES)).tolist() == [[0, 0], [5, -50], [2, -20], [8, 80]]


def test_the_largest_at_receivers_and_zero_without_any(edges):
    assert np.asarray(edges.largest_at_receivers(VALUES)).tolist() == [[2, -10], [0, 0], [4, -40], [8, 80]]


@pytest.mark.parametrize("way", ["at_receivers", "at_senders"])
def test_sums_of_short_numbers_are_float32(edges, way):
    """In bfloat16, 256 + 1 is 256."""
    values = ops.convert_to_tensor([[256.0], [1.0], [1.0], [0.0]], dtype="bfloat16")
    got = getattr(edges, way)(values)
    assert keras.backend.standardize_dtype(got.dtype) == "float32"
    assert float(ops.max(got)) == 257


def test_the_largest_of_short_numbers_stays_short(edges):
    got = edges.largest_at_receivers(ops.cast(VALUES, "bfloat16"))
    assert keras.backend.standardize_dtype(got.dtype) == "bfloat16"


def test_pieces_are_runs_of_rows():
    edges = three_hits(pieces=2, keep=False)
    assert edges.length == 2
    assert np.asarray(edges.piece(edges.senders, 1)).tolist() == [1, 3]
    assert np.asarray(edges.piece(ops.convert_to_tensor(VALUES), 0)).tolist() == [[1, -10], [2, -20]]
