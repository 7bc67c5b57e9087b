"""A few generated events, small enough for a test."""

from pathlib import Path

import pytest

from datasets.delphes.generator import DelphesSettings, generate

SMALL = DelphesSettings(train_events=12, validation_events=4, pileup_mean=10, pool_events=40, seed=7)


def generate_small(folder: Path, settings: DelphesSettings, workers: int) -> Path:
    """Generates in blocks of 5 events, so that a few events fill several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.delphes.generator.EVENTS_PER_BLOCK", 5)
        return generate(settings, folder, workers=workers)
