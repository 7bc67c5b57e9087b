"""Tracks of a few hits, matched by hand."""

import math

import numpy as np
import pytest

from benchmarks.workloads.gnn_tracking.tracks import estimate_pt_and_eta, find_tracks, match


def tracks_of(nodes, edges):
    senders, receivers = np.array(edges, np.int32).reshape(-1, 2).T
    return find_tracks(nodes, senders, receivers).tolist()


def matches_of(track, particle):
    particle = np.array(particle)
    nhits = np.bincount(particle[particle >= 0])
    return match(np.array(track, np.int64), particle, nhits)


def test_three_linked_hits_are_a_track_and_two_are_not():
    assert tracks_of(6, [(0, 2), (2, 4), (1, 3)]) == [0, -1, 0, -1, 0, -1]


def test_no_edge_is_no_track():
    assert tracks_of(3, []) == [-1, -1, -1]


def test_tracks_do_not_depend_on_the_order_or_the_direction_of_edges():
    edges = [(5, 6), (6, 7), (0, 1), (1, 2), (0, 2), (3, 4)]
    expected = [0, 0, 0, -1, -1, 1, 1, 1]
    assert tracks_of(8, edges) == expected
    assert tracks_of(8, edges[::-1]) == expected
    assert tracks_of(8, [(b, a) for a, b in edges]) == expected


def test_an_edge_between_two_particles_merges_their_tracks():
    assert tracks_of(6, [(0, 1), (1, 2), (3, 4), (4, 5), (2, 3)]) == [0] * 6


def test_a_whole_track_is_matched():
    got = matches_of([0, 0, 0], [0, 0, 0])
    assert got.particle_found.tolist() == [True]
    assert got.track_matched.tolist() == [True]
    assert got.duplicate.tolist() == [False]
    assert got.hits.tolist() == [True] * 3


def test_half_of_the_track_is_not_enough():
    """Six hits, three each of two particles: neither has the majority."""
    got = matches_of([0] * 6, [0, 0, 0, 1, 1, 1])
    assert not got.track_matched.any()
    assert not got.particle_found.any()


def test_more_than_half_of_the_track_is_enough():
    got = matches_of([0] * 7, [0, 0, 0, 0, 1, 1, 1])
    assert got.track_matched.tolist() == [True]
    assert got.particle_found.tolist() == [True, False]
    assert got.hits.tolist() == [True] * 4 + [False] * 3


def test_half_of_the_particle_is_not_enough():
    """A particle of six hits in two pieces: both are pure, none holds more than half."""
    got = matches_of([0, 0, 0, 1, 1, 1], [0] * 6)
    assert not got.track_matched.any()
    assert not got.particle_found.any()
    assert got.duplicate.tolist() == [False, True]


def test_a_split_track_is_found_once_and_its_short_piece_is_a_duplicate():
    got = matches_of([0, 0, 0, 1, 1, 1, 1], [0] * 7)
    assert got.particle_found.tolist() == [True]
    assert got.track_matched.tolist() == [False, True]
    assert got.duplicate.tolist() == [True, False]
    assert got.hits.tolist() == [False] * 3 + [True] * 4


def test_a_duplicate_is_purer_than_three_quarters():
    whole = [0] * 5
    assert matches_of(whole + [1] * 4, [0] * 8 + [1]).duplicate.tolist() == [False, False]  # 3 of 4
    assert matches_of(whole + [1] * 5, [0] * 9 + [1]).duplicate.tolist() == [False, True]  # 4 of 5


def test_noise_counts_for_the_track_and_for_no_particle():
    got = matches_of([0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, -1, -1, -1, -1, -1])
    assert got.track_matched.tolist() == [True, False]
    got = matches_of([0, 0, 0, 0, 0, 0], [0, 0, 0, -1, -1, -1])
    assert got.track_matched.tolist() == [False]


def test_hits_outside_tracks_count_for_the_particle():
    assert matches_of([0, 0, 0, -1, -1], [0] * 5).particle_found.tolist() == [True]
    assert matches_of([0, 0, 0, -1, -1, -1], [0] * 6).particle_found.tolist() == [False]


def test_no_tracks_and_no_particles_match_nothing():
    got = matches_of([-1, -1], [0, 0])
    assert (got.particle_found.tolist(), len(got.track_matched), len(got.duplicate)) == ([False], 0, 0)
    got = matches_of([0, 0, 0], [-1, -1, -1])
    assert (len(got.particle_found), got.track_matched.tolist(), got.duplicate.tolist()) == (
        0,
        [False],
        [False],
    )


@pytest.mark.parametrize("pt", [0.5, 1.0, 5.0])
@pytest.mark.parametrize("turn", [-1, 1])
def test_pt_of_a_helix_from_the_origin(pt, turn):
    """Its circle has R = pt / (0.0003 B), 1667 mm at 1 GeV and 2 T; r = 2 R sin(phi0 - phi)."""
    r = np.array([300.0, 72.0, 660.0])
    phi = 3.0 + turn * np.arcsin(r * 0.0006 / (2 * pt))
    phi = np.mod(phi + math.pi, 2 * math.pi) - math.pi  # crosses pi for one of the senses
    z = r * math.sinh(1.5)
    got_pt, got_eta = estimate_pt_and_eta(np.zeros(3, np.int64), np.stack([r, phi, z], axis=1))
    assert got_pt == pytest.approx([pt])
    assert got_eta == pytest.approx([1.5])


def test_the_slope_of_half_a_gev_is_six_tenths_of_a_milliradian_per_mm():
    position = np.array([[100.0, 0.0, 0.0], [101.0, 6e-4, 0.0], [100.5, 3e-4, 0.0]])
    pt, _ = estimate_pt_and_eta(np.zeros(3, np.int64), position)
    assert pt == pytest.approx([0.5], rel=0.01)


def test_each_track_has_its_own_estimate_and_loose_hits_none():
    straight = [[100.0, 1.0, 0.0], [200.0, 1.0, 0.0], [300.0, 1.0, 0.0]]
    backward = [[r, 2.0, -r] for r in (100.0, 200.0, 300.0)]
    position = np.array([straight[0], backward[2], [50.0, 0.0, 9.0], *straight[1:], *backward[:2]])
    pt, eta = estimate_pt_and_eta(np.array([0, 1, -1, 0, 0, 1, 1]), position)
    assert (pt > 1e3).all()
    assert eta == pytest.approx([0.0, math.asinh(-1.0)])


def test_no_track_has_no_estimate():
    pt, eta = estimate_pt_and_eta(np.full(2, -1), np.ones((2, 3), np.float32))
    assert len(pt) == len(eta) == 0
