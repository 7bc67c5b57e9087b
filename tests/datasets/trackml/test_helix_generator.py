import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.graphs.dataset import GraphSettings, build
from datasets.pythia import PARTICLE
from datasets.store import open_store
from datasets.trackml import helix_simulation
from datasets.trackml.columns import HIT_COLUMNS, PARTICLE_COLUMNS, read_event
from datasets.trackml.generator import TrackMLSettings
from datasets.trackml.helix_generator import HelixSettings, generate
from datasets.trackml.helix_simulation import draw_particles, propagate, simulate_helices
from datasets.trackml.layers import LAYERS

SMALL = HelixSettings(5, 2, pileup_mean=5, noise=0.1, seed=7)
VOLUMES = (7, 8, 9, 12, 13, 14, 16, 17, 18)


@pytest.fixture(scope="module")
def full_event():
    """One event at pile-up 200 without noise."""
    return simulate_helices(201, 0.0, np.random.default_rng(1))


def test_a_small_data_set_is_the_same_for_one_worker_and_for_two(tmp_path: Path):
    calls: list[tuple[int, int]] = []
    one = generate(SMALL, tmp_path / "one", workers=1, progress=lambda *call: calls.append(call))
    two = generate(SMALL, tmp_path / "two", workers=2)
    assert (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()
    assert calls == [(number, 7) for number in range(1, 8)]

    store = open_store(two)
    assert {name: len(split) for name, split in store.splits.items()} == {"train": 5, "validation": 2}
    events = [read_event(split, index) for split in store.splits.values() for index in range(len(split))]
    for event in events:
        for columns, layout in ((event.hits, HIT_COLUMNS), (event.particles, PARTICLE_COLUMNS)):
            assert {name: columns[name].dtype for name in columns} == {
                name: kind for name, (kind, _) in layout.items()
            }
        assert event.hits["weight"].sum() == pytest.approx(1, abs=1e-5)
    assert len({event.hits["position"].tobytes() for event in events}) == 7  # no event twice


def test_its_data_bear_another_generators_name(tmp_path: Path):
    manifest = open_store(generate(SMALL, tmp_path / "data", workers=1)).manifest
    assert (manifest["generator"], manifest["generator_version"]) == ("hepbench helix", 1)
    assert set(manifest["versions"]) == {"hepbench", "numpy"}
    assert manifest["settings"] == {
        "train_events": 5, "validation_events": 2, "pileup_mean": 5.0, "noise": 0.1, "seed": 7,
    }  # fmt: skip
    assert TrackMLSettings(5, 2, pileup_mean=5, noise=0.1, seed=7).key() != SMALL.key()


def test_another_seed_gives_other_events(tmp_path: Path):
    settings = [HelixSettings(1, 1, pileup_mean=1, seed=seed) for seed in (1, 2)]
    folders = [generate(one, tmp_path / str(one.seed), workers=1) for one in settings]
    assert open_store(folders[0]).sha256 != open_store(folders[1]).sha256


def test_it_needs_neither_acts_nor_pythia(tmp_path: Path):
    program = (
        "import sys; sys.modules['acts'] = sys.modules['pythia8mc'] = None\n"
        "from pathlib import Path; from datasets.trackml.helix_generator import *\n"
        "print(generate(HelixSettings(1, 1, pileup_mean=1), Path(sys.argv[1]), workers=1))"
    )
    folder = tmp_path / "data"
    answer = subprocess.run(
        [sys.executable, "-c", program, folder], capture_output=True, text=True, check=False
    )
    assert answer.stdout == f"{folder}\n", answer.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_events": 0}, "train_events and validation_events must be at least 1"),
        ({"pileup_mean": 1001}, "pileup_mean must lie between 0 and 1000, got 1001"),
        ({"noise": 0.6}, "noise must lie between 0 and 0.5, got 0.6"),
        ({"noise": float("nan")}, "noise must lie between"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, float], message: str):
    with pytest.raises(DataError, match=message):
        HelixSettings(**{"train_events": 1, "validation_events": 1, **change})


def test_an_event_has_about_the_size_of_the_challenges(full_event):
    """The challenge's events 1001 and 1005, per particle and without noise; see docs/data.md."""
    nhits, particles = full_event.particles["nhits"], full_event.particles
    assert 9_000 < len(nhits) < 11_000
    assert nhits.mean() == pytest.approx(8.5, rel=0.1)
    assert (nhits == 0).mean() == pytest.approx(0.092, abs=0.02)
    hits = [(full_event.hits["volume_id"] == volume).sum() for volume in VOLUMES]
    # Hits of 9,930 particles in an event of the challenge without the share of noise of each volume.
    measured = np.array([14_600, 24_100, 13_500, 6_800, 21_900, 6_700, 2_500, 9_300, 2_500])
    noise = np.array([0.05, 0.05, 0.05, 0.14, 0.19, 0.14, 0.21, 0.58, 0.21])
    assert np.array(hits) * 9930 / len(nhits) == pytest.approx(measured * (1 - noise), rel=0.27)

    secondary = np.hypot(*particles["vertex"][:, :2].T) > 0.9
    assert secondary.mean() == pytest.approx(0.29, abs=0.02)
    pt = np.hypot(*particles["momentum"][:, :2].T)
    assert np.quantile(pt[~secondary], (0.1, 0.5, 0.9)) == pytest.approx([0.174, 0.442, 1.187], rel=0.05)
    assert (particles["charge"] > 0).mean() == pytest.approx(0.55, abs=0.02)
    assert set(particles["particle_type"]) == {211, -211}


def test_hits_are_on_their_layers(full_event):
    position = full_event.hits["true_position"].astype(np.float64)
    layers = {(layer.volume_id, layer.layer_id): layer for layer in LAYERS}
    r, z = np.hypot(*position[:, :2].T), position[:, 2]
    for ids, layer in layers.items():
        here = (full_event.hits["volume_id"] == ids[0]) & (full_event.hits["layer_id"] == ids[1])
        value, nominal = (r, layer.r[0]) if layer.r[0] == layer.r[1] else (z, layer.z[0])
        offsets = set((value[here] - nominal).round(2))
        assert len(offsets) == 3 and 0 in offsets, (
            ids
        )  # on the layer, and on both sides where modules overlap


def stiff(count: int) -> np.ndarray:
    particles = np.zeros(count, dtype=PARTICLE)
    particles["pt"], particles["charge"], particles["energy"] = 1.0, 1, np.hypot(1.0, 0.13957)
    return particles


def test_a_particle_ends_with_a_chance_of_3_percent_at_each_crossing():
    """A particle that flies across the beam crosses ten layers at least."""
    crossings = propagate(stiff(20_000), np.zeros(20_000), np.random.default_rng(1))
    reached = np.bincount(crossings["index"]) / 20_000
    expected = (1 - helix_simulation.MODULE_INEFFICIENCY) * 0.97 ** np.arange(10)
    assert reached[:10] == pytest.approx(expected, abs=0.01)
    nothing = propagate(stiff(1000), np.full(1000, 0.25), np.random.default_rng(1))
    assert len(np.unique(nothing["particle"])) == pytest.approx(750, abs=60)


def test_multiple_scattering_displaces_as_the_material_says():
    """Of the second layer: 13.6 MeV / (beta p) sqrt(x / X0) of the first, times the way between them."""
    crossings = propagate(stiff(20_000), np.zeros(20_000), np.random.default_rng(2))
    x, y, z = crossings["position"].T
    second = (
        (crossings["volume_id"] == 8) & (crossings["layer_id"] == 4) & (np.abs(np.hypot(x, y) - 72) < 1e-6)
    )
    second &= crossings["index"] == 1  # the one before was on the first layer, and not where modules overlap
    theta = 0.0136 * np.hypot(1.0, 0.13957) * np.sqrt(0.007)
    distance = z[second].std()
    assert distance == pytest.approx(theta * 40, rel=0.1)
    phi = np.arctan2(y, x)[second]
    assert (phi.std() * 72) == pytest.approx(theta * 40, rel=0.1)
    assert phi.mean() == pytest.approx(-np.arcsin(0.0003 * 2.0 * 72 / 2), abs=1e-4)


def test_noise_is_its_share_and_flat_in_phi():
    event = simulate_helices(201, 0.15, np.random.default_rng(3))
    noise = event.hits["particle_id"] == 0
    assert noise.mean() == pytest.approx(0.15, abs=0.01)
    x, y = event.hits["position"][noise, :2].T
    counts = np.histogram(np.arctan2(y, x), 16, (-np.pi, np.pi))[0]
    assert counts / noise.sum() == pytest.approx(1 / 16, rel=0.15)


def test_modules_are_numbered_as_their_hits():
    modules = helix_simulation.modules()
    assert len(modules) == len(LAYERS) * 64
    assert helix_simulation._module_id(modules["centre"]).tolist() == modules["module_id"].tolist()


def test_an_event_without_particles():
    particles, _ = draw_particles(0, np.random.default_rng(1))
    assert len(particles) == 0
    event = simulate_helices(0, 0.1, np.random.default_rng(1))
    assert len(event.hits["hit_id"]) == 0


def test_graphs_are_built_of_its_hits(tmp_path: Path):
    hits = open_store(generate(HelixSettings(2, 1, pileup_mean=40, seed=1), tmp_path / "hits", workers=1))
    settings = GraphSettings(detector="barrel", pt_min=1.0, idealised=True, phi_slope_max=6e-4, z0_max=150.0)
    graphs = build(hits, settings, tmp_path / "graphs", train_events=2, validation_events=1, workers=1)
    manifest = json.loads((graphs / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["hits_generator"] == "hepbench helix"
    figures = manifest["construction"]["train"]
    assert figures["efficiency_on_layer_pairs"] > 0.9
    assert 0.3 < figures["purity"] < 0.95
