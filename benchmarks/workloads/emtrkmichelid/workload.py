"""The patch classifier as the runner sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np

from benchmarks.workload import Training
from benchmarks.workloads.emtrkmichelid import events, model
from benchmarks.workloads.emtrkmichelid.config import PatchConfig
from benchmarks.workloads.emtrkmichelid.events import Patches, open_events
from benchmarks.workloads.emtrkmichelid.losses import cross_entropies
from benchmarks.workloads.emtrkmichelid.metrics import PatchMetrics


class PatchWorkload:
    """The service of the patch classifier, as ``benchmarks.workload.Service`` says."""

    def prepare(self, config: PatchConfig, note: Callable[[str], None]) -> Patches:
        """Opens the data set, and generates it first if the cache lacks it."""
        return open_events(config, note)

    def build(self, config: PatchConfig, rng: np.random.Generator) -> Training:
        """Builds the published network, and what a short training of it needs."""
        network = model.build_model(rng, config.precision)
        return Training(network, cross_entropies, keras.optimizers.Adam(config.learning_rate))

    def outputs(self) -> Mapping[str, int]:
        """Returns how many numbers each output has for a patch."""
        return model.OUTPUTS

    preprocess = staticmethod(events.preprocess)

    def metrics(self) -> PatchMetrics:
        """Returns an empty collection of the figures of merit."""
        return PatchMetrics()


WORKLOAD = PatchWorkload()
