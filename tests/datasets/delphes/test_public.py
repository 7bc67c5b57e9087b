import bz2
import pickle
from pathlib import Path
from typing import Any

import pytest

from datasets.delphes.public import import_folder, sort_names
from datasets.errors import DataError
from datasets.store import open_store
from tests.datasets.delphes.files import content, save


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


def unpack(path: Path) -> None:
    """Decompresses a file, as ``bzip2 -d`` does."""
    path.with_suffix("").write_bytes(bz2.decompress(path.read_bytes()))
    path.unlink()


def upstream(folder: Path) -> None:
    """Moves the files of each process into a folder of its own."""
    for process in ("ttbar", "qcd"):
        target = folder / f"pythia8_{process}" / "raw"
        target.mkdir(parents=True)
        for path in folder.glob(f"*_{process}_*"):
            if path.is_file():
                path.rename(target / path.name)


def spread(folder: Path) -> None:
    """Moves a file away, and leaves a link to its folder."""
    elsewhere = folder.parent / "disk2"
    elsewhere.mkdir()
    path = folder / "tev14_pythia8_ttbar_0_10.pkl.bz2"
    path.rename(elsewhere / path.name)
    (folder / "more").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)


def mix(folder: Path) -> None:
    """Decompresses one file of three, and adds what else lies in such folders."""
    unpack(folder / "tev14_pythia8_ttbar_0_2.pkl.bz2")
    (folder / "tev14_pythia8_ttbar_0_3.pkl.bz2.part").write_bytes(b"half")
    (folder / "._tev14_pythia8_ttbar_0_2.pkl").write_bytes(b"\0\5\26\7")
    (folder / ".snapshot").mkdir()
    (folder / ".snapshot" / "tev14_pythia8_qcd_10_0.pkl.bz2").write_bytes(b"older")


def unpack_all(folder: Path) -> None:
    for path in folder.rglob("*.bz2"):
        unpack(path)


@pytest.mark.parametrize(
    "changes",
    [[unpack_all], [upstream], [upstream, unpack_all], [spread], [mix]],
    ids=lambda item: item[-1].__name__,
)
def test_the_same_files_give_the_same_data_set_wherever_they_lie(
    changes: list[Any], source: Path, tmp_path: Path
):
    expected = open_store(import_folder(source, tmp_path / "flat")).sha256
    for change in changes:
        change(source)
    assert open_store(import_folder(source, tmp_path / "data")).sha256 == expected


def test_a_file_that_is_there_twice_is_refused(source: Path, tmp_path: Path):
    path = source / "tev14_pythia8_ttbar_0_2.pkl.bz2"
    (source / "tev14_pythia8_ttbar_0_2.pkl").write_bytes(pickle.dumps(content(100)))
    with pytest.raises(DataError, match=rf"source: expected one file, got both .*_0_2\.pkl and {path}"):
        import_folder(source, tmp_path / "data")


def test_a_folder_in_place_of_a_file_is_named(source: Path, tmp_path: Path):
    (source / "tev14_pythia8_ttbar_0_3.pkl.bz2").mkdir()
    with pytest.raises(DataError, match=r"ttbar_0_3\.pkl\.bz2: expected a file, got an empty folder"):
        import_folder(source, tmp_path / "data")


def test_what_lies_in_the_folder_instead_is_said(source: Path, tmp_path: Path):
    upstream(source)
    with pytest.raises(
        DataError, match=r"holds 0 files of 100 qcd.*found tev14_pythia8_ttbar_0_10\.pkl\.bz2, tev"
    ):
        import_folder(source / "pythia8_ttbar" / "raw", tmp_path / "data")
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="in it and the folders below, found nothing"):
        import_folder(tmp_path / "other", tmp_path / "data")
    (tmp_path / "other" / "4559324.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"found 4559324\.zip"):
        import_folder(tmp_path / "other", tmp_path / "data")
