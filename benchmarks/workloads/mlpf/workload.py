"""MLPF as the runner sees it."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from benchmarks.workload import Training
from benchmarks.workloads.mlpf.config import DECAY_RATE, DECAY_STEPS, MLPFConfig
from benchmarks.workloads.mlpf.events import ParticleFlowEvents, open_events
from benchmarks.workloads.mlpf.losses import mlpf_loss
from benchmarks.workloads.mlpf.metrics import ParticleFlowMetrics
from benchmarks.workloads.mlpf.model import MLPF


class MLPFWorkload:
    """The training of MLPF, as ``benchmarks.workload.Workload`` says."""

    def prepare(self, config: MLPFConfig, note: Callable[[str], None]) -> ParticleFlowEvents:
        """Opens the data set, and generates it first if the cache lacks it."""
        return open_events(config, note)

    def build(self, config: MLPFConfig, rng: np.random.Generator) -> Training:
        """Builds the published model, loss, optimiser and schedule."""
        schedule = keras.optimizers.schedules.ExponentialDecay(
            config.learning_rate, DECAY_STEPS, DECAY_RATE, staircase=True
        )
        return Training(
            model=MLPF(rng, bin_size=config.bin_size),
            loss=mlpf_loss,
            optimizer=keras.optimizers.Adam(schedule, epsilon=1e-7),
        )

    def metrics(self) -> ParticleFlowMetrics:
        """Returns an empty collection of the figures of merit."""
        return ParticleFlowMetrics()


WORKLOAD = MLPFWorkload()
