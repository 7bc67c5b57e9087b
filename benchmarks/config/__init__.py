"""Configurations: the keys that every kind of workload has, and those of each kind."""

from benchmarks.config.kernels import KernelConfig
from benchmarks.config.run import BACKENDS, PRECISIONS, SMALL, RunConfig, option, step_differences
from benchmarks.config.serving import MAX_REQUEST_BYTES, ServingConfig, as_service
from benchmarks.config.training import TrainingConfig, as_training

__all__ = [
    "BACKENDS",
    "MAX_REQUEST_BYTES",
    "PRECISIONS",
    "SMALL",
    "KernelConfig",
    "RunConfig",
    "ServingConfig",
    "TrainingConfig",
    "as_service",
    "as_training",
    "option",
    "step_differences",
]
