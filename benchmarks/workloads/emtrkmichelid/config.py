"""Configuration and presets of the patch classifier, which can be read without a framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks.config import ServingConfig, option

PARAMETERS = 11_900_420
PATCH_BYTES = 4 * 48 * 48
FEATURE_MAP_BYTES = 4 * 44 * 44 * 48  # of a patch, after the convolution
# Guessing the most frequent class, track, is right for 0.45 of the patches.
MIN_ACCURACY = 0.75


@dataclass(frozen=True)
class PatchConfig(ServingConfig):
    """An inference service of the patch classifier, with the published sizes as defaults."""

    workload: ClassVar[str] = "emtrkmichelid"
    patch_bytes: ClassVar[int] = PATCH_BYTES

    event_patches: int = option(55_000, "patches of an event", low=1, high=10_000_000)
    train_patches: int = option(8_000, "patches that the model is trained on", low=1, high=10_000_000)
    train_epochs: int = option(3, "passes of the training, which is not scored", low=1, high=1000)
    train_batch: int = option(64, "patches of a training step", low=1, high=65_536)
    learning_rate: float = option(3e-4, "Adam's learning rate", low=1e-12, high=1.0)
    batch_size: int = option(1693, "patches of a call of local inference that is scored", low=1, high=65_536)
    other_batches: str = option("1,32,235", "more batch sizes of local inference, with commas between them")
    work_seconds: float = option(
        0.1, "seconds that a client computes for an event besides inference", low=0.0, high=3600.0
    )
    data_seed: int = option(1, "seed of generated patches", low=0, high=2**31 - 1)
    min_accuracy: float = option(MIN_ACCURACY, "accuracy below which a run has no score", low=0.0, high=1.0)

    def expected_memory_bytes(self) -> int:
        """Returns the peak memory that a run is expected to take, in bytes.

        The framework and Python take the constant part. The optimiser keeps two numbers for each weight, and
        a step has its gradients besides. A patch of the largest batch has its image and feature maps, and one
        of an event its image as stored and as float32.
        """
        weights = 5 * 4 * PARAMETERS
        batch = max(*self.batch_sizes(), 3 * self.train_batch) * (PATCH_BYTES + 2 * FEATURE_MAP_BYTES)
        event = self.event_patches * PATCH_BYTES * 3 // 2
        return 700_000_000 + weights + batch + event

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        """Returns a line that says how far the accuracy is below ``min_accuracy``, or an empty string."""
        accuracy = quality["accuracy"]
        if accuracy >= self.min_accuracy:
            return ""
        return f"accuracy: expected at least {self.min_accuracy:g}, got {accuracy:.4f}"


_SCORED: dict[str, Any] = {"repetitions": 5, "min_accuracy": 0.8, "clients": "1,2,4"}
_SWEEP: dict[str, Any] = {
    "clients": "1,2,4,8,16",
    "request_batches": "235,1693",
    "queue_delays": "0,2000,20000",
    "preferred_batches": "940,1880",
    "max_batch": 2048,
}

PRESETS: dict[str, PatchConfig] = {
    # A minute on two cores, data and training included.
    "smoke": PatchConfig(
        event_patches=5_000,
        train_patches=4_000,
        train_epochs=2,
        other_batches="235",
        repetitions=3,
        repetition_seconds=0.5,
        window_seconds=3.0,
        max_p99=5.0,
    ),
    # A whole event, and long enough for stable clocks.
    "hepscore": PatchConfig(repetition_seconds=10.0, window_seconds=20.0, **_SCORED),
    # The same in less time, for reference runs and slow machines.
    "hepscore-small": PatchConfig(event_patches=5_000, repetition_seconds=2.0, window_seconds=4.0, **_SCORED),
    # More batch sizes, up to one that fills a large GPU, more clients, and what joining requests does.
    "full": PatchConfig(
        other_batches="1,8,32,128,235,512,4096,8192",
        repetition_seconds=10.0,
        window_seconds=20.0,
        **_SCORED | _SWEEP,
    ),
}
