from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.cli import cli
from benchmarks.errors import UsageError
from benchmarks.files import write_json
from benchmarks.report import table
from benchmarks.reporting import sources as sources_module
from benchmarks.reporting.page import render, write_report
from benchmarks.reporting.sources import Sources
from benchmarks.result import RunResult
from tests.benchmarks.reporting.pages import failed, finished, kernel
from tests.results import result

pytest.importorskip("mplhep")
pytest.importorskip("jinja2")

SCALING = {
    "schema_version": 1,
    "workload": "line",
    "preset": "smoke",
    "mode": "weak",
    "threads_per_rank": 1,
    "machine": "Example CPU, 2 of 2 cores",
    "measured": [
        {
            "ranks": ranks,
            "batch_size": 4,
            "events_per_second": 10.0 * ranks,
            "speed_up": ranks,
            "efficiency": 1.0,
            "communication_share": 0.1,
            "relative_spread": 0.01,
            "model_events_per_second": None,
            "quality": {"loss": 0.5},
        }
        for ranks in (1, 2)
    ],
    "model": {
        "call_seconds": None,
        "alpha_seconds": 1e-5,
        "beta_seconds_per_byte": 1e-9,
        "relative_deviation": 0.1,
        "bytes_per_step": 800,
        "all_reduce": [],
        "serial_share": None,
    },
    "projection": {"assumption": "not measured", "points": []},
}


def page_of(*runs: RunResult, **scalings: Any) -> str:
    return render(Sources([(f"runs/{i}", run) for i, run in enumerate(runs)], list(scalings.items())))


def titles(page: str) -> list[str]:
    return re.findall(r'aria-label="([^"]*)"', page)


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(finished())


@pytest.mark.slow
def test_a_page_has_scores_with_units_and_the_verdict_with_reasons(page: str) -> None:
    for text in (
        "<small>score train</small><b>20 <span>events/s</span></b><small>spread 100.0 % over 3</small>",
        "<small>score infer</small><b>50 <span>events/s</span></b><small>spread 40.0 % over 3</small>",
        "<small>latency of one event</small><b>500 <span>ms</span></b><small>p99 750 ms</small>",
        "<small>peak memory, device</small><b>1.00 <span>GiB</span></b><small>predicted 2.00 GiB</small>",
        '<span class="verdict disturbed">disturbed</span>',
        "<li>others kept 0.50 of the run&#39;s cores busy</li>",
        "hepbench reproduce runs/0",
        "hepbench run mlpf --preset small",
    ):
        assert text in page


@pytest.mark.slow
def test_a_page_draws_what_there_is(page: str) -> None:
    assert titles(page) == [
        *("Classes", "Response", "Tracks by pT", "An event"),
        *("Repetitions of train", "Latency", "Loss", "Quality"),
        *("Processor", "Power", "Limits of the clocks of GPUs", "Peak memory"),
    ]


@pytest.mark.slow
def test_a_page_says_what_was_not_measured_and_why(page: str) -> None:
    assert "<td>package power</td><td>powercap: there is none</td>" in page
    assert "<td>GPU 0: temperature</td><td>not supported</td>" in page


@pytest.mark.slow
def test_a_page_has_the_energy_of_an_event_or_why_there_is_none(page: str) -> None:
    tile = "<small>energy of an event, train</small><b>2.5 <span>J</span></b>"
    assert f"{tile}<small>GPU, counter of energy</small>" in page
    assert "<td>train</td><td>GPU</td><td>750</td><td>2.5</td><td>0.4</td><td>counter of energy</td>" in page
    assert "<td>train</td><td>CPU</td><td>-</td><td>-</td><td>-</td><td>powercap: none</td>" in page


@pytest.mark.slow
def test_a_page_needs_no_network_and_no_script(page: str) -> None:
    assert not re.findall(r"<script|<link|<img|\bsrc=|@import|url\((?!#)", page)
    links = re.findall(r'href="([^"]*)"', page)
    assert links
    assert all(link.startswith("#") for link in links)


@pytest.mark.slow
def test_names_inside_a_page_are_unique_and_lead_somewhere() -> None:
    page = page_of(result(), result())
    names = re.findall(r'\bid="([^"]*)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', page)) <= set(names)


@pytest.mark.slow
def test_drawings_follow_the_colours_of_the_page(page: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawn)) <= {
        *("none", "var(--ink)", "var(--faint)"),
        *(f"var(--series-{number})" for number in range(6)),
    }


@pytest.mark.slow
def test_text_of_a_result_is_no_markup() -> None:
    page = page_of(dataclasses.replace(failed(), reason="<script>alert(1)</script> & more"))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page


def test_a_run_that_failed_says_why_and_has_no_score() -> None:
    page = page_of(failed())
    assert '<span class="verdict failed">failed</span>' in page
    assert "<li>does not fit: needs 9 GiB, has 8</li>" in page
    assert 'class="tile"' not in page
    assert "hepbench reproduce" not in page
    assert "hepbench run mlpf --preset small" in page


@pytest.mark.slow
def test_a_run_that_failed_late_shows_its_epochs_and_no_score() -> None:
    page = page_of(finished(status="failed", reason="did not train"))
    assert 'class="tile"' not in page
    assert {"Loss", "Repetitions of train"} <= set(titles(page))


@pytest.mark.slow
def test_a_result_of_an_earlier_version_has_a_page() -> None:
    assert titles(page_of(result())) == ["Repetitions of train", "Loss", "Quality", "Peak memory"]


@pytest.mark.slow
def test_a_numerical_kernel_has_a_page() -> None:
    page = page_of(kernel())
    assert {"Time of an event", "Memory of an ensemble", "Processes on the node"} <= set(titles(page))
    assert "ensembles/h" in page
    assert "left out: gone: not installed" in page


@pytest.mark.slow
def test_several_runs_and_a_scaling_share_a_page() -> None:
    page = page_of(result(), failed(), scaled=SCALING)
    assert "<h1>3 results of hepbench</h1>" in page
    assert "<td>runs/0</td><td>mlpf</td><td>small</td>" in page
    assert "train 20 events/s" in page
    assert "<h1>weak scaling of line, preset smoke</h1>" in page
    assert titles(page)[0] == "Throughput and efficiency"


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^runs/0: expected a kind of workload among .* got 'dance'$"):
        page_of(result(kind="dance"))


def test_the_page_has_to_be_html(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    with pytest.raises(UsageError, match=r"page\.png: expected a file that ends in \.html; --plot draws"):
        write_report(Sources([("run", failed())]), path)
    assert not path.exists()


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "page.html"
    with pytest.raises(UsageError, match=r"expected a file to write to, got: No such file or directory$"):
        write_report(Sources([("run", failed())]), path)


def test_without_the_libraries_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match=r"jinja2.*pip install '\.\[report\]'$"):
        page_of(failed())


def saved(folder: Path, run: RunResult) -> Path:
    folder.mkdir(parents=True)
    write_json(folder / "result.json", run.to_dict())
    return folder


def test_the_command_prints_the_table_as_before_and_writes_the_page(tmp_path: Path) -> None:
    folder, page = saved(tmp_path / "run", failed()), tmp_path / "report.html"
    answer = CliRunner().invoke(cli, ["report", str(folder), "--output", str(page)])
    assert answer.exit_code == 0, answer.output
    assert answer.stdout == f"{table([(str(folder), failed())])}\n{page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_folder_of_repeats_stands_for_all_of_them(tmp_path: Path) -> None:
    for number in (1, 2):
        saved(tmp_path / f"repeat-{number}", failed())
    names = [name for name, _ in sources_module.read_sources([tmp_path]).results]
    assert names == [str(tmp_path / "repeat-1"), str(tmp_path / "repeat-2")]


def test_the_folder_of_a_scaling_is_read(tmp_path: Path) -> None:
    (tmp_path / "scaling.json").write_text(json.dumps(SCALING), encoding="utf-8")
    sources = sources_module.read_sources([tmp_path])
    assert sources.results == []
    (text,) = sources.texts()
    assert text.startswith("weak scaling of line, preset smoke")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{}", "expected schema version 1, got None"), ("{", "expected the result of hepbench scale")],
)
def test_a_scaling_that_cannot_be_read_is_one_line(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "scaling.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"scaling\.json: {reason}"):
        sources_module.read_sources([tmp_path])
