"""The short training that gives a served model its weights, which is not scored."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.backends import Backend
from benchmarks.config import ServingConfig
from benchmarks.errors import RunFailedError
from benchmarks.workload import Events, Service


def train_model(
    backend: Backend, service: Service, config: ServingConfig, events: Events, note: Callable[[str], None]
) -> Any:
    """Returns a model with the weights that the seed and the patches to train on decide.

    Args:
        backend: Of the run, configured.
        service: The workload.
        config: Of the run.
        events: The data set.
        note: Takes a line of text after each epoch.

    Raises:
        RunFailedError: The loss is lost.
    """
    training = service.build(config, np.random.default_rng(config.seed))
    step = backend.train_step(training, config.xla == "on")
    for epoch in range(config.train_epochs):
        losses = [
            step(backend.put(batch.inputs), backend.put(batch.targets))
            for batch in events.batches("train", config.train_batch, purpose="training")
        ]
        loss = math.fsum(float(loss) for loss in losses) / len(losses)
        note(f"training, epoch {epoch + 1} of {config.train_epochs}: loss {loss:.4g}")
        if not math.isfinite(loss):
            raise RunFailedError(f"did not train: the loss is {loss} in epoch {epoch}")
    return training.model
