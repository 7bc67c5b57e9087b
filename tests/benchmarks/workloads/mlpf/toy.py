"""Toy particle-flow events for tests: the right layout, no physics."""

import numpy as np


def toy_events(events, elements, real, seed=1):
    """Makes inputs, (events, elements, 12), and targets, (events, elements, 7), with ``real`` rows filled."""
    rng = np.random.default_rng(seed)
    inputs = np.zeros((events, elements, 12), np.float32)
    targets = np.zeros((events, elements, 7), np.float32)
    shape = (events, real)
    pt, eta, phi = rng.exponential(1.0, shape) + 0.2, rng.uniform(-3, 3, shape), rng.uniform(-3, 3, shape)
    inputs[:, :real, 0] = np.where(np.arange(real) < real // 2, 2, 1)
    inputs[:, :real, 1:6] = np.stack([pt, eta, np.sin(phi), np.cos(phi), pt * np.cosh(eta)], axis=-1)
    inputs[:, :real, 6:9] = rng.normal(0, 1, (*shape, 3))
    kind = rng.integers(0, 6, shape)
    targets[:, :real, 0] = kind
    targets[:, :real, 1] = kind == 1
    targets[:, :real, 2:] = inputs[:, :real, 1:6] * rng.uniform(0.9, 1.1, (*shape, 1))
    targets[:, :real] *= (kind > 0)[..., None]
    return inputs, targets
