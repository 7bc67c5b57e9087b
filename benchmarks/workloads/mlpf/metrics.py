"""Figures of merit of MLPF on the validation events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import plots
from benchmarks.workload import Batch
from benchmarks.workloads.mlpf.config import CLASSES

CLASS_NAMES = ("none", "ch. hadron", "n. hadron", "photon", "electron", "muon")
_RESPONSE_EDGES = np.linspace(0.0, 2.0, 81)
_MULTIPLICITY_EDGES = np.geomspace(10.0, 10_000.0, 91)
_COMMON = (1, 2, 3)  # classes with enough particles in each event for a distribution of their own


class ParticleFlowMetrics:
    """Classification accuracy and momentum response, collected batch by batch.

    - ``accuracy``: share of the real elements whose class is right.
    - ``accuracy_padded``: the original benchmark's figure, in which padded rows count, too, and always as
      right. This is the one to compare with published values.
    - ``recall_macro``: share of a class that is recognised, as the mean over the classes that occur.
    - ``pt_response_median`` and ``energy_response_median``: predicted over true, for real elements with
      a particle.
    - ``pt_response_iqr`` and ``energy_response_iqr``: the distance between the quartiles of the same.
    """

    def __init__(self) -> None:
        self._confusion = np.zeros((CLASSES, CLASSES), np.int64)  # [true, predicted]
        self._padding = 0
        self._responses: dict[str, list[np.ndarray]] = {"pt": [], "energy": []}
        self._response_classes: dict[str, list[np.ndarray]] = {"pt": [], "energy": []}
        # Elements of each class in each event, (events, CLASSES).
        self._multiplicities: dict[str, list[np.ndarray]] = {"true": [], "predicted": []}

    def update(self, predictions: np.ndarray, batch: Batch) -> None:
        """Adds predictions, laid out as ``model`` says, and the targets of their batch."""
        real = batch.inputs[..., 0] != 0
        predicted = predictions[real]
        targets = batch.targets[real]
        truth = targets[:, 0].astype(np.int64)
        recognised = predicted[:, :CLASSES].argmax(axis=-1)
        self._confusion += _pair_counts(truth, recognised, CLASSES)
        self._padding += int((~real).sum())
        event = np.nonzero(real)[0]
        for name, classes in (("true", truth), ("predicted", recognised)):
            self._multiplicities[name].append(_pair_counts(event, classes, len(real)))
        for name, column in (("pt", 2), ("energy", 6)):
            comparable = (truth != 0) & (targets[:, column] > 0)
            # Targets start with the class, predictions with the class logits.
            ratio = predicted[comparable, column - 1 + CLASSES] / targets[comparable, column]
            self._responses[name].append(ratio.astype(np.float32))
            self._response_classes[name].append(truth[comparable].astype(np.int8))

    def merge(self, other: ParticleFlowMetrics) -> None:
        """Adds what another collection holds."""
        self._confusion += other._confusion
        self._padding += other._padding
        for collected, more in (
            (self._responses, other._responses),
            (self._response_classes, other._response_classes),
            (self._multiplicities, other._multiplicities),
        ):
            for name, parts in more.items():
                collected[name] += parts

    def result(self) -> dict[str, float]:
        """Returns the figures of merit over all batches so far."""
        right = int(np.trace(self._confusion))
        real = int(self._confusion.sum())
        present = self._confusion.sum(axis=1)
        recall = np.diag(self._confusion)[present > 0] / present[present > 0]
        figures = {
            "accuracy": right / real,
            "accuracy_padded": (right + self._padding) / (real + self._padding),
            "recall_macro": float(recall.mean()),
        }
        for name, parts in self._responses.items():
            low, median, high = np.quantile(np.concatenate(parts), (0.25, 0.5, 0.75))
            figures[f"{name}_response_median"] = float(median)
            figures[f"{name}_response_iqr"] = float(high - low)
        return figures

    def breakdown(self) -> Mapping[str, Any]:
        """Returns plots of classification, response and multiplicities, as ``benchmarks.plots`` has them."""
        multiplicities = {name: np.concatenate(parts) for name, parts in self._multiplicities.items()}
        particles = {name: counts[:, 1:].sum(axis=1) for name, counts in multiplicities.items()}
        return {
            "plots": [
                plots.matrix(
                    "Particle classes", ("Predicted class", "True class"), CLASS_NAMES, self._confusion
                ),
                self._response_plot("pt", "Momentum response", "$p_T$"),
                self._response_plot("energy", "Energy response", "Energy"),
                plots.histogram(
                    "Particles in an event",
                    ("Particles in an event", "Events"),
                    _MULTIPLICITY_EDGES,
                    particles,
                    log="x",
                ),
                plots.histogram(
                    "Multiplicity response",
                    ("Particles in an event, predicted / true", "Events"),
                    _RESPONSE_EDGES,
                    {CLASS_NAMES[kind]: _ratios(multiplicities, kind) for kind in _COMMON},
                ),
            ]
        }

    def _response_plot(self, name: str, title: str, quantity: str) -> plots.Plot:
        """Returns the distribution of predicted over true values, for all classes and for the common ones."""
        response = np.concatenate(self._responses[name])
        classes = np.concatenate(self._response_classes[name])
        series = {CLASS_NAMES[kind]: response[classes == kind] for kind in _COMMON}
        labels = (f"{quantity}, predicted / true", "Particles")
        return plots.histogram(title, labels, _RESPONSE_EDGES, {"all": response, **series}, log="y")


def _pair_counts(first: np.ndarray, second: np.ndarray, rows: int) -> np.ndarray:
    """Counts pairs of a row and a class; returns (rows, CLASSES) int64."""
    return np.bincount(first * CLASSES + second, minlength=rows * CLASSES).reshape(rows, CLASSES)


def _ratios(multiplicities: Mapping[str, np.ndarray], kind: int) -> np.ndarray:
    """Returns predicted over true numbers of a class, of the events that have such particles."""
    true, predicted = (multiplicities[name][:, kind] for name in ("true", "predicted"))
    ratios: np.ndarray = predicted[true > 0] / true[true > 0]
    return ratios
