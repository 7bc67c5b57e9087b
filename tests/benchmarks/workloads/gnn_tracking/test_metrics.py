"""Figures of merit on graphs of a few hits, by hand."""

import json
import math
import pickle

import numpy as np
import pytest

from benchmarks.plots import read_numbers
from benchmarks.workload import Batch
from benchmarks.workloads.gnn_tracking.metrics import TrackingMetrics, area_under_roc
from benchmarks.workloads.gnn_tracking.truth import Truth

KEEP, CUT = 2.0, -2.0


def truth_of(particle, edges, label=None, weight=None, graph=None, **particles):
    """Hits on straight lines from the origin, one direction for each particle; noise at phi 3."""
    particle = np.array(particle, np.int32)
    nodes, count = len(particle), max(particle.max() + 1, 0)
    senders, receivers = np.array(edges, np.int32).reshape(-1, 2).T
    if label is None:
        label = (particle[senders] == particle[receivers]) & (particle[senders] >= 0)
    phi = np.where(particle >= 0, particle, 3)
    position = np.stack([100.0 * (1 + np.arange(nodes)), phi, np.zeros(nodes)], axis=1)
    return Truth(
        graph=np.zeros(nodes, np.int32) if graph is None else np.array(graph, np.int32),
        position=position.astype(np.float32),
        particle=particle,
        weight=np.full(nodes, 1 / nodes, np.float32) if weight is None else np.array(weight, np.float32),
        senders=senders,
        receivers=receivers,
        label=np.array(label, bool),
        rows=np.arange(len(senders), dtype=np.int32)[:, None],
        pt=np.array(particles.get("pt", np.ones(count)), np.float32),
        eta=np.array(particles.get("eta", np.zeros(count)), np.float32),
        nhits=np.bincount(particle[particle >= 0], minlength=count).astype(np.int32),
        selected=np.array(particles.get("selected", np.ones(count)), bool),
    )


def batch_of(truth):
    return Batch(None, None, events=1, elements=0, padded_elements=0, truth=truth)


def metrics_of(*updates):
    metrics = TrackingMetrics()
    for truth, logits in updates:
        metrics.update(np.array(logits, np.float32), batch_of(truth))
    return metrics


def figures(truth, logits):
    return metrics_of((truth, logits)).result()


# Two particles of three hits: two edges along each, and one across.
PAIR = truth_of([0, 0, 0, 1, 1, 1], [(0, 1), (1, 2), (3, 4), (4, 5), (2, 3)])


def test_perfect_edges_give_perfect_figures():
    assert figures(PAIR, [KEEP] * 4 + [CUT]) == {
        "accuracy": 1.0,
        "auc": 1.0,
        "efficiency": 1.0,
        "purity": 1.0,
        "track_efficiency": 1.0,
        "fake_rate": 0.0,
        "duplicate_rate": 0.0,
        "trackml_score": 1.0,
    }


def test_edges_at_the_cut():
    """Kept: true 3 of 4, false 1 of 1; a logit of 0 is a probability of 0.5 and is cut."""
    got = figures(PAIR, [KEEP, 0.0, KEEP, KEEP, KEEP])
    assert got["efficiency"] == 3 / 4
    assert got["purity"] == 3 / 4
    assert got["accuracy"] == 3 / 5


def test_auc_counts_ties_half():
    """Of the six pairs, 3 > 1, 3 > 2, 2 > 1, 0 < 1, 0 < 2 and 2 = 2: 3.5 of 6."""
    true, false = np.array([2, 0, 3], np.float32), np.array([1, 2], np.float32)
    assert area_under_roc(true, false) == pytest.approx(3.5 / 6)
    assert area_under_roc(false, true) == pytest.approx(2.5 / 6)
    assert area_under_roc(true, true) == 0.5


def test_auc_is_over_all_batches():
    """Within each batch the true edge wins; across them it loses one of four pairs."""
    one = truth_of([0, 0, 0], [(0, 1), (1, 2)], label=[True, False])
    assert metrics_of((one, [3, 2]), (one, [1, 0])).result()["auc"] == 3 / 4


def test_merged_tracks_are_one_fake():
    got = figures(PAIR, [KEEP] * 5)
    assert got["track_efficiency"] == 0.0
    assert got["fake_rate"] == 1.0
    assert got["duplicate_rate"] == 0.0
    assert got["trackml_score"] == 0.0


def test_a_split_track_is_found_once_and_leaves_a_duplicate():
    """Seven hits in a row, cut after the third: the piece of four is the particle's track."""
    chain = truth_of([0] * 7, [(i, i + 1) for i in range(6)], weight=[0.1] * 3 + [0.2, 0.2, 0.2, 0.1])
    got = figures(chain, [KEEP, KEEP, CUT, KEEP, KEEP, KEEP])
    assert got["track_efficiency"] == 1.0
    assert got["fake_rate"] == got["duplicate_rate"] == 1 / 2
    assert got["trackml_score"] == pytest.approx(0.7)


def test_a_track_of_noise_is_a_fake_without_weight():
    """Three hits of a particle, three of noise, and a noise hit hooked on to the particle."""
    edges = [(0, 1), (1, 2), (3, 4), (4, 5), (2, 6)]
    truth = truth_of([0, 0, 0, -1, -1, -1, -1], edges, weight=[1 / 3] * 3 + [0] * 4)
    got = figures(truth, [KEEP] * 5)
    assert got["purity"] == 2 / 5
    assert got["track_efficiency"] == 1.0
    assert got["fake_rate"] == 1 / 2
    assert got["trackml_score"] == 1.0


def test_the_score_is_a_share_of_the_weight_in_each_graph():
    """Graph 0 holds a weight of 0.5, all found; graph 1 one of 0.2, none; graph 2 none at all."""
    truth = truth_of(
        [0, 0, 0, 1, 1, 1, -1],
        [(0, 1), (1, 2), (3, 4), (4, 5)],
        weight=[0.25, 0.125, 0.125, 0.1, 0.05, 0.05, 0],
        graph=[0, 0, 0, 1, 1, 1, 2],
    )
    assert figures(truth, [KEEP, KEEP, CUT, CUT])["trackml_score"] == 0.5


def test_only_selected_particles_count_for_the_efficiency_and_all_against_fakes():
    truth = truth_of([0, 0, 0, 1, 1, 1], [(0, 1), (1, 2), (3, 4), (4, 5)], selected=[False, True])
    got = figures(truth, [KEEP, KEEP, CUT, CUT])
    assert got["track_efficiency"] == 0.0
    assert got["fake_rate"] == 0.0
    assert figures(truth, [CUT, CUT, KEEP, KEEP])["track_efficiency"] == 1.0


def test_padding_is_not_looked_at():
    logits = [KEEP, CUT, KEEP, KEEP, KEEP]
    assert figures(PAIR, [*logits, KEEP, CUT, math.nan]) == figures(PAIR, logits)


def union(one, other):
    """Both as one batch."""
    nodes, graphs, particles = len(one.particle), one.graph.max() + 1, len(one.pt)
    shift = {"graph": graphs, "senders": nodes, "receivers": nodes, "rows": len(one.label)}
    fields = {
        name: np.concatenate([getattr(one, name), getattr(other, name) + shift.get(name, 0)])
        if name in shift
        else np.concatenate([getattr(one, name), getattr(other, name)])
        for name in Truth.__dataclass_fields__
    }
    other_particle = np.where(other.particle >= 0, other.particle + particles, -1)
    fields["particle"] = np.concatenate([one.particle, other_particle])
    return Truth(**fields)


def random_graph(rng, particles=40, hits=8, noise=60):
    """Particles whose hits are linked in a row, noise, and edges at random."""
    particle = np.repeat(np.arange(particles), hits)
    rows = np.arange(particles * hits).reshape(particles, hits)
    along = np.stack([rows[:, :-1], rows[:, 1:]], axis=-1).reshape(-1, 2)
    nodes = len(particle) + noise
    edges = np.concatenate([along, rng.integers(0, nodes, (500, 2))])
    truth = truth_of(
        np.concatenate([particle, np.full(noise, -1)]),
        edges,
        weight=rng.random(nodes),
        pt=rng.exponential(1.0, particles),
        eta=rng.uniform(-5, 5, particles),
        selected=rng.random(particles) < 0.7,
    )
    return truth, np.where(truth.label, 1.5, -2.0) + rng.normal(size=len(edges))


def test_batches_add_up():
    rng = np.random.default_rng(1)
    (one, a), (other, b) = random_graph(rng), random_graph(rng, particles=30)
    apart, together = metrics_of((one, a), (other, b)), metrics_of((union(one, other), np.append(a, b)))
    assert apart.result() == together.result()
    assert apart.breakdown() == together.breakdown()
    assert 0 < apart.result()["fake_rate"] < 1
    assert 0 < apart.result()["track_efficiency"] < 1
    assert apart.result()["duplicate_rate"] > 0


def test_ranks_add_up():
    """What one collects from two graphs, two collect from one each."""
    good, bad = (PAIR, [KEEP] * 4 + [CUT]), (PAIR, [KEEP, CUT, KEEP, KEEP, KEEP])
    first, together = metrics_of(good), metrics_of(good, bad)
    first.merge(metrics_of(bad))
    assert first.result() == together.result()
    assert first.breakdown() == together.breakdown()
    assert first.result()["efficiency"] == 7 / 8


def test_the_order_of_the_edges_does_not_matter():
    truth, logits = random_graph(np.random.default_rng(2))
    order = np.random.default_rng(3).permutation(len(logits))
    edges = {name: getattr(truth, name)[order] for name in ("senders", "receivers", "label")}
    shuffled = Truth(**{**vars(truth), **edges})
    straight, mixed = metrics_of((truth, logits)), metrics_of((shuffled, logits[order]))
    assert straight.result() == mixed.result()
    assert straight.breakdown() == mixed.breakdown()


def test_nothing_kept_and_nothing_there_is_zero():
    got = figures(PAIR, [CUT] * 5)
    assert got["purity"] == got["efficiency"] == got["track_efficiency"] == got["fake_rate"] == 0.0
    empty = figures(truth_of([-1, -1, -1], []), [])
    assert set(empty.values()) == {0.0}


def test_a_logit_that_is_not_a_number_is_an_edge_cut():
    logits = [math.nan, KEEP, KEEP, KEEP, CUT]
    assert figures(PAIR, logits) == figures(PAIR, [-math.inf, *logits[1:]])
    assert figures(PAIR, [math.nan] * 5)["auc"] == 0.5


def test_predictions_may_be_of_lower_precision():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    metrics = TrackingMetrics()
    metrics.update(np.array([KEEP] * 4 + [CUT], bfloat16), batch_of(PAIR))
    assert metrics.result()["auc"] == 1.0


def test_breakdown_by_the_particles_pt_and_eta():
    """Of two particles at 0.75 and 0.8 GeV one is found; one beyond each end of eta."""
    truth = truth_of([0, 0, 0, 1, 1, 1], [(0, 1), (1, 2), (3, 4), (4, 5)], pt=[0.75, 0.8], eta=[-4.2, 3.9])
    got = metrics_of((truth, [KEEP, KEEP, CUT, CUT])).breakdown()
    assert got["pt"]["edges"] == [0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, None]
    assert got["pt"]["particles"] == [0, 0, 2, 0, 0, 0, 0, 0]
    assert got["pt"]["track_efficiency"] == [None, None, 0.5, None, None, None, None, None]
    assert got["eta"]["edges"][0::8] == [-4.0, 0.0, 4.0]
    assert got["eta"]["particles"] == [1, *[0] * 14, 1]
    assert got["eta"]["track_efficiency"] == [1.0, *[None] * 14, 0.0]
    json.dumps(got, allow_nan=False)


def test_breakdown_by_the_tracks_own_pt_and_eta():
    """Two straight tracks at eta 0, the second of noise, whatever the particle's true pt and eta."""
    truth = truth_of([0, 0, 0, -1, -1, -1], [(0, 1), (1, 2), (3, 4), (4, 5)], pt=[0.6], eta=[2.2])
    got = metrics_of((truth, [KEEP] * 4)).breakdown()
    assert got["pt"]["tracks"] == [0] * 7 + [2]
    assert got["pt"]["fake_rate"] == [None] * 7 + [0.5]
    assert got["eta"]["tracks"] == [0] * 8 + [2] + [0] * 7
    assert got["eta"]["duplicate_rate"][8] == 0.0


def plots_of(metrics):
    return {plot["form"] + plot["title"][:4]: plot for plot in metrics.breakdown()["plots"]}


def test_scores_of_edges_are_in_bins_of_the_probability():
    """Logits of -inf, 0 and 50 are probabilities of 0, 1/2 and almost 1."""
    metrics = metrics_of((PAIR, [50.0, 0.0, 0.0, 50.0, -math.inf]))
    plot = plots_of(metrics)["histogramEdge"]
    assert plot["counts"]["true edges"][25] == plot["counts"]["true edges"][-1] == 2
    assert plot["counts"]["false edges"] == [1] + [0] * 49


def test_the_plots_by_pt_have_the_counts_behind_the_shares():
    truth = truth_of([0, 0, 0, 1, 1, 1], [(0, 1), (1, 2), (3, 4), (4, 5)], pt=[0.75, 0.8])
    by_pt = next(plot for plot in metrics_of((truth, [KEEP, KEEP, CUT, CUT])).breakdown()["plots"])
    assert by_pt["edges"][-1] is None
    assert by_pt["passed"]["track efficiency"] == [0, 0, 1, 0, 0, 0, 0, 0]
    assert by_pt["total"]["track efficiency"] == [0, 0, 2, 0, 0, 0, 0, 0]


def test_the_event_has_the_edges_at_the_hits_of_its_particles():
    """The second particle does not count. Of its edges the one across has a hit of the first."""
    truth = truth_of(
        [0, 0, 0, 1, 1, 1, -1],
        [(0, 1), (1, 2), (3, 4), (4, 5), (2, 3)],
        selected=[True, False],
    )
    event = plots_of(metrics_of((truth, [KEEP, CUT, KEEP, KEEP, KEEP])))["eventAn e"]
    pairs = {name: read_numbers(text, 2).tolist() for name, text in event["pairs"].items()}
    assert pairs == {"kept, true": [[0, 1]], "kept, false": [[2, 3]], "cut, true": [[1, 2]]}
    assert event["highlighted"] == "1 1 1 1 0 0 0"
    assert len(read_numbers(event["position"], 3)) == 7


def test_the_event_is_of_the_first_graph_and_of_the_first_rank():
    rng = np.random.default_rng(1)
    (one, a), (other, b) = random_graph(rng), random_graph(rng)
    alone, first, second = (metrics_of(update) for update in ((one, a), (one, a), (other, b)))
    first.merge(pickle.loads(pickle.dumps(second)))
    event = plots_of(alone)["eventAn e"]
    assert plots_of(first)["eventAn e"] == event
    assert plots_of(metrics_of((union(one, other), np.append(a, b))))["eventAn e"] == event


def test_a_rank_sends_no_graph_to_another():
    truth, logits = random_graph(np.random.default_rng(1))
    sent = pickle.loads(pickle.dumps(metrics_of((truth, logits))))
    assert [plot["form"] for plot in sent.breakdown()["plots"]] == ["shares", "shares", "histogram"]


def test_the_breakdown_of_a_large_graph_is_below_100_kb():
    truth, logits = random_graph(np.random.default_rng(1), particles=2000, hits=12, noise=9000)
    text = json.dumps(metrics_of((truth, logits)).breakdown(), indent=2, allow_nan=False)
    assert len(text) < 100_000


def test_an_event_without_particles_has_a_picture_of_its_hits():
    event = plots_of(metrics_of((truth_of([-1, -1, -1], [(0, 1)]), [KEEP])))["eventAn e"]
    assert event["highlighted"] == "0 0 0"
    assert set(event["pairs"].values()) == {""}
