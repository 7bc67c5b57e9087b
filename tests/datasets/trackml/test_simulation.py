import sys

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.pythia import PARTICLE
from datasets.trackml import simulation
from datasets.trackml.columns import CROSSING, HIT_COLUMNS, MODULE, PARTICLE_COLUMNS, HitEvent
from datasets.trackml.simulation import (
    apply_inefficiencies,
    assemble,
    measure,
    noise_hits,
    select,
    simulate,
)

PION, MUON = 211, 13

BARREL_RADIUS = {
    (8, 2): 32, (8, 4): 72, (8, 6): 116, (8, 8): 172, (13, 2): 260, (13, 4): 360, (13, 6): 500, (13, 8): 660,
    (17, 2): 820, (17, 4): 1020,
}  # fmt: skip
"""mm."""

PIXEL_DISKS = (600, 700, 820, 960, 1100, 1300, 1500)
STRIP_DISKS = (1220, 1500, 1800, 2150, 2550, 2950)
DISKS = {
    7: [-z for z in reversed(PIXEL_DISKS)], 9: PIXEL_DISKS, 12: [-z for z in reversed(STRIP_DISKS)],
    14: STRIP_DISKS, 16: [-z for z in reversed(STRIP_DISKS)], 18: STRIP_DISKS,
}  # fmt: skip


def particles(*rows: tuple[float, ...]) -> np.ndarray:
    """Returns particles from rows of pdg, charge, pt, eta, phi, x, y, z."""
    array = np.zeros(len(rows), dtype=PARTICLE)
    names = ("pdg", "charge", "pt", "eta", "phi", "x", "y", "z")
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        array[name] = column
    return array


def crossings(volume: int, layer: int, position: np.ndarray, particle: object = 0) -> np.ndarray:
    array = np.zeros(len(position), dtype=CROSSING)
    array["volume_id"], array["layer_id"], array["module_id"] = volume, layer, 1
    array["position"], array["particle"] = position, particle
    return array


def spray(count: int) -> np.ndarray:
    """Returns pions and antipions of 1 GeV from the centre, in all directions."""
    rng = np.random.default_rng(5)
    sign = rng.choice([-1, 1], size=count)
    eta, phi = rng.uniform(-3.9, 3.9, count), rng.uniform(-np.pi, np.pi, count)
    return particles(*((PION * s, s, 1.0, e, p, 0, 0, 0) for s, e, p in zip(sign, eta, phi, strict=True)))


@pytest.fixture(scope="module")
def event() -> HitEvent:
    pytest.importorskip("acts", reason="events are simulated with pyacts")
    return simulate(spray(400), 0.2, np.random.default_rng(3))


def test_charged_particles_in_reach_of_the_tracker_are_followed():
    good = (PION, 1, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    changes = {1: 0, 2: 0.09, 3: -4.1, 5: 1100.0, 7: 3000.0}
    bad = [tuple(value if i == place else v for i, v in enumerate(good)) for place, value in changes.items()]
    assert select(particles(*bad, good)).tolist() == particles(good).tolist()


def test_hadrons_end_and_muons_do_not_and_some_crossings_are_missed():
    n = 20_000
    all_crossings = crossings(8, 2, np.zeros((4 * n, 3)), np.repeat(np.arange(2 * n), 2))
    all_crossings["index"] = np.tile([0, 10], 2 * n)
    pdg = np.repeat([PION, MUON], n)
    visible = apply_inefficiencies(all_crossings, pdg, np.random.default_rng(0))
    share = [
        [np.isin(visible["index"], k)[(visible["particle"] < n) == h].sum() / n for k in (0, 10)]
        for h in (1, 0)
    ]
    assert share[0] == pytest.approx([0.984, 0.984 * 0.98**10], abs=0.01)
    assert share[1] == pytest.approx([0.984, 0.984], abs=0.005)


@pytest.mark.parametrize(
    ("volume", "across", "along", "axis"),
    [(8, 0.015, 0.004, "z"), (9, 0.015, 0.009, "r"), (13, 0.0215, 0.59 / 3**0.5, "z"),
     (12, 0.0215, 0.6 / 3**0.5, "r"), (17, 0.03, 5.3 / 3**0.5, "z"), (18, 0.09, 5.0 / 3**0.5, "r")],
)  # fmt: skip
def test_errors_lie_in_the_plane_of_the_module(volume: int, across: float, along: float, axis: str):
    phi = np.random.default_rng(1).uniform(-np.pi, np.pi, 20_000)
    true = np.stack([500 * np.cos(phi), 500 * np.sin(phi), np.full(len(phi), 700.0)], axis=1)
    x, y, z = measure(np.full(len(phi), volume), true, np.random.default_rng(2)).T
    turned = (x + 1j * y) / np.exp(1j * phi)
    errors = {"r phi": 500 * np.angle(turned), "r": np.abs(turned) - 500, "z": z - 700}
    other = "r" if axis == "z" else "z"
    assert errors["r phi"].std() == pytest.approx(across, rel=0.03)
    assert errors[axis].std() == pytest.approx(along, rel=0.03)
    assert np.abs(errors[other]).max() < 1e-9
    if volume not in (8, 9):
        assert np.abs(errors[axis]).max() <= along * 3**0.5


def ring(volume: int, count: int, r: float) -> np.ndarray:
    array = np.zeros(count, dtype=MODULE)
    phi = 2 * np.pi * np.arange(count) / count - 1
    array["volume_id"], array["layer_id"], array["module_id"] = volume, 2, np.arange(count) + 1
    array["centre"] = np.stack([r * np.cos(phi), r * np.sin(phi), np.zeros(count)], axis=1)
    return array


def test_noise_copies_hits_onto_other_modules_of_their_ring():
    modules = np.concatenate([ring(8, 4, 32.0), ring(17, 5, 820.0)])
    modules["centre"][4:, 2] = 10.0
    position = np.concatenate([modules["centre"][[0]], modules["centre"][[6]]] * 500)
    hits = np.concatenate([crossings(8, 2, position[:1]), crossings(17, 2, position[1:2])] * 500)
    hits["module_id"] = np.tile([1, 3], 500)
    fake, fake_position = noise_hits(hits, position, 0.5, modules, np.random.default_rng(0))
    assert len(fake) == pytest.approx(1000, abs=120)
    pixels = fake["volume_id"] == 8
    # odds of 0.05 : 0.95 against 0.58 : 0.42
    assert pixels.mean() == pytest.approx(0.0526 / (0.0526 + 1.381), abs=0.02)
    assert set(fake["module_id"][pixels]) == {1, 2, 3, 4}
    assert set(fake["module_id"][~pixels]) == {1, 2, 3, 4, 5}
    # each lies where the original lay on its own module: here, on the centre
    centre = modules["centre"][fake["module_id"] - 1 + np.where(pixels, 0, 4)]
    assert fake_position == pytest.approx(centre, abs=1e-9)
    assert np.array_equal(fake["position"], fake_position)
    assert set(fake["particle"]) == {-1} and not fake["momentum"].any()


def test_no_noise_is_none():
    hits = crossings(8, 2, np.ones((3, 3)))
    fake, position = noise_hits(hits, hits["position"], 0.0, ring(8, 4, 32.0), np.random.default_rng(0))
    assert len(fake) == len(position) == 0


def test_an_event_is_put_together_in_the_order_of_modules():
    two_barrels = crossings(13, 2, np.arange(12.0).reshape(4, 3), [1, -1, 0, 1])
    two_barrels["volume_id"][2:] = 8, 9
    two = particles((PION, 1, 3.0, 0.0, 0.0, 0.1, 0.2, 0.3), (-MUON, 1, 2.0, 1.0, np.pi / 2, 0, 0, 0))
    event = assemble(two_barrels, two_barrels["position"] + 0.5, two)
    assert event.hits["hit_id"].tolist() == [1, 2, 3, 4]
    assert event.hits["volume_id"].tolist() == [8, 9, 13, 13]
    assert event.hits["particle_id"].tolist() == [1, 2, 0, 2]
    assert event.hits["true_position"][:, 0].tolist() == [6, 9, 3, 0]
    assert event.hits["position"][:, 0].tolist() == [6.5, 9.5, 3.5, 0.5]
    assert event.particles["particle_id"].tolist() == [1, 2]
    assert event.particles["nhits"].tolist() == [1, 2]
    assert event.particles["particle_type"].tolist() == [PION, -MUON]
    assert event.particles["vertex"][0] == pytest.approx([0.1, 0.2, 0.3])
    assert event.particles["momentum"][0] == pytest.approx([3, 0, 0])
    assert event.particles["momentum"][1] == pytest.approx([0, 2, 2 * np.sinh(1)], abs=1e-6)


def test_columns_are_as_the_layout_says(event: HitEvent):
    for columns, layout in ((event.hits, HIT_COLUMNS), (event.particles, PARTICLE_COLUMNS)):
        assert list(columns) == list(layout)
        for name, (kind, shape) in layout.items():
            assert (columns[name].dtype, columns[name].shape[1:]) == (np.dtype(kind), shape), name
            assert len(columns[name]) == len(columns["particle_id"]) and np.isfinite(columns[name]).all()


def test_hits_lie_on_the_layers_of_the_trackml_detector(event: HitEvent):
    hits = event.hits
    x, y, z = hits["true_position"].T
    layers_hit = set(zip(hits["volume_id"].tolist(), hits["layer_id"].tolist(), strict=True))
    disks = {(v, 2 * k): place for v, places in DISKS.items() for k, place in enumerate(places, start=1)}
    assert layers_hit == BARREL_RADIUS.keys() | disks.keys()
    for volume, layer in layers_hit:
        here = (hits["volume_id"] == volume) & (hits["layer_id"] == layer)
        if volume in (8, 13, 17):
            thickness = 2.5 if volume == 8 else 6.5  # flat modules, tilted
            assert np.abs(np.hypot(x, y)[here] - BARREL_RADIUS[volume, layer]).max() < thickness
        else:
            assert np.abs(z[here] - disks[volume, layer]).max() < (2.6 if volume in (7, 9) else 5.6)


def test_particles_leave_the_hits_of_a_track(event: HitEvent):
    hits, table = event.hits, event.particles
    assert len(table["particle_id"]) >= 400
    nhits = np.bincount(hits["particle_id"], minlength=len(table["particle_id"]) + 1)
    assert np.array_equal(nhits[1:], table["nhits"])
    assert nhits[0] / nhits.sum() == pytest.approx(0.2, abs=0.03)
    assert 9 < table["nhits"][:400].mean() < 12.5
    # momentum is lost on the way, and turns with the charge: to the right for a positive one
    real = hits["particle_id"] > 0
    row = hits["particle_id"][real] - 1
    x, y = hits["true_momentum"][real, :2].astype(float).T
    px, py = table["momentum"][row, :2].astype(float).T
    first_turn = np.hypot(*hits["true_position"][real, :2].T) < 200
    turn = np.angle((x + 1j * y) / (px + 1j * py))[first_turn]
    assert (np.sign(turn) == -table["charge"][row][first_turn]).mean() > 0.95
    loss = 1 - np.linalg.norm(hits["true_momentum"][real], axis=1) / np.linalg.norm(
        table["momentum"][row], axis=1
    )
    assert 0 < np.median(loss) < 0.05


def test_weights_add_up_to_one_and_noise_has_none(event: HitEvent):
    assert event.hits["weight"].sum() == pytest.approx(1, abs=1e-5)
    noise = event.hits["particle_id"] == 0
    assert not event.hits["weight"][noise].any() and not event.hits["true_momentum"][noise].any()


def test_noise_lies_on_modules_that_hits_of_its_layer_reach(event: HitEvent):
    from datasets.trackml.fatras import modules

    noise = {name: column[event.hits["particle_id"] == 0] for name, column in event.hits.items()}
    table = {tuple(row)[:3]: row["centre"] for row in modules()}
    names = zip(
        noise["volume_id"].tolist(), noise["layer_id"].tolist(), noise["module_id"].tolist(), strict=True
    )
    centres = np.array([table[name] for name in names])
    # half the diagonal of the largest module, 106 mm, and the error along its strips
    assert np.linalg.norm(noise["position"] - centres, axis=1).max() < 112


def test_rings_are_evenly_spaced():
    pytest.importorskip("acts", reason="the detector comes from pyacts")
    from datasets.trackml.fatras import modules

    all_modules = modules()
    assert len(all_modules) == 18728
    x, y, z = all_modules["centre"].T
    names = np.stack([all_modules["volume_id"], all_modules["layer_id"], np.hypot(x, y).round(2), z.round(2)])
    _, ring, size = np.unique(names, axis=1, return_inverse=True, return_counts=True)
    order = np.lexsort((np.arctan2(y, x), ring))
    step = np.diff(np.arctan2(y, x)[order])[np.diff(ring[order]) == 0]
    assert size.min() >= 10
    assert step == pytest.approx((2 * np.pi / size)[ring[order]][:-1][np.diff(ring[order]) == 0])


def test_the_same_seed_gives_the_same_event_and_another_one_another(event: HitEvent):
    again, other = (simulate(spray(400), 0.2, np.random.default_rng(seed)) for seed in (3, 4))
    assert all(np.array_equal(event.hits[name], again.hits[name]) for name in event.hits)
    assert all(np.array_equal(event.particles[name], again.particles[name]) for name in event.particles)
    assert not np.array_equal(event.hits["position"], other.hits["position"])


def test_an_event_without_charged_particles_has_no_hits(capfd: pytest.CaptureFixture[str]):
    pytest.importorskip("acts", reason="events are simulated with pyacts")
    event = simulate(particles((22, 0, 1.0, 0, 0, 0, 0, 0)), 0.2, np.random.default_rng(0))
    assert len(event.hits["hit_id"]) == len(event.particles["particle_id"]) == 0
    assert event.hits["position"].shape == (0, 3) and event.particles["momentum"].shape == (0, 3)
    assert capfd.readouterr() == ("", "")


def test_without_pyacts_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets.trackml.fatras", None)
    monkeypatch.delattr("datasets.trackml.fatras", raising=False)
    message = r"needs ACTS \(pyacts\), .* pip install '\.\[tracking\]'; or bring events"
    with pytest.raises(DataError, match=message):
        simulation.load_fatras()
