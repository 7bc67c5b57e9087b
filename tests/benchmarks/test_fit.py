"""What fits by the formulae: a line, whose memory is its events, and whole events of tracks by hand."""

from __future__ import annotations

import pytest

from benchmarks.config import TrainingConfig
from benchmarks.fit import Room, largest_batch, search_largest, table_of_fits
from benchmarks.resolution import resolve
from benchmarks.workload import presets
from tests.command import LINE, hepbench, refused
from tests.line import LineConfig


def line(*arguments: object) -> list[list[str]]:
    """The cells of ``hepbench fit line`` for events of a gigabyte, below the heading."""
    answer = hepbench("fit", "line", "--set=event_bytes=1000000000", *arguments, program=LINE)
    assert answer.returncode == 0, answer.stderr
    heading, _, *rows = answer.stdout.splitlines()
    assert heading.startswith("line in ")
    return [row.split() for row in rows[: rows.index("")]]


def test_every_preset_has_a_line() -> None:
    """Smoke has 3 events and asks for 2 at a time. Preset eight has 8, of which 5 fit."""
    rows = line("--memory", "5.5GB")
    assert rows[0] == ["preset", "batch", "float32", "float64", "mixed_bfloat16", "mixed_float16"]
    cells = {row[0]: (row[1], " ".join(row[2:4])) for row in rows[1:]}
    assert set(cells) == {"smoke", "eight", "slow", "steady", "nan", "floor"}
    assert cells["smoke"] == ("2", "up to")
    assert next(row for row in rows if row[0] == "smoke")[2:5] == ["up", "to", "3+"]
    assert next(row for row in rows if row[0] == "eight")[2:5] == ["up", "to", "5"]


@pytest.mark.parametrize(
    ("memory", "cell"),
    [("2GB", "up to 2"), ("1.99GB", "only 1"), ("0.99GB", "no, 1.0 GB"), ("1GiB", "only 1")],
)
def test_the_words_of_a_cell(memory: str, cell: str) -> None:
    rows = line("--preset", "eight", "--memory", memory)
    assert len(rows) == 2
    assert " ".join(rows[1][2:]) == " ".join([cell] * 4)


def test_whole_events_of_tracks_by_hand() -> None:
    """E = 2.4e6 edges and N = 170,000 nodes, h b = 256 bytes in float32.

    Checkpoint takes 1.2 GB + (23 E + 25 N) 256 + 120 E = 16.7 GB, and chunked with 9 and 12 takes 7.5 GB.
    """
    candidate = resolve("hepscore", presets("gnn_tracking")["hepscore"])
    lines = table_of_fits([candidate], Room(11_000_000_000, "cpu", "by hand")).splitlines()
    assert lines[0] == "gnn_tracking in 11.0 GB (by hand):"
    rows = {row.split()[1]: " ".join(row.split()) for row in lines[3:6]}
    assert rows["store"].startswith("hepscore store 1 no, 23.1 GB")
    assert rows["checkpoint"].startswith("hepscore checkpoint 1 no, 16.7 GB no, 31.9 GB up to 1 up to 1")
    assert rows["chunked"].startswith("hepscore chunked 1 up to 1")


def test_a_backend_has_the_precisions_that_it_can() -> None:
    candidate = resolve("smoke", presets("mlpf")["smoke"], assignments=["backend=jax"])
    text = table_of_fits([candidate], Room(11_000_000_000, "cpu", "by hand"))
    assert "float64" not in text
    assert "mixed_bfloat16" in text


def test_a_kernel_has_no_batch() -> None:
    answer = hepbench("fit", "mellin_dis", "--preset=smoke", "--memory=11GB")
    assert answer.stdout.splitlines()[3].split() == ["smoke", "-", "yes,", "0.7", "GB"]
    answer = hepbench("fit", "mellin_dis", "--preset=smoke", "--memory=100MB")
    assert answer.stdout.splitlines()[3].split()[2] == "no,"


def test_the_events_of_an_epoch_limit_the_batch() -> None:
    """Four steps of 8 events leave 2 a step; the memory would do for 1000."""
    config = LineConfig(train_events=8, min_steps=4)
    assert largest_batch(config, 1_000_000) == (2, True)
    assert largest_batch(config, 1_999) == (1, False)
    assert largest_batch(config, 999) == (0, False)
    assert isinstance(config, TrainingConfig)


@pytest.mark.parametrize("bound", [1, 2, 7, 40])
def test_the_search_finds_the_largest_that_fits(bound: int) -> None:
    for limit in range(bound + 2):
        for guess in range(bound + 3):
            tries: list[int] = []

            def fits(number: int, limit: int = limit, tries: list[int] = tries) -> bool:
                assert 1 <= number <= bound
                tries.append(number)
                return number <= limit

            assert search_largest(fits, guess, bound) == min(limit, bound)
            assert len(tries) == len(set(tries)) <= 12


def test_a_good_guess_needs_few_tries() -> None:
    tries: list[int] = []

    def fits(number: int) -> bool:
        tries.append(number)
        return number <= 41

    assert search_largest(fits, 40, 160) == 41
    assert tries == [40, 50, 45, 42, 41]


@pytest.mark.parametrize("text", ["11", "11 apples", "0GB", "-1GB", "GB"])
def test_an_amount_without_a_unit_is_refused(text: str) -> None:
    answer = hepbench("fit", "line", "--memory", text, program=LINE)
    expected = f"expected an amount of memory with its unit, such as 11GB or 8GiB, got {text!r}"
    assert refused(answer, 2) == f"Invalid value for '--memory': {expected}"


def test_measuring_needs_a_preset_and_data_need_measuring() -> None:
    answer = hepbench("fit", "line", "--measure", program=LINE)
    assert refused(answer, 2) == "--measure: expected one preset to try, got none; name it with --preset"
    answer = hepbench("fit", "line", "--data=/tmp", program=LINE)
    assert refused(answer, 2) == "--data: only --measure reads events; leave it out"


def test_a_kernel_is_not_measured() -> None:
    answer = hepbench("fit", "mellin_dis", "--measure", "--preset=smoke")
    line = "fit --measure: expected a training, got mellin_dis, whose kind is numerical kernel"
    assert refused(answer, 2) == line
