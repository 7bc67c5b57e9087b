from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest

from benchmarks.files import write_json, write_text


def test_write_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_write_json_leaves_what_is_there_if_told_to(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1}, replace=False)
    with pytest.raises(FileExistsError):
        write_json(path, {"a": 2}, replace=False)
    assert path.read_text(encoding="utf-8") == '{\n  "a": 1\n}\n'
    assert [each.name for each in tmp_path.iterdir()] == ["result.json"]


def test_containers_that_share_a_folder_and_a_process_number_do_not_collide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every container has a process 1. Here the second one writes in the middle of the first one."""
    path = tmp_path / "result.json"
    monkeypatch.setattr(os, "getpid", lambda: 1)

    def write_the_second(_file: int) -> None:
        monkeypatch.undo()
        write_text(path, "second, which is longer\n")

    monkeypatch.setattr(os, "fsync", write_the_second)
    write_text(path, "first\n")
    assert path.read_text(encoding="utf-8") == "first\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "text\n")
    finally:
        os.umask(previous)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_write_json_into_no_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_json(tmp_path / "absent" / "result.json", {})


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_system_without_fsync_and_hard_links_takes_a_result(
    replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "link", refuse)
    write_json(tmp_path / "result.json", {"a": 1}, replace=replace)
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == '{\n  "a": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    if not replace:
        with pytest.raises(FileExistsError):
            write_json(tmp_path / "result.json", {"a": 2}, replace=False)
