"""Output folders that cannot be used, and disks that are full before or during a run."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
from pathlib import Path

import pytest

from benchmarks.output import check_folder, locked_folder
from tests.command import LINE, names, refused, run_line, start, until


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "run"
    line = refused(run_line(folder), 2)
    assert line == f"--output {folder}: expected a folder to write to, got: Not a directory"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refused(run_line(tmp_path / "file"), 2)
    assert line == f"Invalid value for '--output': Directory '{tmp_path / 'file'}' is a file."


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("this user may write anywhere")
    line = refused(run_line(tmp_path / "run"), 2)
    assert line == f"--output {tmp_path / 'run'}: expected a folder to write to, got: Permission denied"
    assert names(tmp_path) == []


def test_a_full_disk_is_found_before_the_run(small_disk: Path) -> None:
    folder = small_disk / "run"
    assert run_line(folder).returncode == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (small_disk / "filler").write_bytes(b"x" * (4 << 20))
    line = refused(run_line(folder, "--force", "--seed", "2"), 2)
    assert re.fullmatch(rf"--output {folder}: expected 4 MiB of free disk, got \d+ KiB", line)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def fill(folder: Path) -> None:
    """Takes every byte of the disk that is free."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_a_disk_that_fills_up_during_the_run_costs_the_result_and_no_more(small_disk: Path) -> None:
    """The result before stays whole. Its summary is gone, because a failed run has no score."""
    folder = small_disk / "run"
    assert run_line(folder).returncode == 0
    before = (folder / "result.json").read_bytes()
    process = start(
        *("run", "line", "--output", folder, "--force", "--seed=2", "--set=wait=0.1"), program=LINE
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("epoch 1/3")
    fill(small_disk)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert stderr.splitlines()[-1] == (
        f"hepbench: cannot write the result to {folder}: No space left on device"
    )
    assert "Traceback" not in stderr
    assert "Logging error" not in stderr
    assert (folder / "result.json").read_bytes() == before
    assert names(folder) == ["result.json", "run.log"]
    assert "median" in stdout  # an hour's figures are not lost


def test_a_result_that_grows_too_large_for_the_system_is_not_half_written(tmp_path: Path) -> None:
    """ulimit -f is a quota that any user can set. The log meets it first, and says nothing."""
    answer = run_line(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)))
    assert answer.returncode == 1
    line = answer.stderr.splitlines()[-1]
    assert line == f"hepbench: cannot write the result to {tmp_path}: File too large"
    assert "Traceback" not in answer.stderr
    assert "Logging error" not in answer.stderr
    assert names(tmp_path) == ["run.log"]


def test_runs_that_start_in_the_same_second_have_a_folder_each(tmp_path: Path) -> None:
    processes = [start("run", "line", "--quiet", program=LINE, cwd=tmp_path) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()
    folders = list((tmp_path / "results").iterdir())
    assert len(folders) == 3
    for folder in folders:
        assert names(folder) == ["line_summary.json", "result.json", "run.log"]


@pytest.mark.parametrize("options", [[], ["--force"]], ids=["new", "force"])
@pytest.mark.slow
def test_a_folder_that_another_run_writes_to_is_refused(options: list[str], tmp_path: Path) -> None:
    first = start("run", "line", "--output", tmp_path, "--set=wait=1", "--quiet", program=LINE)
    until(lambda: (tmp_path / "run.log").exists())
    line = refused(run_line(tmp_path, *options), 2)
    assert line == f"--output {tmp_path}: another run is writing to it; choose another folder"
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert names(tmp_path) == ["line_summary.json", "result.json", "run.log"]


def test_a_file_system_without_locks_takes_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert check_folder(tmp_path / "run", force=False)
    with locked_folder(tmp_path / "run"):
        pass


def test_a_link_leads_to_the_folder_also_if_that_is_not_there_yet(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "disk" / "run"
    link.symlink_to(target)
    refused(run_line(link, "--data", "/nowhere", "--quiet"), 1)
    assert names(target) == ["result.json", "run.log"]
    for _ in range(2):
        assert run_line(link, "--force").returncode == 0
        assert names(target) == ["line_summary.json", "result.json", "run.log"]
    assert link.is_symlink()


def test_a_mount_point_takes_results(small_disk: Path) -> None:
    refused(run_line(small_disk, "--data", "/nowhere", "--quiet"), 1)
    assert names(small_disk) == ["result.json", "run.log"]
    assert run_line(small_disk, "--force").returncode == 0
    assert names(small_disk) == ["line_summary.json", "result.json", "run.log"]


def test_a_link_to_itself_is_one_line(tmp_path: Path) -> None:
    link = tmp_path / "loop"
    link.symlink_to(link)
    line = refused(run_line(link), 2)
    assert line.startswith(f"--output {link}: expected a folder to write to, got: ")
