"""Figures of merit of MLPF on the validation events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.workload import Batch
from benchmarks.workloads.mlpf.config import CLASSES


class ParticleFlowMetrics:
    """Classification accuracy and momentum response, collected batch by batch.

    ``accuracy``: share of real elements whose class is right. ``accuracy_padded``: the original's
    own figure, over padded rows too, which always count as right; the one to compare with published
    values. ``recall_macro``: mean over the classes present of the share found.
    ``pt_response_median`` and ``energy_response_median``: predicted over true, for real elements with
    a particle; ``..._iqr``: the distance between the quartiles.
    """

    def __init__(self) -> None:
        self._confusion = np.zeros((CLASSES, CLASSES), np.int64)  # [true, predicted]
        self._padding = 0
        self._responses: dict[str, list[np.ndarray]] = {"pt": [], "energy": []}

    def update(self, predictions: np.ndarray, batch: Batch) -> None:
        """Takes in predictions laid out as ``model`` says."""
        real = batch.inputs[..., 0] != 0
        predicted = predictions[real]
        targets = batch.targets[real]
        truth = targets[:, 0].astype(np.int64)
        cells = truth * CLASSES + predicted[:, :CLASSES].argmax(axis=-1)
        self._confusion += np.bincount(cells, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
        self._padding += int((~real).sum())
        for name, column in (("pt", 2), ("energy", 6)):
            known = (truth != 0) & (targets[:, column] > 0)
            # Targets start with the class, predictions with the class logits.
            ratio = predicted[known, column - 1 + CLASSES] / targets[known, column]
            self._responses[name].append(ratio.astype(np.float32))

    def merge(self, other: ParticleFlowMetrics) -> None:
        """Takes in what another of its kind has collected."""
        self._confusion += other._confusion
        self._padding += other._padding
        for name, parts in other._responses.items():
            self._responses[name] += parts

    def result(self) -> dict[str, float]:
        """The figures over all batches so far."""
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
        """Nothing: the figures are whole."""
        return {}
