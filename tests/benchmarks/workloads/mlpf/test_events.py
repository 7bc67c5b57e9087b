"""Padded batches out of a store made by hand."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.workloads.mlpf.config import PRESETS
from benchmarks.workloads.mlpf.events import cached_folder, open_events
from datasets.errors import DataError
from datasets.store import Writer

SIZES = {"train": [3, 5, 9], "validation": [2, 4]}


def store_events(folder: Path, **about: object) -> Path:
    """Stores events whose rows all hold their own number, counted from 1 within the split."""
    with Writer(folder) as writer:
        for split, sizes in SIZES.items():
            number = np.arange(1, sum(sizes) + 1, dtype=np.float32)[:, None]
            columns = {"inputs": np.tile(number, 12), "targets": np.tile(number, 7)}
            writer.append(split, "elements", sizes, columns)
        return writer.finish(about)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_events(tmp_path_factory.mktemp("stored") / "data", generator="hand")


def configured(folder, **changes):
    values = {"train_events": 3, "validation_events": 2, "pad_to": 8, "bin_size": 2, "data": str(folder)}
    return dataclasses.replace(PRESETS["smoke"], batch_size=2, **{**values, **changes})


def test_rows_come_in_stored_order_and_the_rest_is_zero(stored):
    first, last = open_events(configured(stored), print).batches("train", 2)
    assert first.inputs.shape == (2, 8, 12)
    assert first.targets.shape == (2, 8, 7)
    assert first.inputs[0, :, 0].tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    assert first.targets[1, :, 6].tolist() == [4, 5, 6, 7, 8, 0, 0, 0]
    assert (first.events, first.elements, first.padded_elements) == (2, 8, 16)
    assert (last.events, last.elements, last.padded_elements) == (1, 8, 8), "one of nine rows is cut off"


def test_targets_are_not_built_for_inference(stored):
    events = open_events(configured(stored), print)
    for complete, batch in zip(
        events.batches("validation", 1), events.batches("validation", 1, purpose="inference"), strict=True
    ):
        assert batch.targets is None
        assert (batch.inputs == complete.inputs).all()
        assert (batch.events, batch.elements) == (complete.events, complete.elements)
    for batch in events.batches("train", 1, purpose="training"):
        assert batch.targets is not None


def test_ranks_take_turns_and_the_loss_is_divided_by_all_rows(stored):
    """Events of 3, 5 and 8 rows: the first and the third on rank 0, the second on rank 1."""
    events = open_events(configured(stored), print)
    shared = [list(events.batches("train", 1, rank, 2)) for rank in (0, 1)]
    assert [[batch.elements for batch in batches] for batches in shared] == [[3, 8], [5]]
    assert list(events.batches("train", 3, 1, 2)) == []
    (whole,) = events.batches("train", 3)
    assert whole.denominators == (3 * 8,)


def test_what_is_cut_off_is_told(stored):
    events = open_events(configured(stored), print)
    about = events.description()
    assert about["elements"] == 3 + 5 + 9 + 2 + 4
    assert about["elements_cut_off"] == 1
    assert about["generator"] == "hand"
    assert len(events.sha256) == 64


def test_buckets_take_the_shortest_even_number_of_bins(stored):
    events = open_events(configured(stored, padding="buckets", pad_to=12), print)
    assert [b.inputs.shape[1] for b in events.batches("train", 1)] == [4, 8, 12]


def test_fewer_events_than_stored_may_be_asked_for(stored):
    events = open_events(configured(stored, train_events=2), print)
    assert sum(batch.events for batch in events.batches("train", 2)) == 2


def test_more_events_than_stored_are_refused(stored):
    with pytest.raises(DataError, match="expected at least 4 train events, got 3; lower --set train_events"):
        open_events(configured(stored, train_events=4), print)


def test_events_of_an_older_generator_are_refused(tmp_path):
    folder = store_events(tmp_path / "old", generator="hepbench delphes", generator_version=1)
    with pytest.raises(
        DataError, match=r"old: expected generator_version 2, got 1, .* hepbench data generate$"
    ):
        open_events(configured(folder), print)
    current = store_events(tmp_path / "current", generator="hepbench delphes", generator_version=2)
    assert open_events(configured(current), print).description()["generator_version"] == 2


def test_toy_events_are_made_without_pythia_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPBENCH_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    config = dataclasses.replace(PRESETS["cpu-check"], train_events=2, validation_events=1, threads=1)
    events = open_events(config, print)
    assert events.description()["generator"] == "hepbench toy"
    assert [batch.events for batch in events.batches("train", 2)] == [2]
    assert cached_folder(config) != cached_folder(dataclasses.replace(config, generator="pythia"))


@pytest.mark.parametrize(
    ("maker", "generator", "message"),
    [
        (
            "hepbench toy",
            "pythia",
            "expected pythia, got events of hepbench toy; add --set generator=toy",
        ),
        ("hand", "toy", "expected toy, got events of hand; leave out --set generator=toy"),
    ],
)
def test_toy_events_are_taken_only_if_the_configuration_says_so(tmp_path, maker, generator, message):
    folder = store_events(tmp_path / "data", generator=maker)
    with pytest.raises(DataError, match=message):
        open_events(configured(folder, generator=generator), print)
