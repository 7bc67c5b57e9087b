import bz2
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.delphes.public import import_folder, read_file, sort_names
from datasets.errors import DataError
from datasets.store import open_store


def content(events: int, first: int = 0) -> dict[str, list[np.ndarray]]:
    """Events of 3, 4, 5, ... rows whose values are the number of the event."""
    sizes = range(3, 3 + events)
    return {
        name: [np.full((rows, width), float(first + i)) for i, rows in enumerate(sizes)]
        for name, width in (("X", 12), ("ygen", 7), ("ycand", 7))
    }


def save(path: Path, what: Any, protocol: int = 4) -> Path:
    path.write_bytes(bz2.compress(pickle.dumps(what, protocol=protocol)))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_file_is_read(tmp_path: Path, protocol: int):
    events = read_file(save(tmp_path / "one.pkl.bz2", content(3), protocol))
    assert [len(inputs) for inputs, _ in events] == [3, 4, 5]
    inputs, targets = events[2]
    assert inputs.dtype == targets.dtype == np.float32
    assert (inputs.shape, targets.shape) == ((5, 12), (5, 7)) and (inputs == 2).all()


def test_the_module_names_of_numpy_1_are_understood(tmp_path: Path):
    raw = pickle.dumps(content(1), protocol=3).replace(b"numpy._core.", b"numpy.core.")
    path = tmp_path / "old.pkl.bz2"
    path.write_bytes(bz2.compress(raw))
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in raw
    assert len(read_file(path)) == 1


class Hostile:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.reduced = (call, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize(
    ("call", "arguments", "name"),
    [
        (os.system, ("touch hostile",), "posix.system"),
        (subprocess.check_output, (["touch", "hostile"],), "subprocess.check_output"),
        (eval, ("1",), "builtins.eval"),
        (np.load, ("hostile",), "numpy.load"),
    ],
)
def test_a_hostile_pickle_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any, arguments: tuple[Any, ...], name: str
):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "bad.pkl.bz2", {"X": [Hostile(call, *arguments)]})
    with pytest.raises(DataError, match=rf"bad\.pkl\.bz2 is not a pickle of arrays: it asks for {name}"):
        read_file(path)
    assert not (tmp_path / "hostile").exists()


def test_truncated_files_are_named(tmp_path: Path):
    path = save(tmp_path / "cut.pkl.bz2", content(5))
    raw = path.read_bytes()
    for size in (0, 1, 10, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises(DataError, match=r"cut\.pkl\.bz2 is truncated"):
            read_file(path)


def test_a_truncated_pickle_in_a_whole_bz2_is_named(tmp_path: Path):
    path = tmp_path / "cut.pkl.bz2"
    raw = pickle.dumps(content(2))
    path.write_bytes(bz2.compress(raw[: len(raw) // 2]))
    with pytest.raises(DataError, match=r"cut\.pkl\.bz2"):
        read_file(path)


def test_something_else_is_named(tmp_path: Path):
    path = tmp_path / "page.pkl.bz2"
    path.write_text("<html>not found</html>" * 10)
    with pytest.raises(DataError, match=r"page\.pkl\.bz2 cannot be read as bz2"):
        read_file(path)
    path.write_bytes(bz2.compress(b"<html>not found</html>"))
    with pytest.raises(DataError, match=r"page\.pkl\.bz2 is not a pickle"):
        read_file(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_file(tmp_path / "absent.pkl.bz2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ygen": None}, "expected X, ygen and ycand to be lists"),
        ({"ygen": []}, "to be lists of one length"),
        ({"X": [], "ygen": [], "ycand": []}, "holds no events"),
        ({"X": [np.zeros((3, 11))]}, r"event 0, X: expected shape \(n, 12\), found \(3, 11\)"),
        ({"ygen": [np.zeros(7)]}, r"event 0, ygen: expected shape \(n, 7\), found \(7,\)"),
        ({"ygen": [np.zeros((4, 7))]}, "event 0: X, ygen and ycand differ in their rows"),
        ({"X": [[1.0, 2.0]]}, "event 0, X: expected an array of floats, found list"),
        ({"X": [np.full((3, 12), np.nan)]}, "event 0, X: found values that are not finite"),
    ],
)
def test_wrong_contents_are_named(tmp_path: Path, change: dict[str, Any], message: str):
    path = save(tmp_path / "odd.pkl.bz2", {**content(1), **change})
    with pytest.raises(DataError, match=rf"odd\.pkl\.bz2:? .*{message}|odd\.pkl\.bz2.*{message}"):
        read_file(path)


def test_wrong_keys_are_named(tmp_path: Path):
    path = save(tmp_path / "odd.pkl.bz2", {"X": [], "y": []})
    with pytest.raises(DataError, match=r"expected a dict with X, ygen and ycand, found \['X', 'y'\]"):
        read_file(path)
    with pytest.raises(DataError, match="found list"):
        read_file(save(path, [1, 2]))


def test_files_are_ordered_by_number():
    names = [f"tev14_pythia8_ttbar_{i}_{j}.pkl.bz2" for i, j in ((1, 0), (0, 10), (0, 9))]
    names += ["tev14_pythia8_qcd_10_3.pkl.bz2", "README.md", "tev14_pythia8_ttbar_0_1.pkl.bz2.part"]
    assert sort_names(names) == {"ttbar": names[2::-1], "qcd": names[3:4]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two ttbar files and one QCD file of 100 events, the events numbered from 0."""
    folder = tmp_path / "source"
    folder.mkdir()
    save(folder / "tev14_pythia8_ttbar_0_2.pkl.bz2", content(100))
    save(folder / "tev14_pythia8_ttbar_0_10.pkl.bz2", content(100, first=100))
    save(folder / "tev14_pythia8_qcd_10_0.pkl.bz2", content(100, first=1000))
    return folder


def first_values(folder: Path, split: str) -> list[float]:
    table = open_store(folder).split(split).table("elements")
    return table.columns["inputs"][table.offsets[:-1], 0].tolist()


def test_a_folder_is_imported_in_order(source: Path, tmp_path: Path):
    calls: list[tuple[int, int]] = []
    folder = import_folder(source, tmp_path / "data", progress=lambda *call: calls.append(call))
    assert first_values(folder, "train") == list(range(200))
    assert first_values(folder, "validation") == list(range(1000, 1100))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    manifest = open_store(folder).manifest
    assert manifest["source_files"]["ttbar"][0] == "tev14_pythia8_ttbar_0_2.pkl.bz2"
    again = import_folder(source, tmp_path / "again")
    assert open_store(again).sha256 == open_store(folder).sha256


def test_only_the_events_asked_for_are_imported(source: Path, tmp_path: Path):
    folder = import_folder(source, tmp_path / "data", train_events=130, validation_events=7)
    assert first_values(folder, "train") == list(range(130))
    assert len(first_values(folder, "validation")) == 7


def test_too_little_is_said(source: Path, tmp_path: Path):
    with pytest.raises(DataError, match="holds 2 files of 100 ttbar events, 3 are needed"):
        import_folder(source, tmp_path / "data", train_events=201)
    (source / "tev14_pythia8_qcd_10_0.pkl.bz2").unlink()
    with pytest.raises(DataError, match="holds 0 files of 100 qcd events, 1 are needed"):
        import_folder(source, tmp_path / "data")
    with pytest.raises(DataError, match="is no folder"):
        import_folder(tmp_path / "nowhere", tmp_path / "data")


def test_short_files_are_said_and_leave_nothing(source: Path, tmp_path: Path):
    save(source / "tev14_pythia8_ttbar_0_10.pkl.bz2", content(50))
    with pytest.raises(DataError, match="50 ttbar events are missing from its files"):
        import_folder(source, tmp_path / "data", train_events=200)
    assert list(tmp_path.iterdir()) == [source]
