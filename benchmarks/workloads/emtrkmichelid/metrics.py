"""Figures of merit of the patch classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Batch
from datasets.liquid_argon.patches import NONE, SHOWER, TRACK

NAMES = {TRACK: "track", SHOWER: "shower", NONE: "none"}
THRESHOLD = 0.5  # of the output for Michel electrons


class PatchMetrics:
    """Accuracy of the contents, recall of each, and efficiency and purity of Michel electrons."""

    def __init__(self) -> None:
        self._confusion = np.zeros((len(NAMES), len(NAMES)), np.int64)  # true class, predicted class
        self._michel = np.zeros((2, 2), np.int64)  # true, predicted

    def update(self, predictions: Sequence[np.ndarray], batch: Batch) -> None:
        """Takes in the outputs ``classes`` and ``michel`` for a batch."""
        classes, michel = predictions
        true_classes, true_michel = batch.targets
        np.add.at(self._confusion, (true_classes.argmax(axis=1), classes.argmax(axis=1)), 1)
        chosen = (michel[:, 0] > THRESHOLD).astype(np.int64)
        np.add.at(self._michel, (true_michel[:, 0].astype(np.int64), chosen), 1)

    def merge(self, other: PatchMetrics) -> None:
        """Takes in what another of its kind has collected."""
        self._confusion += other._confusion
        self._michel += other._michel

    def result(self) -> dict[str, float]:
        """Returns the figures over all batches so far. A figure without patches is 0."""
        totals = self._confusion.sum(axis=1)
        recalls = self._confusion.diagonal() / np.maximum(totals, 1)
        found = self._michel[1, 1]
        return {
            "accuracy": float(self._confusion.trace() / totals.sum()),
            **{f"{name}_recall": float(recalls[kind]) for kind, name in NAMES.items()},
            "michel_efficiency": float(found / max(self._michel[1].sum(), 1)),
            "michel_purity": float(found / max(self._michel[:, 1].sum(), 1)),
        }

    def breakdown(self) -> Mapping[str, Any]:
        """Returns an empty mapping, because no figure is broken down."""
        return {}
