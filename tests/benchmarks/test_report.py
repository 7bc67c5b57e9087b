from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import UsageError
from benchmarks.report import plot, table
from tests.results import epoch, result

FIRST = ("first.json", result())
# Twice the events in the same time, with another batch size.
SECOND = (
    "second.json",
    result(
        epochs=tuple(epoch(e.index, 2 * e.events, e.seconds, e.warmup) for e in result().epochs),
        config={**result().config, "batch_size": 10},
    ),
)


def test_several_ranks_say_what_their_messages_take() -> None:
    """A tenth, two tenths and four tenths of epochs of 10 s; the median counts, the warm-up does not."""
    seconds = (9.0, 1.0, 2.0, 4.0)
    epochs = [replace(e, communication_seconds=s) for e, s in zip(result().epochs, seconds, strict=True)]
    ranks = result(world_size=2, epochs=tuple(epochs), distributed={"bytes_per_step": 800})
    line = "communication       800 bytes a step from each of 2 ranks, alone 20.0 % of an epoch"
    assert line in table([("run", ranks)]).splitlines()
    assert "communication" not in table([("run", result())])


def test_the_table_of_one_run() -> None:
    assert table([FIRST]) == "\n".join(
        [
            "first.json: mlpf, preset small, seed 7, ok",
            "",
            "epoch           seconds  events/s    loss  input wait  val. loss  val. accuracy",
            "    0  warm-up      100         1       1      25.0 %        0.5           0.75",
            "    1                10        10     0.5      25.0 %        0.5           0.75",
            "    2                10        20  0.3333      25.0 %        0.5           0.75",
            "    3                10        30    0.25      25.0 %        0.5           0.75",
            "",
            "training            median 20 events/s (10 to 30, spread 100.0 %, n 3)",
            "real elements       200 per second, padding 50.0 %",
            "inference, batch 5  median 50 events/s (40 to 60, spread 40.0 %, n 3)",
            "inference, batch 1  median 2 events/s (2 to 2, spread 0.0 %, n 1)",
            "latency, batch 1    p50 500 ms, p95 600 ms, p99 750 ms (100 events)",
            "quality             accuracy 0.75, auc 0.875",
            "peak memory         host 3.00 GiB, device 1.00 GiB, expected 2.00 GiB",
            "settings            batch_size 5, precision float32, xla off, deterministic on, threads 2, "
            "world_size 1",
            "data                cdcdcdcdcdcd",
            "weights             abababababab",
            "machine             Example CPU, 2 of 2 cores",
        ]
    )


def test_the_table_of_a_run_that_failed_early_says_why_and_nothing_more() -> None:
    nothing: dict[str, Any] = {"quality": {}, "inference": {}, "peak_memory_bytes": {}, "provenance": {}}
    run = result(
        status="failed", reason="needs 9 GiB, has 8", epochs=(), weights_sha256="", data_sha256="", **nothing
    )
    assert table([("result.json", run)]) == (
        "result.json: mlpf, preset small, seed 7, failed: needs 9 GiB, has 8\n"
        "\n"
        "settings  batch_size 5, precision float32, xla off, deterministic on, threads 2, world_size 1"
    )


def test_energy_is_shown_with_its_source_and_what_it_leaves_out() -> None:
    nothing = {
        "joules": None,
        "joules_per_event": None,
        "events_per_joule": None,
        "source": None,
        "missing": "x",
    }
    gpu = {"joules": 50.0, "joules_per_event": 0.5, "events_per_joule": 2.0, "source": "integrated power"}
    energies = {
        "train": {"gpu": {**gpu, "leaves_out": "fans", "missing": ""}, "cpu": {**nothing, "leaves_out": ""}}
    }
    run = result(energy_scored=energies)
    line = "GPU energy, train   2 events/J, 0.5 J/event by integrated power, without fans"
    lines = table([("run", run)]).splitlines()
    assert line in lines
    assert not any("CPU energy" in text for text in lines)


def test_a_loss_of_nan_is_shown_as_such() -> None:
    diverged = replace(epoch(0, 100), loss=math.nan, validation={})
    lines = table([("r", result(status="failed", reason="loss is NaN", epochs=(diverged,)))]).splitlines()
    assert lines[3].split() == ["0", "10", "10", "nan", "25.0", "%", "-", "-"]


def test_gpus_are_counted_by_name() -> None:
    gpus = [{"name": "Big"}, {"name": "Small"}, {"name": "Big"}]
    run = result(provenance={**result().provenance, "gpus": gpus})
    assert table([("r", run)]).endswith("Example CPU, 2 of 2 cores, 2 x Big, 1 x Small")


def test_the_table_of_several_runs_is_each_of_theirs() -> None:
    assert table([FIRST, SECOND]) == f"{table([FIRST])}\n\n{table([SECOND])}"


@pytest.mark.slow
def test_the_plot_is_an_image(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    path = tmp_path / "runs.png"
    plot([FIRST, SECOND], path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_an_unknown_image_format_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    with pytest.raises(UsageError, match=r"runs\.docx: Format 'docx' is not supported"):
        plot([FIRST], tmp_path / "runs.docx")


def test_without_the_plotting_libraries_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mplhep", None)
    with pytest.raises(UsageError, match=r"pip install '\.\[report\]'$"):
        plot([FIRST], tmp_path / "runs.png")


def test_a_table_loads_neither_keras_nor_matplotlib() -> None:
    code = (
        "import sys; from benchmarks.report import table; from tests.results import result;"
        "table([('r', result())]);"
        "print(sorted({'tensorflow', 'keras', 'matplotlib', 'mplhep'} & sys.modules.keys()))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert answer.stdout.strip() == "[]"
