"""Standard streams that are closed, break or know few characters: none of it costs a result."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.command import LINE, ROOT, command, environment, hepbench, names, run_line, start

FILES = ["line_summary.json", "result.json", "run.log"]
CLOSED = [">&-", "2>&-", "<&- >&- 2>&-"]
FULL = [">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full"]


@pytest.mark.parametrize("streams", CLOSED + FULL)
def test_streams_that_take_nothing_cost_no_result(streams: str, tmp_path: Path) -> None:
    arguments = command("run", "line", "--output", tmp_path / "run", program=LINE)
    script = f'"$@" {streams}'
    answer = subprocess.run(
        ["bash", "-c", script, "bash", *arguments], env=environment({}), cwd=ROOT, check=False
    )
    assert answer.returncode == 0
    assert names(tmp_path / "run") == FILES


def test_nobody_prints_into_the_files_of_a_run_whose_streams_are_closed(tmp_path: Path) -> None:
    """The next file that a process opens gets the number of a closed stream, and libraries print there."""
    program = "import os; from benchmarks.streams import prepare_streams; prepare_streams(); "
    program += f"file = open({str(tmp_path / 'file')!r}, 'w'); os.write(1, b'x'); os.write(2, b'x'); "
    program += "os.system('echo x; echo x >&2')"
    arguments = [*command()[:1], "-c", program]
    subprocess.run(
        ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", *arguments], env=environment({}), cwd=ROOT, check=True
    )
    assert (tmp_path / "file").read_bytes() == b""


def test_a_reader_that_goes_away_costs_no_result(tmp_path: Path) -> None:
    process = start(
        *("run", "line", "--output", tmp_path, "--set=wait=0.2"), program=LINE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stderr.readline().startswith("epoch 1/3")
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert names(tmp_path) == FILES


def test_an_answer_that_nobody_can_read_is_a_failure() -> None:
    """Of ``report``, and unlike of a run, what it prints is all there is."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        answer = hepbench("list", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert answer.returncode == 1
    assert answer.stderr == "hepbench: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("name", [b"caf\xe9", "caf\u00e9 \u2192".encode()], ids=["latin-1", "utf-8"])
@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=["C", "POSIX", "latin-1"],
)
def test_any_locale_and_any_name_of_a_file_will_do(
    name: bytes, locale: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(name)
    answer = run_line(folder, env=locale, errors="replace")
    assert answer.returncode == 0, answer.stderr
    assert names(folder) == FILES
    assert "configuration: " in (folder / "run.log").read_text(encoding="utf-8")
    answer = hepbench("report", folder, env=locale, errors="replace")
    assert answer.returncode == 0, answer.stderr
