from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.comparison import NOT_COMPUTED, comparison, failures, obstacles, plot, ratios
from benchmarks.config import TrainingConfig
from benchmarks.errors import UsageError
from benchmarks.result import RunResult
from benchmarks.side_by_side import Side, side_by_side
from tests.results import epoch, result

FIRST = Side("first.json", (result(),))
OTHER_BATCHES = Side("c", (result(config={**result().config, "batch_size": 10}),))


def _run(*rates: float, **changes: Any) -> RunResult:
    """A run whose timed epochs have the given rates, in events/s."""
    warmup = epoch(0, 100, 100.0, warmup=True)
    epochs = [epoch(index, 100, 100 / rate) for index, rate in enumerate(rates, start=1)]
    return result(epochs=(warmup, *epochs), **changes)


def run(*rates: float, name: str = "run") -> Side:
    """A single run, see ``_run``."""
    return Side(name, (_run(*rates),))


def test_the_interval_of_welch_by_hand() -> None:
    """Logarithms -1, 0, 1: variance 1, error sqrt(1/3 + 1/3), t of 4 degrees of freedom is 2.776."""
    half_width = 2.7764451 * math.sqrt(2 / 3)
    rates = (math.exp(-1), 1.0, math.e)
    (train, _) = ratios(run(*rates), run(*(2 * rate for rate in rates)))
    assert (train.name, train.unit) == ("train", "events/s")
    assert train.value == pytest.approx(2)
    assert train.low == pytest.approx(2 * math.exp(-half_width))
    assert train.high == pytest.approx(2 * math.exp(half_width))
    assert train.word == "within noise"


@pytest.mark.parametrize(
    ("rates", "word"),
    [
        ((20.0, 20.2, 19.8), "within noise"),
        ((22.0, 22.2, 21.8), "faster"),
        ((18.0, 18.2, 17.8), "slower"),
        ((20.0,), "unknown"),
    ],
)
def test_the_word_knows_the_noise(rates: tuple[float, ...], word: str) -> None:
    assert ratios(run(20.0, 20.2, 19.8), run(*rates))[0].word == word


def test_runs_that_do_not_scatter_have_an_exact_ratio() -> None:
    train = ratios(run(20.0, 20.0), run(40.0, 40.0))[0]
    assert (train.value, train.low, train.high) == pytest.approx((2.0, 2.0, 2.0))
    assert train.word == "faster"


def test_inference_of_older_results_has_no_interval() -> None:
    infer = ratios(FIRST, FIRST)[1]
    assert (infer.name, infer.low, infer.high, infer.word) == ("infer", None, None, "unknown")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"workload": "gnn_tracking"}, "workload: mlpf, gnn_tracking"),
        ({"data_sha256": "ef" * 32}, "data: cdcdcdcdcdcd, efefefefefef"),
        ({"config": {**result().config, "preset": "large"}}, "preset: small, large"),
        ({"config": {**result().config, "precision": "float64"}}, "precision: float32, float64"),
        ({"provenance": {"benchmark": {"version": "2.0"}}}, "version: 1.2.3, 2.0"),
        ({"status": "failed"}, "b has no score: failed"),
    ],
)
def test_what_makes_runs_incomparable(changes: dict[str, Any], line: str) -> None:
    second = Side("b", (result(**changes),))
    assert obstacles(FIRST, second) == [line]
    assert failures([FIRST, second], 0.5) == [f"b is not comparable with first.json, because {line}"]


@pytest.mark.parametrize("key", ["threads", "seed", "data", "max_spread"])
def test_what_computes_nothing_is_no_obstacle(key: str) -> None:
    assert obstacles(FIRST, Side("b", (result(config={**result().config, key: 99}),))) == []


def test_what_each_machine_chose_for_itself_is_no_obstacle() -> None:
    """XLA on where the preset says auto: of a CPU and a GPU, each does what suits it."""

    def side(xla: str, *resolved: str) -> Side:
        config = {**result().config, "xla": xla, "resolved": list(resolved)}
        return Side("b", (result(config=config),))

    assert obstacles(side("off", "xla"), side("on", "xla")) == []
    # Whoever asks for a value computes something else than whoever has another.
    for first, second in ((side("off", "xla"), side("on")), (side("off"), side("on", "xla"))):
        assert obstacles(first, second) == ["xla: off, on"]
    assert obstacles(side("off"), side("off", "xla")) == []


def test_the_keys_that_compute_nothing_exist() -> None:
    assert {field.name for field in dataclasses.fields(TrainingConfig)} >= NOT_COMPUTED


def test_only_what_is_slower_by_more_than_noise_fails() -> None:
    first = run(20.0, 20.2, 19.8, name="a")
    slow, noisy = run(18.0, 18.2, 17.8, name="b"), run(12.0, 18.0, 40.0, name="c")
    assert failures([first, slow, noisy], 0.95) == [
        "b: train is 0.900 of a's (18 events/s for 20), below 0.95"
    ]
    assert failures([first, slow], 0.89) == []
    # A single repetition says nothing of noise, and so counts as it is.
    assert failures([first, run(18.0, name="d")], 0.95) == [
        "d: train is 0.900 of a's (18 events/s for 20), below 0.95"
    ]


def test_the_comparison_says_which_run_is_faster_and_which_is_none() -> None:
    results = [run(20.0, 20.2, 19.8, name="a"), run(22.0, 22.2, 21.8, name="b"), OTHER_BATCHES]
    text = comparison(results)
    lines = text.splitlines()
    assert lines[0] == "a: mlpf, preset small, Example CPU, 2 of 2 cores; no verdict"
    assert "b over a:" in lines
    row = next(line for line in lines if line.startswith("train"))
    assert row.split() == ["train", "20", "22", "events/s", "1.100", "1.076", "to", "1.124", "faster"]
    index = lines.index("c is not comparable with a, because")
    assert lines[index + 1] == "  batch_size: 5, 10"
    assert text.endswith(side_by_side(results))


@pytest.mark.slow
def test_the_plot_of_ratios_is_an_image(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    path = tmp_path / "ratios.png"
    plot([run(20.0, 20.2, 19.8, name="a"), run(22.0, 22.2, 21.8, name="b"), OTHER_BATCHES], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_comparable_runs_nothing_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"comparable with first\.json, got none$"):
        plot([FIRST, OTHER_BATCHES], tmp_path / "ratios.png")


def test_of_repeats_the_medians_count() -> None:
    """Every run scatters by a tenth, and their medians do not: what differs within a run averages out."""
    first = Side("a", tuple(_run(middle, middle + 2, middle - 2) for middle in (20.0, 20.2, 19.8)))
    second = Side("b", tuple(_run(middle, middle + 2, middle - 2) for middle in (18.0, 18.2, 17.8)))
    train = ratios(first, second)[0]
    assert (train.first, train.second, train.word) == (20.0, 18.0, "slower")
    assert ratios(Side("a", first.runs[:1]), Side("b", second.runs[:1]))[0].word == "within noise"


def test_repeats_of_different_runs_are_no_side() -> None:
    mixed = Side("b", (result(), *OTHER_BATCHES.runs))
    assert obstacles(FIRST, mixed) == ["batch_size: 5, 5, 10"]
