import numpy as np
import pytest

from datasets.collisions import VERTEX_MAX, Pool
from datasets.delphes.calorimeter import ECAL, Towers
from datasets.delphes.simulation import (
    CHARGED_HADRON,
    ELECTRON,
    MUON,
    NEUTRAL_HADRON,
    PHOTON,
    Truth,
    mix_pileup,
    simulate,
    tower_targets,
)
from datasets.delphes.tracker import propagate
from datasets.plots.delphes import track_angle_errors
from datasets.pythia import PARTICLE


def particles(*rows: tuple[float, ...]) -> np.ndarray:
    """Returns particles at the centre from rows of pdg, charge, pt, eta, phi, energy."""
    return np.array([(*row, 0.0, 0.0, 0.0) for row in rows], dtype=PARTICLE)


def truth(*rows: tuple[float, ...]) -> Truth:
    table = particles(*rows)
    columns = [table[name].astype(np.float64) for name in ("pt", "eta", "phi", "energy")]
    return Truth(table["pdg"], table["charge"], *columns)


def one_tower_target(tracked: tuple[int, ...], *rows: tuple[float, ...]) -> list[float]:
    """Returns the target row of a single tower that all particles hit, of which ``tracked`` have a track."""
    n = len(rows)
    tower = Towers(np.array([1.0]), np.zeros(1), np.zeros(1), np.zeros(n, dtype=np.int64), np.arange(n))
    untracked = ~np.isin(np.arange(n), tracked)
    return tower_targets(truth(*rows), tower, untracked)[0].tolist()


def test_a_tower_whose_particles_all_have_tracks_has_no_target():
    assert one_tower_target((0,), (211, 1, 20.0, 0.0, 0.0, 20.0)) == [0.0] * 7


def test_a_towers_target_is_the_sum_of_its_trackless_particles():
    photon_x, photon_y = (22, 0, 3.0, 0.0, 0.0, 3.0), (22, 0, 4.0, 0.0, np.pi / 2, 4.0)
    row = one_tower_target((0,), (211, 1, 20.0, 0.0, 0.0, 20.0), photon_x, photon_y)
    assert row == pytest.approx([PHOTON, 0, 5.0, 0.0, 0.8, 0.6, 7.0], abs=1e-6)


def test_the_class_has_the_largest_share_of_the_energy():
    photon, hadron = (22, 0, 6.0, 0.0, 0.0, 6.0), (-211, -1, 5.0, 0.0, 0.0, 5.0)
    kaon, electron = (130, 0, 5.5, 0.0, 0.0, 5.5), (-11, 1, 12.0, 0.0, 0.0, 12.0)
    assert one_tower_target((), photon, hadron, kaon)[:2] == [PHOTON, 0]
    assert one_tower_target((), photon, hadron, kaon, kaon)[:2] == [NEUTRAL_HADRON, 0]
    assert one_tower_target((), photon, hadron, hadron)[:2] == [CHARGED_HADRON, 1]
    assert one_tower_target((), photon, hadron, kaon, electron)[:2] == [ELECTRON, 1]


def test_other_particles_count_as_hadrons_by_their_charge():
    assert one_tower_target((), (2212, 1, 10.0, 0.0, 0.0, 10.0))[0] == CHARGED_HADRON
    assert one_tower_target((), (3122, 0, 10.0, 0.0, 0.0, 10.0))[0] == NEUTRAL_HADRON


def test_equal_shares_go_to_the_neutral_hadron():
    pair = (130, 0, 5.0, 0.0, 0.0, 5.0), (22, 0, 5.0, 0.0, 0.0, 5.0)
    assert one_tower_target((), *pair)[0] == NEUTRAL_HADRON


def test_a_charged_hadron_beyond_the_tracker_counts_as_neutral():
    energy = 2.0 * np.cosh(2.6)
    assert one_tower_target((), (211, 1, 2.0, 2.6, 0.0, energy))[:2] == [NEUTRAL_HADRON, 0]
    assert one_tower_target((), (211, 1, 2.0, 2.4, 0.0, energy))[:2] == [CHARGED_HADRON, 1]


def test_a_neutral_hadron_below_nine_gev_is_no_target():
    assert one_tower_target((), (130, 0, 8.9, 0.0, 0.0, 8.9)) == [0.0] * 7
    assert one_tower_target((), (130, 0, 9.1, 0.0, 0.0, 9.1))[0] == NEUTRAL_HADRON
    assert one_tower_target((), (211, 1, 1.0, 2.6, 0.0, 6.8)) == [0.0] * 7
    assert one_tower_target((), (22, 0, 1.0, 0.0, 0.0, 1.0))[0] == PHOTON


def test_a_muon_leaves_a_track_and_no_tower():
    events = [
        simulate(particles((13, -1, 50.0, 0.5, 0.2, 56.4)), np.random.default_rng(i)) for i in range(20)
    ]
    assert {len(inputs) for inputs, _ in events} <= {0, 1}
    inputs, targets = next(event for event in events if len(event[0]))
    pt = inputs[0, 1]
    assert pt == pytest.approx(50.0, rel=0.1)
    eta = inputs[0, 2]
    assert inputs[0, [0, 2, 3, 4]] == pytest.approx([2, 0.5, np.sin(0.2), np.cos(0.2)], abs=0.05)
    assert inputs[0, 5] == pytest.approx(pt * np.cosh(eta))
    assert inputs[0, 9:].tolist() == [-1, 1, 0]
    # the charge of a target is the sign of its PDG number: +1 for a mu-
    assert targets[0] == pytest.approx([MUON, 1, 50.0, 0.5, np.sin(0.2), np.cos(0.2), 56.4])


def many(pdg: int, charge: int, pt: float, n: int) -> np.ndarray:
    """Returns particles of one kind from the centre, with directions all over the tracker."""
    rng = np.random.default_rng(5)
    event = np.zeros(n, dtype=PARTICLE)
    event["pdg"], event["charge"], event["pt"] = pdg, charge, pt
    event["eta"], event["phi"] = rng.uniform(-2.4, 2.4, n), rng.uniform(-np.pi, np.pi, n)
    event["energy"] = pt * np.cosh(event["eta"])
    return event


@pytest.mark.parametrize("pdg", [211, -11, -13])
def test_track_directions_have_gaussian_errors_of_a_hundredth(pdg: int):
    inputs, targets = simulate(many(pdg, 1, 5.0, 20_000), np.random.default_rng(0))
    errors = track_angle_errors(inputs, targets)
    n = len(errors["eta"])
    assert n > 15_000
    for values in errors.values():
        pull = values / 0.01
        assert abs(pull.mean()) < 4 / np.sqrt(n)
        assert abs(pull.std() - 1) < 4 / np.sqrt(2 * n)
        assert abs((np.abs(pull) < 1).mean() - 0.6827) < 4 * np.sqrt(0.6827 * 0.3173 / n)
    assert abs(np.corrcoef(errors["eta"], errors["phi"])[0, 1]) < 4 / np.sqrt(n)
    track = inputs[inputs[:, 0] == 2]
    assert track[:, 5] == pytest.approx(track[:, 1] * np.cosh(track[:, 2]), rel=1e-5)


def test_exit_points_and_targets_of_tracks_are_exact():
    event = many(-13, 1, 5.0, 2000)
    columns = (event[name].astype(np.float64) for name in ("pt", "eta", "phi"))
    eta_out, phi_out = propagate(event["charge"], *columns, np.zeros((3, 2000)))
    inputs, targets = simulate(event, np.random.default_rng(0))
    rows = {float(eta): row for row, eta in enumerate(event["eta"])}
    chosen = [rows[float(eta)] for eta in targets[:, 3]]
    assert len(chosen) > 1500
    assert np.array_equal(inputs[:, 6], eta_out[chosen].astype(np.float32))
    assert inputs[:, 7] == pytest.approx(np.sin(phi_out[chosen]), abs=1e-6)
    assert targets[:, 4] == pytest.approx(np.sin(event["phi"][chosen]), abs=1e-6)


@pytest.mark.parametrize(("pdg", "charge"), [(22, 0), (11, -1)])
def test_towers_lie_in_the_cell_that_their_particle_hits(pdg: int, charge: int):
    """An error of a hundredth would take half of them out of cells of 0.0174."""
    event = many(pdg, charge, 20.0, 1000)
    columns = (event[name].astype(np.float64) for name in ("pt", "eta", "phi"))
    cells = ECAL.grid.cells(*propagate(event["charge"], *columns, np.zeros((3, 1000))))
    inputs, _ = simulate(event, np.random.default_rng(0))
    towers = inputs[inputs[:, 0] == 1].astype(np.float64)
    assert len(towers) > 0.95 * len(set(cells))
    assert set(ECAL.grid.cells(towers[:, 2], np.arctan2(towers[:, 3], towers[:, 4]))) <= set(cells)


def test_rows_are_tracks_then_ecal_then_hcal():
    event = particles(
        (130, 0, 80.0, 0.0, 0.0, 80.0),
        (11, -1, 30.0, 0.0, 1.0, 30.0),
        (211, 1, 40.0, 0.0, 2.0, 40.0),
        (22, 0, 50.0, 0.0, -1.0, 50.0),
    )
    for seed in range(10):
        inputs, targets = simulate(event, np.random.default_rng(seed))
        if (inputs[:, 0] == 2).sum() == 2:
            break
    assert (inputs.dtype, targets.dtype) == (np.float32, np.float32)
    assert inputs[:, 0].tolist() == [2, 2, 1, 1, 1, 1]
    assert targets[:, 0].tolist() == [CHARGED_HADRON, ELECTRON, PHOTON, 0, NEUTRAL_HADRON, 0]
    assert inputs[:2, 9:].tolist() == [[1, 0, 0], [-1, 0, 1]]
    assert (inputs[2:4, 6] == inputs[2:4, 5]).all() and (inputs[4:, 7] == inputs[4:, 5]).all()
    assert (inputs[2:4, 7] == 0).all() and (inputs[4:, 6] == 0).all() and (inputs[2:, 8:] == 0).all()
    assert inputs[2:, 1] == pytest.approx(inputs[2:, 5] / np.cosh(inputs[2:, 2]))


def test_an_empty_event_has_no_rows():
    inputs, targets = simulate(particles(), np.random.default_rng(0))
    assert (inputs.shape, targets.shape) == ((0, 12), (0, 7))


def test_pileup_is_turned_and_spread_and_the_hard_collision_is_not_turned():
    hard = particles((211, 1, 5.0, 0.0, 1.0, 5.0))
    pool = Pool(np.array([0, 1, 3]), particles(*[(22, 0, 1.0 + i, 0.0, 0.0, 1.0) for i in range(3)]))
    pool.particles["x"] = 2.0
    mixed = mix_pileup(hard, pool, 500.0, np.random.default_rng(0))
    assert mixed[0]["phi"] == 1.0 and hard[0]["z"] == 0.0
    pile = mixed[1:]
    assert 600 < len(pile) < 900  # 500 collisions of 1.5 particles
    assert set(pile["pt"].tolist()) == {1.0, 2.0, 3.0}
    assert np.abs(pile["phi"]).max() <= np.pi + 1e-6
    assert pile["phi"].std() == pytest.approx(np.pi / np.sqrt(3), rel=0.1)
    # momentum and production point turn together
    assert pile["x"] == pytest.approx(2 * np.cos(pile["phi"]), abs=1e-5)
    assert pile["y"] == pytest.approx(2 * np.sin(pile["phi"]), abs=1e-5)
    assert pile["z"].std() == pytest.approx(53.0, rel=0.1)
    assert np.abs(pile["z"]).max() <= VERTEX_MAX
    assert pool.particles["phi"].tolist() == [0.0] * 3


def test_no_pileup_leaves_the_hard_collision():
    hard = particles((211, 1, 5.0, 0.0, 1.0, 5.0))
    pool = Pool(np.array([0, 1]), particles((22, 0, 1.0, 0.0, 0.0, 1.0)))
    assert len(mix_pileup(hard, pool, 0.0, np.random.default_rng(0))) == 1
