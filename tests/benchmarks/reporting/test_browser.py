"""Pages as a browser shows them, on the screen of a computer and of a phone, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reporting.page import write_report
from benchmarks.reporting.sources import Sources
from tests.benchmarks.reporting.browser import find_browser, look_at
from tests.benchmarks.reporting.pages import failed, finished, kernel

pytest.importorskip("mplhep")
pytest.importorskip("jinja2")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no browser: Chromium is not installed"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(Sources([("a/run", finished()), ("a/kernel", kernel()), ("a/failed-run", failed())]), path)
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_is_readable(width: int, dark: bool, page: Path, tmp_path: Path) -> None:
    """Nothing reaches beyond the window, there is no error, and text stands out as WCAG's level AA asks."""
    seen = look_at(page, tmp_path, width, dark=dark)
    assert seen["dark"] is dark
    assert seen["console"] == []
    assert seen["window_width"] == width
    assert seen["page_width"] <= width
    assert seen["charts"] > 10
    assert seen["contrast"] >= 4.5, seen["worst"]
    assert seen["letters"] >= 6.0  # an index, and whatever is no index is larger


def test_the_browser_sees_what_is_wrong_with_a_page(tmp_path: Path) -> None:
    page = tmp_path / "poor.html"
    page.write_text(
        "<!doctype html><meta charset='utf-8'><title>a</title><body style='background:#fff;color:#aaa'>pale"
        "<div style='width:3000px'>wide</div><script>console.error('broken')</script>",
        encoding="utf-8",
    )
    seen = look_at(page, tmp_path, 390, dark=False)
    assert seen["page_width"] > 390
    assert seen["contrast"] < 3
    assert any("broken" in line for line in seen["console"])
