"""Figures of merit of MLPF on the validation events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.workload import Batch
from benchmarks.workloads.mlpf.config import CLASSES


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

    def update(self, predictions: np.ndarray, batch: Batch) -> None:
        """Adds predictions, laid out as ``model`` says, and the targets of their batch."""
        real = batch.inputs[..., 0] != 0
        predicted = predictions[real]
        targets = batch.targets[real]
        truth = targets[:, 0].astype(np.int64)
        cells = truth * CLASSES + predicted[:, :CLASSES].argmax(axis=-1)
        self._confusion += np.bincount(cells, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
        self._padding += int((~real).sum())
        for name, column in (("pt", 2), ("energy", 6)):
            comparable = (truth != 0) & (targets[:, column] > 0)
            # Targets start with the class, predictions with the class logits.
            ratio = predicted[comparable, column - 1 + CLASSES] / targets[comparable, column]
            self._responses[name].append(ratio.astype(np.float32))

    def merge(self, other: ParticleFlowMetrics) -> None:
        """Adds what another collection holds."""
        self._confusion += other._confusion
        self._padding += other._padding
        for name, parts in other._responses.items():
            self._responses[name] += parts

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
        """Returns an empty mapping, because no figure is broken down."""
        return {}
