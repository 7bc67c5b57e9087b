"""Patches out of the store."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import UsageError
from benchmarks.workloads.emtrkmichelid.config import PRESETS
from benchmarks.workloads.emtrkmichelid.events import cached_folder, make, open_events, preprocess
from datasets.errors import DataError

TINY = dataclasses.replace(
    PRESETS["smoke"],
    train_patches=20,
    event_patches=30,
    train_batch=8,
    batch_size=8,
    other_batches="1",
    threads=1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(TINY, tmp_path_factory.mktemp("patches") / "tiny", lambda _: None)


def test_batches_go_through_all_patches_in_stored_order(folder: Path) -> None:
    events = open_events(dataclasses.replace(TINY, data=str(folder)), lambda _: None)
    batches = list(events.batches("validation", 8))
    assert [batch.events for batch in batches] == [8, 8, 8, 6]
    inputs = np.concatenate([batch.inputs for batch in batches])
    np.testing.assert_array_equal(inputs, preprocess(events.raw()))
    for batch in batches:
        classes, michel = batch.targets
        assert classes.sum(axis=1) == pytest.approx(1)
        assert set(np.unique(michel)) <= {0, 1}
        assert (classes[michel[:, 0] == 1, 1] == 1).all()  # a Michel electron is a shower
    assert next(events.batches("train", 20, purpose="inference")).targets is None
    assert len(events.sha256) == 64
    assert "files" not in events.description()


def test_more_patches_than_are_stored_are_refused(folder: Path) -> None:
    config = dataclasses.replace(TINY, data=str(folder), event_patches=31)
    with pytest.raises(
        DataError, match="expected at least 31 patches in validation, got 30; lower --set event"
    ):
        open_events(config, lambda _: None)


def test_there_are_no_intermediate_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="emtrkmichelid has none; leave the option out"):
        make(TINY, tmp_path / "x", lambda _: None, intermediate=tmp_path)


def test_the_place_in_the_cache_depends_on_what_decides_the_patches() -> None:
    changes = ({}, {"event_patches": 31}, {"train_patches": 21}, {"data_seed": 2}, {"batch_size": 4})
    folders = [cached_folder(dataclasses.replace(TINY, **change)) for change in changes]
    assert len(set(folders)) == 4
    assert folders[0] == folders[-1]
