from pathlib import Path

import pytest

from datasets.cache import cache_root, expand_home, scratch_folder
from datasets.errors import DataError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HEPBENCH_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_variables_name_the_cache_in_their_order(home: Path, monkeypatch: pytest.MonkeyPatch):
    assert cache_root() == home / ".cache" / "hepbench"
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch/cache")
    assert cache_root() == Path("/scratch/cache/hepbench")
    monkeypatch.setenv("HEPBENCH_DATA", "/data")
    assert cache_root() == Path("/data")


def test_empty_variables_count_as_none(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HEPBENCH_DATA", "")
    assert cache_root() == home / ".cache" / "hepbench"


def test_a_tilde_in_quotes_is_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cache")
    assert cache_root() == home / "cache" / "hepbench"
    monkeypatch.setenv("HEPBENCH_DATA", "~/data")
    assert cache_root() == home / "data"


def test_without_a_home_there_is_a_cache_all_the_same(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HOME")
    assert home != cache_root() == Path("/.cache/hepbench")


def test_the_home_of_nobody_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEPBENCH_DATA", "~nobody-of-this-name/data")
    with pytest.raises(DataError, match=r"^HEPBENCH_DATA=~nobody-of-this-name/data: there is no such home"):
        cache_root()


def test_a_tilde_elsewhere_is_a_letter():
    assert expand_home("data/~old", "data") == Path("data/~old")


def test_a_scratch_folder_lies_beside_the_data_set_and_goes(tmp_path: Path):
    with scratch_folder(tmp_path / "deep" / "set") as folder:
        assert folder.parent == tmp_path / "deep"
        assert folder.is_dir()
    assert not folder.exists()
