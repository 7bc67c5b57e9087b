"""From the edges that were kept to tracks, and from tracks to the particles that they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MINIMUM_HITS = 3  # fewer do not fix a helix
FIELD = 2.0  # T, the solenoid's field in the middle of the TrackML detector
GEV_PER_MM = 0.0003 * FIELD  # pt of a unit charge over the radius of its circle


def find_tracks(nodes: int, senders: np.ndarray, receivers: np.ndarray) -> np.ndarray:
    """Finds tracks as connected components of a graph.

    Args:
        nodes: Hits in the graph.
        senders: (edges,) int, one end of each kept edge.
        receivers: (edges,) int, the other end.

    Returns:
        (nodes,) int64, the number of each hit's track, counted from 0. It is -1 for a hit whose component
        has fewer than ``MINIMUM_HITS`` hits.
    """
    links = coo_array((np.ones(len(senders), bool), (senders, receivers)), shape=(nodes, nodes))
    _, component = connected_components(links, directed=False)
    enough = np.bincount(component) >= MINIMUM_HITS
    number = np.where(enough, np.cumsum(enough) - 1, -1)
    track: np.ndarray = number[component]
    return track


@dataclass(frozen=True)
class Matches:
    """The tracks and particles that belong together.

    The rules are strict: exactly half or exactly three quarters are not enough. They are those of DeZoort
    et al., Comput. Softw. Big Sci. 5 (2021) 26 (arXiv:2103.16701):

    - Double majority: more than 50 % of the track's hits are the particle's, and they are more than
      50 % of the particle's hits. A track has at most one such particle and a particle one such track.
    - LHC: more than 75 % of the track's hits are the particle's. A particle may have several such tracks.

    Attributes:
        particle_found: (particles,) bool, True for a particle matched by double majority.
        track_matched: (tracks,) bool, True for a track matched by double majority.
        duplicate: (tracks,) bool, True for an LHC match to a particle of which another LHC match has more
            hits, or as many and comes first.
        hits: (nodes,) bool, True for a hit that a track and a particle matched by double majority share.
    """

    particle_found: np.ndarray
    track_matched: np.ndarray
    duplicate: np.ndarray
    hits: np.ndarray


def match(track: np.ndarray, particle: np.ndarray, nhits: np.ndarray) -> Matches:
    """Matches tracks and particles by the hits that they share.

    Args:
        track: (nodes,) int64 as ``find_tracks`` returns it.
        particle: (nodes,) int, row of each hit's particle in ``nhits``, -1 for none.
        nhits: (particles,) int, hits of each particle in the graph.
    """
    # Every pair of a track and a particle that share hits, and how many they share.
    size = np.bincount(track[track >= 0])
    members = np.flatnonzero((track >= 0) & (particle >= 0))
    pair, pair_of_member, shared = np.unique(
        track[members] * len(nhits) + particle[members], return_inverse=True, return_counts=True
    )
    track_of, particle_of = np.divmod(pair, len(nhits))

    # Double majority: at most one pair of each track, and of each particle.
    double = (2 * shared > size[track_of]) & (2 * shared > nhits[particle_of])
    particle_found, track_matched = np.zeros(len(nhits), bool), np.zeros(len(size), bool)
    particle_found[particle_of[double]] = True
    track_matched[track_of[double]] = True
    hits = np.zeros(len(track), bool)
    hits[members] = double[pair_of_member]

    # LHC matches, sorted by particle and, of each particle, by shared hits: all but the first are duplicates.
    lhc = np.flatnonzero(4 * shared > 3 * size[track_of])
    lhc = lhc[np.lexsort((-shared[lhc], particle_of[lhc]))]
    is_further = particle_of[lhc[1:]] == particle_of[lhc[:-1]]
    duplicate = np.zeros(len(size), bool)
    duplicate[track_of[lhc[1:][is_further]]] = True
    return Matches(particle_found, track_matched, duplicate, hits)


def estimate_pt_and_eta(track: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimates pt and eta of tracks roughly, as if they were helices from the origin.

    Seen from the origin, the hits nearest to it and farthest from it have an angle of ``dphi`` between them
    in the transverse plane. All three points are on the helix's circle, whose chord between the hits is
    2 R sin(dphi) (inscribed angle). Therefore pt = 0.0003 B R = 0.0003 (B / 2) chord / abs(sin(dphi)) in
    GeV, T and mm. For a stiff track at 2 T that is 0.0003 / abs(dphi/dr). eta is asinh(z / r) of the farthest
    hit. A displaced or a wrong track gets what the formula gives.

    Args:
        track: (nodes,) int64 as ``find_tracks`` returns it.
        position: (nodes, 3) float, r in mm (above 0), phi in rad, z in mm.

    Returns:
        pt in GeV, (tracks,), and eta, (tracks,).
    """
    r, phi, z = position.astype(np.float64).T
    outwards = np.lexsort((np.hypot(r, z), track))  # track by track, from the origin outwards
    outwards = outwards[np.count_nonzero(track < 0) :]
    ends = np.cumsum(np.bincount(track[outwards]))
    inner, outer = outwards[np.append(0, ends)[:-1]], outwards[ends - 1]
    bend = np.abs(np.sin(phi[outer] - phi[inner]))
    chord = np.abs(r[outer] * np.exp(1j * phi[outer]) - r[inner] * np.exp(1j * phi[inner]))
    pt = GEV_PER_MM / 2 * chord / np.maximum(bend, 1e-9)  # a straight track has a very large pt
    return pt, np.arcsinh(z[outer] / r[outer])
