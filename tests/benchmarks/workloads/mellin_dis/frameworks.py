"""Compares the forms of one framework with the loop: python -m tests...frameworks BACKEND, which prints JSON.

A framework has a process of its own, because Keras has one backend in a process.
"""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np

from benchmarks import backends
from benchmarks.workloads.mellin_dis.config import PRESETS
from benchmarks.workloads.mellin_dis.cross_section import make_theory
from benchmarks.workloads.mellin_dis.ensembles import in_chunks, make_ensembles
from benchmarks.workloads.mellin_dis.events import sample_events
from benchmarks.workloads.mellin_dis.implementations import FACTORIES, implementations
from benchmarks.workloads.mellin_dis.partons import NAMES, input_moments, normalised_partons

STEP = 1e-5  # relative, of a parameter


def main(name: str) -> None:
    """Prints the largest relative deviation of each form, or why there is none, and that of the gradient."""
    config = backends.restrict(dataclasses.replace(PRESETS["smoke"], backend=name, threads=1), 1)
    backend = backends.load(name)
    backend.configure(config.with_auto_resolved(backend.device(), None))
    ensembles = make_ensembles(make_theory(), *sample_events(100, seed=2), seed=1, spread=0.02)
    theory, x, q2 = ensembles.theory, ensembles.x, ensembles.q2
    moments = np.stack([ensembles.moments(replica) for replica in range(2)])
    expected = FACTORIES["loop"](theory, x, q2, None)(moments)

    # Above x = 0.8, large terms of the contour cancel.
    answers: dict[str, float | str] = {}
    for form, item in implementations().items():
        if not item.needs_backend:
            continue
        if reason := backends.missing_compiler(name, item.compiler):
            answers[form] = reason
            continue
        deviations = np.abs(FACTORIES[form](theory, x, q2, backend)(moments) / expected - 1)
        answers[form] = float(deviations[..., x < 0.8].max())

    # The gradient is compared with differences of the loss, in units of its largest component.
    from benchmarks.workloads.mellin_dis.gradient import LossGradient

    partons, weights = ensembles.partons(0), ensembles.weights(0)

    def loss(index: int, sign: int) -> float:
        parameters = partons.parameters.copy()
        parameters[index] *= 1 + sign * STEP
        modes = theory.modes(input_moments(normalised_partons(parameters), theory.contour.nodes))
        return ensembles.loss(in_chunks(theory, x, q2, modes), weights)

    _, gradient = LossGradient(ensembles, backend, xla=True)(partons, weights)
    differences = [
        (loss(index, 1) - loss(index, -1)) / (2 * STEP * partons.parameters[index])
        for index in range(len(NAMES))
    ]
    deviation = np.abs(gradient - differences).max() / np.abs(differences).max()
    print(json.dumps({"forms": answers, "gradient": float(deviation)}))


if __name__ == "__main__":
    main(sys.argv[1])
