"""Figures of merit of GNN tracking on the validation graphs: edges, tracks, TrackML score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks import plots
from benchmarks.workload import Batch
from benchmarks.workloads.gnn_tracking.display import display
from benchmarks.workloads.gnn_tracking.tracks import estimate_pt_and_eta, find_tracks, match
from benchmarks.workloads.gnn_tracking.truth import Truth

BIN_EDGES = {
    "pt": np.array([0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, np.inf]),  # GeV
    "eta": np.linspace(-4.0, 4.0, 17),
}
"""Bin edges of the breakdown. A lower edge belongs to its bin. The outer bins take what lies beyond them."""

_SCORE_EDGES = np.linspace(0.0, 1.0, 51)
_LABELS = {"pt": "$p_T$ [GeV]", "eta": r"$\eta$"}
_COUNTED = ("particles", "found", "tracks", "fakes", "duplicates")


class TrackingMetrics:
    """Edge, track and TrackML figures, collected batch by batch.

    The figures of edges pool all graphs. An edge is kept if its logit is above 0 (probability above 0.5):

    - ``efficiency``: kept true edges / true edges of the graphs. Edges that graph construction lost do not
      count.
    - ``purity``: kept true edges / kept edges.
    - ``accuracy``: edges rightly kept or cut / edges.
    - ``auc``: area under the ROC curve, see ``area_under_roc``.

    Tracks are connected components of at least 3 hits over the kept edges, matched to particles as
    ``tracks.Matches`` says:

    - ``track_efficiency``: selected particles found by double majority / selected particles
      (Ju et al., Eur. Phys. J. C 81 (2021) 876, arXiv:2103.06995).
    - ``fake_rate``: tracks without a double majority match / tracks. A match to any particle will do,
      selected or not.
    - ``duplicate_rate``: LHC matches beyond the first of their particle / tracks. Double majority
      knows no duplicates, and a short second piece of a particle is a duplicate and a fake.

    ``trackml_score`` is the weight of the hits that tracks and particles matched by double majority share
    (Amrouche et al., arXiv:1904.06778), over the weight of all hits that are nodes of the graph. A graph of
    selected hits can therefore reach 1, although it has only a part of its event's weight. The score is the
    mean over the graphs that have any weight. Unlike there, tracks of one or two hits do not count.

    A figure for which there is nothing to count is 0, so that all of them are finite. A logit that is not a
    number counts as minus infinity.
    """

    def __init__(self) -> None:
        self._true: list[np.ndarray] = []  # logits of true edges
        self._false: list[np.ndarray] = []
        self._scores: list[np.ndarray] = []  # by graph
        self._first: tuple[Truth, np.ndarray] | None = None  # the first batch and its logits
        self._counts = {
            variable: {name: np.zeros(len(edges) - 1, np.int64) for name in _COUNTED}
            for variable, edges in BIN_EDGES.items()
        }

    def update(self, predictions: np.ndarray, batch: Batch) -> None:
        """Adds the logits of a batch, (padded edges of the model,)."""
        # A logit that is not a number keeps no edge.
        truth: Truth = batch.truth
        logits = predictions[truth.rows].astype(np.float32).mean(axis=1)
        logits = np.where(np.isnan(logits), np.float32(-np.inf), logits)
        self._first = self._first or (truth, logits)
        self._true.append(logits[truth.label])
        self._false.append(logits[~truth.label])

        # Tracks and particles can be matched here, because none of them reaches into another batch.
        is_kept = logits > 0
        track = find_tracks(len(truth.particle), truth.senders[is_kept], truth.receivers[is_kept])
        matches = match(track, truth.particle, truth.nhits)
        self._scores.append(trackml_scores(truth, matches.hits))

        # The totals are sums over the bins, so the bins are all that is counted.
        pt, eta = estimate_pt_and_eta(track, truth.position)
        for variable, of_particles, of_tracks in (("pt", truth.pt, pt), ("eta", truth.eta, eta)):
            counted = (
                of_particles[truth.selected],
                of_particles[truth.selected & matches.particle_found],
                of_tracks,
                of_tracks[~matches.track_matched],
                of_tracks[matches.duplicate],
            )
            edges = BIN_EDGES[variable]
            for name, values in zip(_COUNTED, counted, strict=True):
                bins = np.searchsorted(edges[1:-1], values, side="right")
                self._counts[variable][name] += np.bincount(bins, minlength=len(edges) - 1)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the first batch, because a rank that sends its collection to another draws no event."""
        return {**vars(self), "_first": None}

    def merge(self, other: TrackingMetrics) -> None:
        """Adds what another collection holds."""
        self._true += other._true
        self._false += other._false
        self._scores += other._scores
        for variable, counts in other._counts.items():
            for name, values in counts.items():
                self._counts[variable][name] += values

    def result(self) -> dict[str, float]:
        """Returns the figures of merit over all batches so far."""
        totals = {name: counts.sum() for name, counts in self._counts["pt"].items()}
        scores = np.concatenate(self._scores)
        return {
            **edge_figures(np.concatenate(self._true), np.concatenate(self._false)),
            **{name: _ratio(*counts) for name, counts in _rates(totals).items()},
            "trackml_score": _ratio(scores.sum(), len(scores)),
        }

    def breakdown(self) -> dict[str, Any]:
        """Returns the track figures in bins of pt (GeV) and eta, and plots, as JSON values.

        Particles are in the bin of their true pt and eta. Tracks are in the bin of
        ``tracks.estimate_pt_and_eta``, all of them, because a fake has no particle.

        Returns:
            For "pt" and "eta" a mapping with these keys. "edges" has one number more than there are bins,
            with null for infinity. "particles" (selected) and "tracks" are counts. "track_efficiency",
            "fake_rate" and "duplicate_rate" are null where there is nothing to count. For "plots" a list as
            ``benchmarks.plots`` has it.
        """
        in_bins = {
            variable: {
                "edges": [float(edge) if np.isfinite(edge) else None for edge in BIN_EDGES[variable]],
                "particles": counts["particles"].tolist(),
                "tracks": counts["tracks"].tolist(),
                **{
                    name: [_ratio(*pair) if pair[1] else None for pair in zip(*rate, strict=True)]
                    for name, rate in _rates(counts).items()
                },
            }
            for variable, counts in self._counts.items()
        }
        return {**in_bins, "plots": self._plots()}

    def _plots(self) -> list[plots.Plot]:
        """Returns the track figures by pt and eta, the distribution of edge scores, and an event."""
        scores = {"true edges": self._true, "false edges": self._false}
        drawn = [
            plots.shares(
                f"Tracks by {label.partition(' ')[0]}",
                (label, "Share"),
                BIN_EDGES[variable],
                {name.replace("_", " "): pair for name, pair in _rates(self._counts[variable]).items()},
            )
            for variable, label in _LABELS.items()
        ]
        drawn.append(
            plots.histogram(
                "Edge scores",
                ("Probability of a true edge", "Edges"),
                _SCORE_EDGES,
                {name: expit(np.concatenate(logits)) for name, logits in scores.items()},
                log="y",
            )
        )
        return [*drawn, display(*self._first)] if self._first else drawn


def edge_figures(true: np.ndarray, false: np.ndarray) -> dict[str, float]:
    """Computes accuracy, AUC, efficiency and purity from the logits of true and of false edges."""
    kept_true, kept_false = np.count_nonzero(true > 0), np.count_nonzero(false > 0)
    return {
        "accuracy": _ratio(kept_true + len(false) - kept_false, len(true) + len(false)),
        "auc": area_under_roc(true, false),
        "efficiency": _ratio(kept_true, len(true)),
        "purity": _ratio(kept_true, kept_true + kept_false),
    }


def area_under_roc(true: np.ndarray, false: np.ndarray) -> float:
    """Computes the area under the ROC curve, without binning or interpolation.

    It is the share of the pairs of a true and a false edge in which the true one has the larger logit
    (Mann-Whitney U statistic). A tie counts half.

    Args:
        true: (true edges,), logits.
        false: (false edges,), logits.
    """
    false = np.sort(false)
    true = np.sort(true)  # so that the searches below walk through memory
    below = np.searchsorted(false, true, side="left").sum()
    not_above = np.searchsorted(false, true, side="right").sum()
    return _ratio(below + not_above, 2 * len(true) * len(false))


def trackml_scores(truth: Truth, hit_found: np.ndarray) -> np.ndarray:
    """Returns the share of its weight that was found, for each graph that has any weight.

    Args:
        truth: The graphs.
        hit_found: (N,) bool, True for the hits that count as found.
    """
    total = np.bincount(truth.graph, weights=truth.weight)
    share = np.bincount(truth.graph, weights=truth.weight * hit_found)
    return share[total > 0] / total[total > 0]


def _rates(counts: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns numerator and denominator of each track figure, from totals or from counts by bin."""
    return {
        "track_efficiency": (counts["found"], counts["particles"]),
        "fake_rate": (counts["fakes"], counts["tracks"]),
        "duplicate_rate": (counts["duplicates"], counts["tracks"]),
    }


def _ratio(part: float | np.integer, total: float | np.integer) -> float:
    return float(part / total) if total else 0.0
