import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.graphs.dataset import GraphSettings, build
from datasets.plots import page, tracking
from datasets.store import Writer, open_store
from tests.datasets.helix_tracks import helix_event, write_hits


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    event = helix_event(np.random.default_rng(0), 100, noise=50)
    return write_hits(tmp_path_factory.mktemp("display") / "hits", [event], [event]).folder


@pytest.fixture(scope="module")
def graphs(hits: Path) -> Path:
    folder = hits.parent / "graphs"
    return build(open_store(hits), GraphSettings(), folder, train_events=1, validation_events=1, workers=1)


@pytest.mark.parametrize(("name", "magic"), [("page.png", b"\x89PNG"), ("page.pdf", b"%PDF")])
def test_an_event_of_hits_is_drawn(hits: Path, tmp_path: Path, name: str, magic: bytes):
    pytest.importorskip("mplhep", reason="plots are drawn with matplotlib and mplhep")
    drawn = page.plot(hits, tmp_path / name)
    assert drawn.read_bytes().startswith(magic) and drawn.stat().st_size > 20_000


def test_a_graph_is_drawn_edges_and_all(hits: Path, graphs: Path, tmp_path: Path):
    pytest.importorskip("mplhep", reason="plots are drawn with matplotlib and mplhep")
    drawn = page.plot(graphs, tmp_path / "page.png")
    assert drawn.stat().st_size > 1.5 * page.plot(hits, tmp_path / "hits.png").stat().st_size


def test_what_is_drawn_of_a_graph(graphs: Path):
    scene = tracking._scene_of_graph(open_store(graphs).split("train"))
    manifest = open_store(graphs).manifest
    drawn = {kind: len(pairs) for kind, pairs in scene.doublets.items()}
    figures = manifest["construction"]["train"]
    assert list(drawn) == ["edges, false", "edges, true", "true doublets, lost"]
    assert drawn["edges, false"] + drawn["edges, true"] == figures["edges_max"]
    assert drawn["edges, true"] == round(figures["purity"] * figures["edges_max"])
    assert drawn["true doublets, lost"] == round((1 - figures["efficiency"]) * figures["true_doublets"])


def test_the_page_suits_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Writer(tmp_path / "mlpf") as writer:
        writer.append("train", "elements", [1], {"inputs": np.zeros(1)})
        writer.finish({})
    monkeypatch.setattr("datasets.plots.page.plot_delphes", lambda folder, output: (folder, output))
    assert page.plot(tmp_path / "mlpf", Path("x.png")) == (tmp_path / "mlpf", Path("x.png"))


def test_another_kind_of_file_is_refused(hits: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"must be a \.pdf or a \.png"):
        page.plot(hits, tmp_path / "page.txt")


def test_without_matplotlib_the_extra_is_named(hits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mplhep", None)
    with pytest.raises(DataError, match=r"pip install '\.\[report\]'"):
        page.plot(hits, tmp_path / "page.pdf")


def test_a_plotting_library_that_cannot_be_loaded_says_why(
    hits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "mplhep.py").write_text('raise ImportError("GLIBCXX_3.4.32 not found")\n', encoding="utf-8")
    monkeypatch.delitem(sys.modules, "mplhep", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"mplhep, one of which is installed but cannot be loaded: GLIBCXX"):
        page.plot(hits, tmp_path / "page.pdf")
