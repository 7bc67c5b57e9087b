"""``hepbench sonic``: its table, its picture, and one line for every wrong call."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from benchmarks.errors import UsageError
from benchmarks.sonic import figures
from benchmarks.sonic.command import sonic
from benchmarks.sonic.model import Chain
from tests.command import hepbench, refused

REQUIRED = ("--cpu-seconds=330", "--ml-seconds=220", "--gpu-seconds=2.7")
PUBLISHED = (*REQUIRED, "--preprocess=7", "--bandwidth-latency=1.9", "--travel=0.4")
CHAIN = Chain(cpu=330, ml=220, gpu=2.7, preprocess=7, transfer=1.9, travel=0.4)


def message(*arguments: str) -> str:
    """What is wrong with a call, which this process makes, to save the start of another one."""
    with pytest.raises((UsageError, click.ClickException)) as failure:
        sonic.main(list(arguments), standalone_mode=False)
    error = failure.value
    return error.format_message() if isinstance(error, click.ClickException) else str(error)


def test_the_table_has_the_published_figures() -> None:
    network = ("--event-gigabits=4.1", "--network-gigabits=100")
    answer = hepbench("sonic", *PUBLISHED, "--processes=68, 10", *network)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [
        "CPU alone    330 s an event, 66.7 % of it machine learning (220 s)",
        "service      122.00 s an event where nobody waits: 110 s, and 7 preprocessing + 1.9 transfer "
        "+ 0.4 travel + 2.7 GPU = 12 s",
        "speed-up     18.33 of the machine learning, 2.705 of the whole chain, where nobody waits",
        "",
        "processes per GPU  lower bound [s]  exact queue [s]  difference  speed-up, at most  "
        "speed-up, queue  GPU busy",
        "               10           122.00           122.65       0.5 %               2.70  "
        "           2.69    22.0 %",
        "               68           183.60           183.64       0.0 %               1.80  "
        "           1.80   100.0 %",
        "",
        "knee         45.19 processes per GPU; beyond it, an event takes 2.7 s for each process",
        "network      2976 jobs at most with 4.1 Gb an event on 100 Gb/s, which 65.85 GPUs serve",
    ]


def test_the_table_goes_around_the_knee() -> None:
    """Shares of 45.19 from a quarter to four, and a process alone."""
    assert figures.processes_around_knee(CHAIN) == [1, 11, 23, 34, 41, 45, 50, 56, 68, 90, 181]


def test_a_gpu_that_does_all_the_work_saturates_with_one_process() -> None:
    assert figures.processes_around_knee(Chain(cpu=1, ml=1, gpu=0.5)) == [1, 2, 4]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("--cpu-seconds=330",),
            "expected --cpu-seconds, --ml-seconds and --gpu-seconds, got no --ml-seconds and no "
            "--gpu-seconds; add what an event takes there, or the result of an inference service",
        ),
        (
            (*REQUIRED, "--ml-seconds=331"),
            "--ml-seconds: expected at most the 330 s of --cpu-seconds, which has the machine learning in "
            "it, got 331",
        ),
        (
            (*REQUIRED, "--gpu-seconds=0"),
            "Invalid value for '--gpu-seconds': 0.0 is not in the range 1e-09<=x<=1000000000.0.",
        ),
        ((*REQUIRED, "--travel=nan"), "Invalid value for '--travel': 'nan' is not a number."),
        (
            (*REQUIRED, "--travel=inf"),
            "Invalid value for '--travel': inf is not in the range 0<=x<=1000000000.0.",
        ),
        ((*REQUIRED, "--travel=x"), "Invalid value for '--travel': 'x' is not a valid float range."),
        (
            (*REQUIRED, "--event-gigabits=4"),
            "expected --event-gigabits and --network-gigabits together, got one of them; add the other",
        ),
        (
            (*REQUIRED, "--event-gigabits=400", "--network-gigabits=2"),
            "--network-gigabits: one event takes 200 s there, more than the 112.7 s of all its parts; give "
            "--bandwidth-latency at least that",
        ),
        (
            (*REQUIRED, "--processes=1,0"),
            "--processes: expected whole numbers A,B,... from 1 to 1000000, got '1,0'",
        ),
        (
            (*REQUIRED, "--gpu-seconds=1e-6"),
            "the GPU saturates with 1.1e+08 processes, more than a table around that number is made for; "
            "give the numbers of processes per GPU that you mean, up to 1000000, with --processes A,B,...",
        ),
    ],
)
def test_a_wrong_call_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    assert message(*arguments) == line


@pytest.mark.parametrize("option", ["--processes=0", "--gpu-seconds=nan"])
def test_a_wrong_call_ends_with_its_line(option: str) -> None:
    line = refused(hepbench("sonic", *REQUIRED, option), 2)
    assert line == message(*REQUIRED, option)


@pytest.mark.parametrize("text", ["", "x", "1,,2", "-1", "1.5", "1000001", "9" * 5000, "²"])
def test_numbers_of_processes_are_whole(text: str) -> None:
    expected = "--processes: expected whole numbers A,B,... from 1 to 1000000, got "
    assert message(*REQUIRED, f"--processes={text}").startswith(expected)


@pytest.mark.slow
def test_the_picture_is_an_image(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    path = tmp_path / "sonic.png"
    answer = hepbench("sonic", *PUBLISHED, "--plot", path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith(f"\n{path}\n")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_an_unknown_image_format_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    with pytest.raises(UsageError, match=r"sonic\.docx: Format 'docx' is not supported"):
        figures.plot(CHAIN, [1, 100], tmp_path / "sonic.docx", {})
