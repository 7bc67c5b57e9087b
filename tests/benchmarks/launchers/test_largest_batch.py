"""The largest batch by trying, in real processes that really take the memory of their events."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.fit import Room
from benchmarks.launchers.largest_batch import _fits, _outcome
from benchmarks.launchers.memory_limit import LimitedGroup, limited_group
from benchmarks.launchers.sweep import SignalRelay
from tests.command import LINE, command, hepbench, refused
from tests.line import LineConfig, configured, register
from tests.results import result

EVENT_MEGABYTES = 100


@pytest.fixture
def control_groups() -> Iterator[None]:
    try:
        with limited_group(1 << 30):
            pass
    except UsageError as error:
        pytest.skip(f"needs the right to make a control group: {error}")
    yield


def measured(tmp_path: Path, *arguments: object) -> list[str]:
    """The words for each try, and the answer, for events of 100 MB and a formula that says the same."""
    sizes = (f"--set={key}={EVENT_MEGABYTES}000000" for key in ("event_bytes", "held_bytes"))
    answer = hepbench(
        *("fit", "line", "--preset=eight", "--measure", f"--data={tmp_path}", *sizes, *arguments),
        program=LINE,
    )
    assert answer.returncode == 0, answer.stderr
    return [*answer.stderr.splitlines(), answer.stdout.strip()]


@pytest.mark.slow
@pytest.mark.usefixtures("control_groups")
def test_the_largest_batch_is_found_although_the_formula_is_wrong(tmp_path: Path) -> None:
    """The formula leaves out Python itself. So of 500 MB, five events of 100 MB are too many."""
    *tries, answer = measured(tmp_path, "--memory=500MB")
    words = dict(line.removeprefix("batch ").split(": ", 1) for line in tries)
    assert words["5"] == "does not fit: killed for memory"
    largest = int(answer.removeprefix("largest batch that fits into 0.5 GB: ").split(" ")[0])
    assert 1 <= largest < 5
    assert answer.endswith("(by the formula: 5)")
    assert words[str(largest)].startswith("fits, peak 0.")
    assert words[str(largest + 1)] == "does not fit: killed for memory"
    peak = float(words[str(largest)].split()[2])
    assert largest * EVENT_MEGABYTES / 1000 < peak < 0.5


@pytest.mark.slow
@pytest.mark.usefixtures("control_groups")
def test_nothing_fits_into_too_little(tmp_path: Path) -> None:
    assert measured(tmp_path, "--memory=120MB")[-1].startswith(
        "no batch fits into 0.1 GB; lower --batch-size"
    )


@pytest.mark.usefixtures("control_groups")
def test_a_try_that_breaks_says_nothing_about_memory(tmp_path: Path) -> None:
    arguments = ("fit", "line", "--preset=smoke", "--set=trouble=broken", "--measure", f"--data={tmp_path}")
    line = refused(hepbench(*arguments, program=LINE), 1)
    assert line == "--measure: batch 3: failed: unexpected RuntimeError: no such device"


def test_the_outcome_of_a_try() -> None:
    assert _outcome(result(), 0, 1) == (True, "fits, peak 1.07 GB")
    # Whoever fails for the quality has had its memory.
    assert _outcome(result(status="failed", reason="did not train: loss"), 0, 1)[0]
    without = {"status": "failed", "inference": {}}
    assert _outcome(result(**without, reason="no result, SIGKILL"), 1, 1)[0] is False
    assert _outcome(result(**without, reason="does not fit: 8 GB"), 0, 1)[0] is False
    with pytest.raises(RunFailedError, match=r"^--measure: batch 1: failed: no result, SIGKILL: why$"):
        _outcome(result(**without, reason="no result, SIGKILL"), 0, 1, "why")


def test_a_group_of_version_1_gets_its_limit(tmp_path: Path) -> None:
    """A tree of files in place of the kernel's, one that does not account for swap."""
    (tmp_path / "memory.limit_in_bytes").touch()
    with pytest.raises(OSError, match="not empty"), limited_group(4096, [tmp_path]) as group:
        assert (group.folder / "memory.limit_in_bytes").read_text() == "4096"
        assert not (group.folder / "memory.memsw.limit_in_bytes").exists()
        assert group.folder.parent == tmp_path


def test_a_group_of_version_2_is_made_where_the_right_is_handed_on(tmp_path: Path) -> None:
    inner, outer = tmp_path / "slice" / "scope", tmp_path / "slice"
    inner.mkdir(parents=True)
    (inner / "cgroup.subtree_control").write_text("")
    (outer / "cgroup.subtree_control").write_text("cpu memory pids\n")
    with pytest.raises(OSError, match="not empty"), limited_group(4096, [inner, outer, tmp_path]) as group:
        assert (group.folder / "memory.max").read_text() == "4096"
        assert group.folder.parent == outer


def test_the_kernel_counts_what_it_kills_and_refuses(tmp_path: Path) -> None:
    """Version 2 first, then version 1 with its files in place of those of version 2."""
    (tmp_path / "memory.events").write_text("low 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert (LimitedGroup(tmp_path).kills(), LimitedGroup(tmp_path).reached_limit()) == (2, True)
    (tmp_path / "memory.events").write_text("low 0\nmax 0\noom 0\noom_kill 0\n")
    assert (LimitedGroup(tmp_path).kills(), LimitedGroup(tmp_path).reached_limit()) == (0, False)
    (tmp_path / "memory.events").unlink()
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (tmp_path / "memory.failcnt").write_text("12\n")
    assert (LimitedGroup(tmp_path).kills(), LimitedGroup(tmp_path).reached_limit()) == (2, True)
    (tmp_path / "memory.failcnt").write_text("0\n")
    assert not LimitedGroup(tmp_path).reached_limit()


@pytest.mark.usefixtures("control_groups")
def test_a_try_that_never_ends_is_ended(tmp_path: Path) -> None:
    """It has not reached its limit, so that nothing is known of the batch."""
    config = dataclasses.replace(LineConfig(), trouble="prepare")
    resolved = dataclasses.replace(configured("trouble=prepare"), config=config)
    room = Room(1 << 30, "cpu", "by hand")
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        patch.setattr("benchmarks.launchers.sweep.this_program", lambda: command(program=LINE))
        with pytest.raises(RunFailedError, match=r"^--measure: batch 1: not at its end after 3 s$"):
            _fits(resolved, room, tmp_path, SignalRelay(), 1, 3.0)


def test_without_a_control_group_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--measure: expected a control group .*, got none; "):
        limited_group(4096, [tmp_path]).__enter__()


def test_a_process_joins_the_group_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "group").mkdir()
    group, log = LimitedGroup(tmp_path / "group"), tmp_path / "log"
    command = ["/bin/sh", "-c", "echo $$; echo $0 >&2", "a b"]
    answer = subprocess.run([*group.prefix(log), *command], capture_output=True, text=True)
    assert (answer.returncode, answer.stderr, log.read_text()) == (0, "", "a b\n")
    assert (group.folder / "cgroup.procs").read_text() == answer.stdout

    # A process that could not join does not run without its limit.
    missing = LimitedGroup(tmp_path / "missing")
    answer = subprocess.run([*missing.prefix(log), *command], capture_output=True, text=True)
    assert answer.returncode != 0
    assert answer.stdout == ""
