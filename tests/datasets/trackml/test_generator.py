import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.store import open_store
from datasets.trackml.columns import HIT_COLUMNS, PARTICLE_COLUMNS, read_event
from datasets.trackml.generator import TrackMLSettings, generate

SMALL = TrackMLSettings(5, 2, pileup_mean=5, pool_events=20, noise=0.1, seed=7)


def needs_generators() -> None:
    pytest.importorskip("pythia8mc", reason="events are made with pythia8mc")
    pytest.importorskip("acts", reason="events are simulated with pyacts")


@pytest.mark.slow
def test_a_small_data_set_is_the_same_for_one_worker_and_for_two(tmp_path: Path):
    needs_generators()
    calls: list[tuple[int, int]] = []
    one = generate(SMALL, tmp_path / "one", workers=1, progress=lambda *call: calls.append(call))
    two = generate(SMALL, tmp_path / "two", workers=2)
    assert (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()
    assert calls == [(20, 27), (24, 27), (25, 27), (27, 27)]

    store = open_store(one)
    assert {name: len(split) for name, split in store.splits.items()} == {"train": 5, "validation": 2}
    events = [read_event(split, index) for split in store.splits.values() for index in range(len(split))]
    for event in events:
        for columns, layout in ((event.hits, HIT_COLUMNS), (event.particles, PARTICLE_COLUMNS)):
            assert set(columns) == set(layout)
            assert all(columns[name].dtype == kind for name, (kind, _) in layout.items())
        assert event.hits["weight"].sum() == pytest.approx(1, abs=1e-5)
        assert event.hits["hit_id"].tolist() == list(range(1, len(event.hits["hit_id"]) + 1))
    assert len({event.hits["position"].tobytes() for event in events}) == 7  # no event twice

    manifest = store.manifest
    assert manifest["source"] == "generated"
    assert "6:m0 = 172.5" in manifest["pythia"]["ttbar"]
    assert manifest["generator_version"] == 2
    assert manifest["settings"] == {
        "train_events": 5, "validation_events": 2, "pileup_mean": 5.0, "pool_events": 20, "seed": 7,
        "noise": 0.1,
    }  # fmt: skip
    assert set(manifest["versions"]) == {"hepbench", "numpy", "pyacts", "pythia8mc"}
    assert str(tmp_path) not in (one / "manifest.json").read_text()


@pytest.mark.slow
def test_a_full_event_has_the_size_of_the_challenge(tmp_path: Path):
    needs_generators()
    folder = generate(TrackMLSettings(2, 1, pool_events=400, seed=3), tmp_path / "full", workers=1)
    train = open_store(folder).split("train")
    for event in (read_event(train, 0), read_event(train, 1)):
        hits, particles = event.hits, event.particles
        assert 70_000 < len(hits["hit_id"]) < 140_000
        assert 7_000 < len(particles["particle_id"]) < 13_500
        # the figures of two of the challenge's events: 8.5 hits, 13.7 % without any, primaries 10.1 and 8.5 %
        assert 9.5 < particles["nhits"].mean() < 11.5
        px, py, pz = particles["momentum"].T.astype(float)
        pt = np.hypot(px, py)
        eta = np.arcsinh(pz / pt)
        assert ((pt > 0.1) & (np.abs(eta) < 4)).mean() > 0.99  # the rest was made on the way
        assert np.histogram(eta, 4, (-4, 4))[0] / len(eta) == pytest.approx(0.25, abs=0.04)
        assert np.quantile(pt, (0.1, 0.5, 0.9)) == pytest.approx([0.174, 0.442, 1.187], rel=0.1)
        central = np.hypot(*particles["vertex"][:, :2].T) < 0.1
        assert central.mean() > 0.95
        assert particles["vertex"][central, 2].std() == pytest.approx(5.5, rel=0.3)


def test_the_key_names_the_settings():
    key = SMALL.key()
    assert key == replace(SMALL, pileup_mean=5.0).key() and len(key) == 12
    for change in ({"seed": 8}, {"pileup_mean": 6}, {"train_events": 6}, {"pool_events": 21}, {"noise": 0}):
        assert replace(SMALL, **change).key() != key


def test_events_of_another_version_have_another_place_in_the_cache(monkeypatch: pytest.MonkeyPatch):
    key = SMALL.key()
    monkeypatch.setattr(TrackMLSettings, "generator_version", 1)
    assert SMALL.key() != key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validation_events": 0}, "must be at least 1"),
        ({"pileup_mean": 1001}, "pileup_mean must lie between 0 and 1000, got 1001"),
        ({"noise": -0.1}, "noise must lie between 0 and 0.5, got -0.1"),
        ({"noise": 0.6}, "noise must lie between 0 and 0.5, got 0.6"),
        ({"noise": float("nan")}, "noise must lie between"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, float], message: str):
    with pytest.raises(DataError, match=message):
        TrackMLSettings(**{"train_events": 1, "validation_events": 1, **change})


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("pythia8mc", "pythia8mc", "data"), ("datasets.trackml.fatras", "pyacts", "tracking")],
)
def test_without_a_generator_the_extra_is_named(
    module: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if package == "pythia8mc":
        pytest.importorskip("acts", reason="pyacts is asked for first")
    monkeypatch.delattr("datasets.trackml.fatras", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"\({package}\), which is not installed: pip install '\.\[{extra}\]'; or bring events"
    with pytest.raises(DataError, match=message):
        generate(SMALL, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_importing_is_cheap():
    script = (
        "import sys, datasets.trackml.generator, datasets.trackml.public\n"
        "print({'acts', 'pythia8mc', 'matplotlib'} & set(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "set()"
