"""Toy hit graphs for tests, as batches and as stored: the right layout, no physics."""

import numpy as np


def make_inputs(nodes, edges, real_edges, seed=1):
    """Returns inputs and targets of a random graph, whose last eighth of nodes, at least one, is padding."""
    rng = np.random.default_rng(seed)
    real = nodes - max(nodes // 8, 1)
    features = np.zeros((nodes, 3), np.float32)
    features[:real] = rng.uniform(-1, 1, (real, 3))
    senders, receivers = rng.integers(0, real, (2, real_edges))
    label = rng.random(real_edges) < 0.4
    return lay_out(features, senders, receivers, label, np.ones(real_edges), edges)


def lay_out(features, senders, receivers, label, weight, edges):
    """Returns inputs and targets of a graph padded to ``edges`` edges, whose last node is padding."""
    last, real = len(features) - 1, len(senders)
    order = np.lexsort((senders, receivers))

    def pad(values, padding, dtype):
        return np.concatenate([values[order], np.full(edges - real, padding)]).astype(dtype)

    inputs = {
        "nodes": features,
        "senders": pad(senders, last, np.int32),
        "receivers": pad(receivers, last, np.int32),
    }
    inputs["sender_order"] = np.argsort(inputs["senders"], kind="stable").astype(np.int32)
    return inputs, {"label": pad(label, 0, np.float32), "weight": pad(weight, 0, np.float32)}


def real_graph(nodes, edges, seed):
    """Returns features, senders, receivers and labels of a random graph without padding."""
    inputs, targets = make_inputs(nodes + nodes // 7, edges, edges, seed)
    return inputs["nodes"][:nodes], inputs["senders"], inputs["receivers"], targets["label"]


def padded(features, senders, receivers, label, *, nodes, edges):
    """Returns inputs and targets of a graph padded to ``nodes`` nodes and ``edges`` edges."""
    rows = np.zeros((nodes, 3), np.float32)
    rows[: len(features)] = features
    return lay_out(rows, senders, receivers, label, np.ones(len(senders)), edges)


def graph(r, particle, edges, label, pt, *, pt_of, sector=(0.0, np.pi)):
    """Makes a graph as stored, with edges by receiver. phi is a tenth of r in half sectors, z is twice r."""
    # Figures that no test looks at are numbers in a row, ones, or zeros.
    r, particle = np.array(r, np.float32), np.array(particle, np.int32)
    numbers = np.arange(len(r), dtype=np.int32)
    ones = np.ones(len(pt_of), np.float32)
    return {
        "nodes": {
            "features": np.stack([r / 1000, r / 10, r / 500], axis=1),
            "hit": numbers,
            "layer": numbers,
            "particle": particle,
            "weight": np.full(len(r), 0.25, np.float32),
        },
        "edges": {
            "index": np.array(edges, np.int32),
            "features": np.zeros((len(edges), 4), np.float32),
            "label": np.array(label, np.uint8),
            "pt": np.array(pt, np.float32),
        },
        "particles": {
            "particle_id": ones.astype(np.int64),
            "pt": np.array(pt_of, np.float32),
            "eta": 0.5 * ones,
            "nhits": np.bincount(particle[particle >= 0]).astype(np.int32),
            "selected": ones.astype(np.uint8),
        },
        "lost_doublets": {"index": np.zeros((0, 2), np.int32)},
        "sector": {
            "event": np.zeros(1, np.int32),
            "phi": np.array(sector[:1], np.float32),
            "half_width": np.array(sector[1:], np.float32),
        },
    }
