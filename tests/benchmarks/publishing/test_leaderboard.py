"""The page of results: its tables as a reader of HTML sees them, and the page in a browser."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.publishing.leaderboard import leaderboard, write_leaderboard
from benchmarks.result import RunResult
from hepscore_adapter.references import read_reference

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """The tables of a page: for each row, the text of its cells by their labels."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.titles: list[str] = []
        self.tables: list[list[dict[str, str]]] = []
        self.pairs: list[dict[str, Any]] = []
        self._tag = self._label = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._tag = "json" if values.get("type") == "application/json" else tag
        if tag == "tbody":
            self.tables.append([])
        elif tag == "tr" and "data-index" in values:
            self.tables[-1].append({})
        elif tag == "td":
            self._label = values["data-label"] or ""
            self.tables[-1][-1][self._label] = ""
        elif tag == "small":
            self.tables[-1][-1][self._label] += "|"

    def handle_data(self, data: str) -> None:
        if self._tag == "h2":
            self.titles.append(data.strip())
        elif self._tag == "json" and data.strip():
            self.pairs.append(json.loads(data))
        elif self._tag in ("span", "small") and self.tables:
            self.tables[-1][-1][self._label] += data

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 (the name is the base's)
        self._tag = ""


def faster(run: RunResult, factor: float, model: str, **config: Any) -> RunResult:
    """A run as on another CPU, which takes less time for every epoch."""
    epochs = tuple(
        dataclasses.replace(epoch, seconds=epoch.seconds / factor, throughput=factor * epoch.throughput)
        for epoch in run.epochs
    )
    provenance = {**run.provenance, "cpu": {**run.provenance["cpu"], "model": model}}
    return dataclasses.replace(
        run, epochs=epochs, scores={}, provenance=provenance, config={**run.config, **config}
    )


@pytest.fixture(scope="module")
def runs() -> list[tuple[str, RunResult]]:
    run = read_reference("mlpf-smoke")
    return [
        ("a", run),
        ("b", faster(run, 2.0, "Fast <CPU>")),
        ("c", faster(run, 1.0, "Third CPU", precision="float64")),
        ("d", read_reference("gnn_tracking-smoke")),
    ]


def test_a_table_for_each_workload_and_preset(runs: list[tuple[str, RunResult]]) -> None:
    page = Page(leaderboard(runs))
    assert page.titles == ["gnn_tracking, preset smoke", "mlpf, preset smoke"]
    tracking, mlpf = page.tables
    assert len(tracking) == 1
    assert [row["machine"].split(",")[0] for row in mlpf] == ["AMD EPYC", "Fast <CPU>", "Third CPU"]
    first = mlpf[0]
    assert set(first) == {
        *("compare", "machine", "train [events/s]", "infer [events/s]", "verdict", "settings", "version")
    }
    train = runs[0][1].scores["train"].spread
    assert (
        first["train [events/s]"] == f"{train.median:.4g}|{train.min:.4g} to {train.max:.4g}, n {train.count}"
    )
    assert first["verdict"].startswith(runs[0][1].verdict["word"])
    assert first["settings"] == "float32, tensorflow"


def test_rows_are_compared_as_the_command_compares_them(runs: list[tuple[str, RunResult]]) -> None:
    """Twice as fast, by hand; another precision is another calculation."""
    pairs = Page(leaderboard(runs)).pairs[1]
    assert set(pairs) == {"0-1", "0-2", "1-2"}
    train = next(ratio for ratio in pairs["0-1"]["ratios"] if ratio["name"] == "train")
    assert train["value"] == pytest.approx(2.0)
    assert train["low"] < 2 < train["high"]
    assert train["word"] == "faster"
    assert pairs["0-2"] == {"reasons": ["precision: float32, float64"], "ratios": []}


def test_repeats_on_one_machine_are_one_row(runs: list[tuple[str, RunResult]]) -> None:
    run = runs[0][1]
    model = run.provenance["cpu"]["model"]
    repeats = [("a", run), ("b", faster(run, 1.5, model)), ("c", faster(run, 2.0, model))]
    (table,) = Page(leaderboard(repeats)).tables
    assert len(table) == 1
    median = run.scores["train"].spread.median
    expected = f"{1.5 * median:.4g}|{median:.4g} to {2 * median:.4g}, n 3"
    assert table[0]["train [events/s]"] == expected
    assert "3 repeats" in table[0]["machine"]


def test_the_page_asks_nobody_for_anything(runs: list[tuple[str, RunResult]]) -> None:
    text = leaderboard(runs)
    assert re.findall(r"(?:src|href)=(?!\"data:,)", text) == []
    assert "http" not in text
    assert "@import" not in text
    assert "no proof against fraud" in text


def test_text_of_results_is_escaped() -> None:
    evil = faster(read_reference("mlpf-smoke"), 1.0, "</script><script>alert(1)</script>")
    text = leaderboard([("a", evil), ("b", faster(evil, 2.0, "B", precision="</script>"))])
    assert text.count("<script") == 2
    assert "alert(1)</script>" not in text


def browse(page: Path, probe: str, *options: str) -> str:
    """The text that a script in a copy of the page leaves in its title, once all else has run."""
    assert BROWSER is not None
    copy = page.with_name("probe.html")
    work = f"document.title = String((() => {{ {probe} }})());"
    script = f"<script>try {{ {work} }} catch (e) {{ document.title = 'error ' + e; }}</script>"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{script}</body>"), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *options, "--dump-dom", copy.as_uri()]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    match = re.search(r"<title>(.*?)</title>", answer.stdout, re.DOTALL)
    assert match is not None
    return match[1]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser: Chromium is not installed")
def test_the_page_works_in_a_browser(runs: list[tuple[str, RunResult]], tmp_path: Path) -> None:
    page = write_leaderboard(runs, tmp_path / "site")
    sort = """
      const table = document.querySelectorAll("table")[1];
      const button = [...table.querySelectorAll("th button")].find((b) => b.textContent.startsWith("train"));
      button.click();
      return [...table.tBodies[0].rows].map((row) => row.dataset.index).join(",");
    """
    assert browse(page, sort) == "1,0,2"
    filtering = """
      const input = document.querySelector("label.filter input");
      input.value = "mlpf third";
      input.dispatchEvent(new Event("input"));
      return [...document.querySelectorAll("tbody tr")].filter((row) => !row.hidden).length;
    """
    assert browse(page, filtering) == "1"
    compare = """
      const rows = [...document.querySelectorAll("table")[1].tBodies[0].rows];
      for (const index of [1, 0, 2]) rows[index].querySelector("input").click();
      return document.querySelectorAll("section")[1].querySelector(".comparison").innerText;
    """
    text = browse(page, compare)
    assert "train: slower, 0.500 times" in text
    assert "not comparable, because precision" in text

    # The browser's smallest window is wider than a telephone, and has the same layout.
    width = "document.body.style.width = '390px'; return document.body.scrollWidth;"
    assert browse(page, width, "--window-size=390,800") == "390"
