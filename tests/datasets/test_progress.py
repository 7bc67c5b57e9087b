from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import time
from pathlib import Path

import pytest

from datasets.progress import bar_or_lines, bar_or_tenths, bars_on
from tests.command import command, environment
from tests.conftest import TINY_TRACKS_DATA


class Terminal(io.StringIO):
    """What a terminal would show."""

    def isatty(self) -> bool:
        return True

    def last(self) -> str:
        """The text of the line as it was written last, without the codes that move the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue()).split("\r")[-1]


def test_a_tenth_is_told_once() -> None:
    lines: list[str] = []
    progress = bar_or_tenths(lines.append, "made")
    for count in (1, 2, 3, 19, 20):
        progress(count, 20)
    assert lines == ["made 10 %", "made 90 %", "made 100 %"]


def test_a_terminal_gets_a_bar_and_no_lines() -> None:
    lines: list[str] = []
    terminal = Terminal()
    with bars_on(terminal):
        progress = bar_or_tenths(lines.append, "generated")
        progress(5, 20)
        progress(20, 20)
    assert lines == []
    assert terminal.last().startswith("generated")
    assert "20/20" in terminal.last()
    assert terminal.getvalue().endswith("\n")


def test_a_bar_has_the_remaining_time() -> None:
    """Half is done after 1.1 s, so that as much is left."""
    terminal = Terminal()
    with bars_on(terminal):
        progress = bar_or_tenths(lambda _line: None, "generated")
        progress(1, 4)
        time.sleep(1.1)
        progress(2, 4)
        assert re.search(r"2/4 +00:00:0[1-9]", terminal.last())


def test_one_bar_follows_the_other() -> None:
    terminal = Terminal()
    with bars_on(terminal):
        for what in ("generated", "graphs built:"):
            progress = bar_or_tenths(lambda _line: None, what)
            for count in (1, 2):
                progress(count, 2)
    text = terminal.getvalue()
    assert text.count("\n") == 2
    first, second, _ = text.split("\n")
    assert "generated" in first
    assert "graphs" not in first
    assert "graphs built:" in second


def test_the_line_of_a_bar_ends_where_its_work_breaks_off() -> None:
    terminal = Terminal()
    with pytest.raises(RuntimeError, match="stop"), bars_on(terminal):
        bar_or_tenths(lambda _line: None, "generated")(1, 20)
        raise RuntimeError("stop")
    assert terminal.getvalue().endswith("\n")


def test_bars_end_with_their_block() -> None:
    calls: list[tuple[int, int]] = []

    def lines(done: int, total: int) -> None:
        calls.append((done, total))

    with bars_on(Terminal()):
        assert bar_or_lines("read", lines) is not lines
    with bars_on(None):
        assert bar_or_lines("read", lines) is lines
    assert bar_or_lines("read", lines) is lines


@pytest.mark.slow
def test_a_command_draws_bars_on_a_real_terminal(tmp_path: Path) -> None:
    """The same command writes plain lines into a file."""
    settings = (f"--set={key}={value}" for key, value in {**TINY_TRACKS_DATA, "generator": "helix"}.items())
    call = ["data", "generate", "gnn_tracking", *settings, "--output"]
    parent, child = pty.openpty()
    with subprocess.Popen(
        command(*call, tmp_path / "a"), stdout=subprocess.DEVNULL, stderr=child, env=environment({})
    ) as process:
        os.close(child)
        shown = b""
        try:
            while chunk := os.read(parent, 4096):
                shown += chunk
        except OSError:  # Linux answers so once the other end is closed
            pass
    os.close(parent)
    assert process.returncode == 0, shown
    assert b"generated 10 %" not in shown
    assert re.search(rb"generated .*\d+/\d+", shown), shown
    assert b"graphs built:" in shown.split(b"generated", 1)[1]

    answer = subprocess.run(
        command(*call, tmp_path / "b"), capture_output=True, text=True, check=True, env=environment({})
    )
    assert {"generated 100 %", "graphs built: 100 %"} <= set(answer.stderr.splitlines())
