from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.folders import list_some, paths_below


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_at_any_depth_and_empty_folders_are_listed(tmp_path: Path):
    touch(tmp_path / "b", tmp_path / "a" / "deep" / "c", tmp_path / ".dotted")
    (tmp_path / "empty").mkdir()
    assert [str(path.relative_to(tmp_path)) for path in paths_below(tmp_path)] == [
        ".dotted",
        "a/deep/c",
        "b",
        "empty",
    ]


def test_hidden_folders_are_left_out(tmp_path: Path):
    touch(tmp_path / ".snapshot" / "a", tmp_path / "a")
    assert paths_below(tmp_path) == [tmp_path / "a"]


def test_an_empty_folder_has_nothing_below_it(tmp_path: Path):
    assert paths_below(tmp_path) == []


def test_links_are_followed_once(tmp_path: Path):
    touch(tmp_path / "disk" / "a")
    source = tmp_path / "source"
    source.mkdir()
    (source / "first").symlink_to(tmp_path / "disk")
    (source / "second").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(source)
    (source / "broken").symlink_to(tmp_path / "nowhere")
    assert paths_below(source) == [source / "broken", source / "second" / "a"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=rf"cannot search {tmp_path}: .*Permission denied"):
        paths_below(tmp_path)


def test_a_long_list_is_cut():
    assert list_some([]) == "nothing"
    assert list_some(["a", "b"]) == "a, b"
    assert list_some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
