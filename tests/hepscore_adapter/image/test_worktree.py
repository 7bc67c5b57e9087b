"""Tests what the results folder of an image looks like while others write to it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from hepscore_adapter.image.plan import Plan
from hepscore_adapter.image.worktree import ARCHIVE, Worktree
from tests.command import names

PLAN = Plan((), 1, 1, None, "", (0,), (), None)


def test_two_containers_that_share_a_folder_do_not_take_each_others_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lets the second one write its archive in the middle of the first one's."""
    first, second = (Worktree.begin(tmp_path, "line", PLAN, straight=True) for _ in range(2))
    add = tarfile.TarFile.add

    def add_after_the_second(archive: tarfile.TarFile, *arguments: Any, **options: Any) -> None:
        monkeypatch.undo()
        second.rescue(clean=False)
        add(archive, *arguments, **options)

    monkeypatch.setattr(tarfile.TarFile, "add", add_after_the_second)
    first.write_archive()
    with tarfile.open(tmp_path / ARCHIVE) as archive:
        assert archive.getnames() == ["proc_1"]
    assert names(tmp_path) == [ARCHIVE, "inputs.log", "proc_1"]


def test_a_new_folder_can_be_read_by_everybody(tmp_path: Path) -> None:
    trees = [Worktree.begin(tmp_path, "line", PLAN, straight=False) for _ in range(2)]
    assert len({tree.folder for tree in trees}) == 2
    assert all(tree.folder.stat().st_mode & 0o777 == 0o755 for tree in trees)
