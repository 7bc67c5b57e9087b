"""What the runner hands to a kind of workload for measuring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.backends import Backend
from benchmarks.config import RunConfig
from benchmarks.progress import Progress
from benchmarks.ranks.meeting import Meeting
from benchmarks.ranks.world import World


class ResultFields(dict[str, Any]):
    """Fields of the result, filled in as they become known, so that a broken run keeps what it has."""


@dataclass(frozen=True)
class Context:
    """A run on one of its ranks.

    Attributes:
        backend: The framework's runtime, configured.
        requested: The configuration before it was divided among the ranks.
        config: Of this rank, without a key that is ``auto``.
        events: The data set, as the workload's ``prepare`` returned it.
        progress: Takes what a person is to see.
        world: The ranks.
        meeting: Where the copies of the run meet.
        fields: Of the result; the kind fills in what it measures.
    """

    backend: Backend
    requested: RunConfig
    config: RunConfig
    events: Any
    progress: Progress
    world: World
    meeting: Meeting
    fields: ResultFields
