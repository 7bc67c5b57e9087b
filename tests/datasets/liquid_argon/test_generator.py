from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.liquid_argon import generator
from datasets.liquid_argon.generator import LiquidArgonSettings, generate
from datasets.plots.page import plot
from datasets.store import open_store

SMALL = LiquidArgonSettings(train_patches=40, event_patches=90, seed=3)


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generator, "PATCHES_PER_BLOCK", 40)
        return generate(SMALL, tmp_path_factory.mktemp("argon") / "small", workers=1)


def test_all_patches_of_a_split_are_one_event(patches: Path):
    store = open_store(patches)
    for name, count in (("train", 40), ("validation", 90)):
        split = store.split(name)
        table = split.table("patches")
        assert len(split) == 1
        assert table.offsets.tolist() == [0, count]
        columns = table.columns
        assert (columns["images"].shape, columns["images"].dtype) == ((count, 48, 48), np.int16)
        for column in ("content", "michel"):
            assert (columns[column].shape, columns[column].dtype) == ((count,), np.uint8)
    assert store.manifest["settings"] == {"train_patches": 40, "event_patches": 90, "seed": 3}
    assert store.manifest["generator_version"] == generator.GENERATOR_VERSION


def test_same_seed_same_bytes_whatever_the_workers(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(generator, "PATCHES_PER_BLOCK", 40)
    calls: list[tuple[int, int]] = []
    again = generate(SMALL, tmp_path / "again", workers=2, progress=lambda *call: calls.append(call))
    assert (again / "manifest.json").read_bytes() == (patches / "manifest.json").read_bytes()
    assert calls == [(40, 130), (80, 130), (120, 130), (130, 130)]


def test_blocks_and_splits_and_seeds_differ(patches: Path, tmp_path: Path):
    table = open_store(patches).split("validation").table("patches")
    images = table.columns["images"]
    assert not np.array_equal(images[:40], images[40:80])
    assert not np.array_equal(
        images[:40], open_store(patches).split("train").table("patches").columns["images"]
    )
    other = open_store(generate(replace(SMALL, seed=4), tmp_path / "other", workers=1)).manifest
    assert other["files"] != open_store(patches).manifest["files"]


def test_the_key_names_the_settings():
    keys = {
        SMALL.key(),
        *(replace(SMALL, **{name: 7}).key() for name in ("train_patches", "event_patches", "seed")),
    }
    assert len(keys) == 4 and all(len(key) == 12 for key in keys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_patches": 0}, "train_patches and event_patches must be at least 1"),
        ({"event_patches": 0}, "train_patches and event_patches must be at least 1"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, int], message: str):
    with pytest.raises(DataError, match=message):
        replace(SMALL, **change)


def test_a_page_is_drawn(patches: Path, tmp_path: Path):
    pytest.importorskip("mplhep", reason="plots are drawn with matplotlib and mplhep")
    page = plot(patches, tmp_path / "page.png")
    assert page.read_bytes().startswith(b"\x89PNG") and page.stat().st_size > 100_000
