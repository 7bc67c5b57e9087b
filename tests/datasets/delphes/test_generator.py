import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets import pythia
from datasets.delphes.generator import DelphesSettings, generate
from datasets.errors import DataError
from datasets.store import open_store
from tests.datasets.delphes.small import SMALL, generate_small


def test_the_store_has_the_public_format(small_store: Path):
    store = open_store(small_store)
    for name, events in (("train", 12), ("validation", 4)):
        split = store.split(name)
        assert len(split) == events
        table = split.table("elements")
        inputs, targets = table.columns["inputs"], table.columns["targets"]
        assert inputs.dtype == targets.dtype == np.float32
        assert inputs.shape == (table.offsets[-1], 12) and targets.shape == (table.offsets[-1], 7)
        assert np.isfinite(inputs).all() and np.isfinite(targets).all()
        assert set(np.unique(inputs[:, 0])) == {1.0, 2.0}
        assert set(np.unique(targets[:, 0])) <= set(range(6))
        for start, stop in zip(table.offsets[:-1], table.offsets[1:], strict=True):
            assert np.diff(inputs[start:stop, 0]).max() <= 0  # tracks (2) first
        assert np.hypot(inputs[:, 3], inputs[:, 4]) == pytest.approx(1, abs=1e-5)


def test_the_manifest_says_what_made_the_data_and_nothing_of_the_machine(small_store: Path):
    manifest = open_store(small_store).manifest
    assert manifest["settings"] == {
        "train_events": 12, "validation_events": 4, "pileup_mean": 10.0, "pool_events": 40, "seed": 7
    }  # fmt: skip
    assert manifest["processes"] == {"train": "ttbar", "validation": "qcd"}
    assert set(manifest["versions"]) == {"hepbench", "numpy", "pythia8mc"}
    assert "Beams:eCM = 14000." in manifest["pythia"]["minimum_bias"]
    assert all("6:m0 = 172.5" in manifest["pythia"][process] for process in ("ttbar", "qcd"))
    assert manifest["generator_version"] == 2
    assert str(small_store.parent) not in (small_store / "manifest.json").read_text()


def test_same_seed_same_bytes_whatever_the_workers(small_store: Path, tmp_path: Path):
    again = generate_small(tmp_path / "again", SMALL, workers=1)
    assert (again / "manifest.json").read_bytes() == (small_store / "manifest.json").read_bytes()


def test_another_seed_gives_other_events_and_progress_counts_to_the_end(small_store: Path, tmp_path: Path):
    calls: list[tuple[int, int]] = []
    folder = generate(
        replace(SMALL, seed=8), tmp_path / "other", workers=2, progress=lambda *call: calls.append(call)
    )
    files, different_files = (open_store(path).manifest["files"] for path in (small_store, folder))
    assert all(files[name]["sha256"] != different_files[name]["sha256"] for name in files)
    assert calls == [(40, 56), (52, 56), (56, 56)]


def test_the_key_names_the_settings():
    key = SMALL.key()
    assert key == replace(SMALL, pileup_mean=10.0).key() and len(key) == 12
    for change in ({"seed": 8}, {"pileup_mean": 11}, {"train_events": 13}, {"pool_events": 41}):
        assert replace(SMALL, **change).key() != key


def test_events_of_another_version_have_another_place_in_the_cache(monkeypatch: pytest.MonkeyPatch):
    key = SMALL.key()
    monkeypatch.setattr(DelphesSettings, "generator_version", 1)
    assert SMALL.key() != key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_events": 0}, "must be at least 1"),
        ({"pool_events": 0}, "must be at least 1"),
        ({"pileup_mean": -1}, "pileup_mean must lie between 0 and 1000, got -1"),
        ({"pileup_mean": float("nan")}, "pileup_mean must lie between"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, float], message: str):
    with pytest.raises(DataError, match=message):
        DelphesSettings(**{"train_events": 1, "validation_events": 1, **change})


def test_pythia_is_silent_seeded_and_keeps_long_lived_particles(capfd: pytest.CaptureFixture[str]):
    pytest.importorskip("pythia8mc", reason="events are made with pythia8mc")
    first, second, other = (list(pythia.events("ttbar", seed, 3)) for seed in (1, 1, 2))
    assert capfd.readouterr() == ("", "")
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])
    particles = np.concatenate(first)
    assert particles.dtype == pythia.PARTICLE
    assert not np.isin(np.abs(particles["pdg"]), (12, 14, 16, 111, 421)).any()
    assert np.isin((211, 22, 130, 310), np.abs(particles["pdg"])).all()
    assert np.abs(particles["eta"]).max() < pythia.ETA_MAX
    charge = dict(zip(particles["pdg"].tolist(), particles["charge"].tolist(), strict=True))
    assert (charge[211], charge[-211], charge[22], charge[130]) == (1, -1, 0, 0)


def test_without_pythia_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(DataError, match=r"pip install '\.\[data\]'"):
        generate(SMALL, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_no_workers_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="workers must be at least 1, got 0"):
        generate(SMALL, tmp_path / "data", workers=0)


def test_importing_is_cheap():
    script = (
        "import sys, datasets.delphes.generator, datasets.delphes.fetch, datasets.delphes.public\n"
        "import datasets.plots.delphes\n"
        "print({'pythia8mc', 'pooch', 'matplotlib', 'mplhep'} & set(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "set()"
