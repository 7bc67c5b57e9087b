import sys
from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.plots.delphes import plot_delphes


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
