import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.plots.delphes import plot_delphes, track_angle_errors


@pytest.mark.parametrize(("name", "magic"), [("page.png", b"\x89PNG"), ("page.pdf", b"%PDF")])
def test_a_page_is_drawn(small_store: Path, tmp_path: Path, name: str, magic: bytes):
    pytest.importorskip("mplhep", reason="plots are drawn with matplotlib and mplhep")
    page = plot_delphes(small_store, tmp_path / name)
    assert page.read_bytes().startswith(magic) and page.stat().st_size > 20_000


def test_another_kind_of_file_is_refused(small_store: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"must be a \.pdf or a \.png"):
        plot_delphes(small_store, tmp_path / "page.txt")


def test_without_mplhep_the_extra_is_named(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "mplhep", None)
    with pytest.raises(DataError, match=r"pip install '\.\[report\]'"):
        plot_delphes(small_store, tmp_path / "page.pdf")


def test_errors_of_angles_are_those_of_tracks_and_turn_with_the_circle():
    """A track measured at eta 1.25 and phi -3.1 that was generated at 1 and 3.1, and a tower."""
    inputs, targets = np.zeros((2, 12)), np.zeros((2, 7))
    inputs[0, :5] = 2, 5, 1.25, np.sin(-3.1), np.cos(-3.1)
    targets[0, :6] = 1, 1, 5, 1, np.sin(3.1), np.cos(3.1)
    inputs[1, :5] = 1, 5, 1.25, 1, 0
    errors = track_angle_errors(inputs, targets)
    assert errors["eta"] == pytest.approx([0.25])
    assert errors["phi"] == pytest.approx([2 * np.pi - 6.2])
