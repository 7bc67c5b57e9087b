"""Settings that every generator of events has."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from datasets.errors import DataError
from datasets.store import FORMAT_VERSION


@dataclass(frozen=True)
class EventSettings:
    """Settings of generated events. Equal settings give equal events.

    Args:
        train_events: Number of events in the split "train".
        validation_events: Number of events in the split "validation".
        pileup_mean: Mean number of pile-up collisions per event, from 0 to 1000.
        seed: Any whole number from 0.
    """

    generator_version: ClassVar[int]
    """Version of the generator, raised when equal settings begin to give different events."""

    train_events: int
    validation_events: int
    pileup_mean: float = 200.0
    seed: int = 0

    def __post_init__(self) -> None:
        counts = [field.name for field in fields(self) if field.name.endswith("_events")]
        if min(getattr(self, name) for name in counts) < 1:
            raise DataError(f"{', '.join(counts[:-1])} and {counts[-1]} must be at least 1")
        if not 0.0 <= self.pileup_mean <= 1000.0:
            raise DataError(f"pileup_mean must lie between 0 and 1000, got {self.pileup_mean}")
        object.__setattr__(self, "pileup_mean", float(self.pileup_mean))  # 200 and 200.0 are one key
        if self.seed < 0:
            raise DataError(f"seed must not be negative, got {self.seed}")

    def key(self) -> str:
        """Returns 12 hexadecimal digits that name these settings, for cache folders."""
        return settings_key(self, self.generator_version)


def settings_key(settings: Any, generator_version: int) -> str:
    """Returns 12 hexadecimal digits that name settings and what they give.

    Args:
        settings: Any dataclass of JSON values.
        generator_version: Version of the generator that the settings are for.
    """
    versions = {"format_version": FORMAT_VERSION, "generator_version": generator_version}
    text = json.dumps({**asdict(settings), **versions}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
