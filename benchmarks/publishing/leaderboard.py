"""A page of results that needs no server: sorted, filtered and compared where it is opened."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from benchmarks.comparison import CONFIDENCE, obstacles, ratios
from benchmarks.files import write_text
from benchmarks.machine.provenance import DISTRIBUTION
from benchmarks.publishing.collection import NO_PROOF
from benchmarks.report import machine, number
from benchmarks.result import RunResult, Spread
from benchmarks.scores import account
from benchmarks.side_by_side import Side

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<h1>{title}</h1>
<p class="note">Scores are medians, with the smallest and the largest value below. More is better. Choose rows
of a table to compare them with the first that you chose. Intervals of ratios are those of {confidence}.</p>
<label class="filter">Filter rows <input type="search" placeholder="such as quiet float32"></label>
{sections}
<p class="note">{no_proof}</p>
<script>
{script}</script>
</body>
</html>
"""


@dataclass(frozen=True)
class _Column:
    """A column of a table.

    Attributes:
        label: Its heading.
        is_number: Whether it is sorted by value, the largest first.
    """

    label: str
    is_number: bool = False


@dataclass(frozen=True)
class _Cell:
    """A cell of a table.

    Attributes:
        text: What it shows.
        value: What it is sorted by.
        remark: What stands below the text in small letters.
        style: Its class in the style sheet.
    """

    text: str
    value: str
    remark: str = ""
    style: str = ""


def write_leaderboard(results: Sequence[tuple[str, RunResult]], site: Path) -> Path:
    """Writes the page.

    Args:
        results: Of a collection, with their names.
        site: Folder of the page. It is made if it is missing.

    Returns:
        The page.

    Raises:
        OSError: The folder cannot be written.
    """
    site.mkdir(parents=True, exist_ok=True)
    page = site / "index.html"
    write_text(page, leaderboard(results))
    return page


def leaderboard(results: Sequence[tuple[str, RunResult]]) -> str:
    """Returns the page, which is complete in itself: a table for each workload and preset.

    Args:
        results: Runs with scores, with their names.
    """
    groups: dict[str, list[RunResult]] = {}
    for _, result in results:
        groups.setdefault(f"{result.workload}, preset {result.config['preset']}", []).append(result)
    files = importlib.resources.files("benchmarks.publishing")
    return _PAGE.format(
        title=f"{DISTRIBUTION}: results",
        style=(files / "leaderboard.css").read_text(encoding="utf-8"),
        script=(files / "leaderboard.js").read_text(encoding="utf-8"),
        confidence=f"{CONFIDENCE:.0%} confidence",
        no_proof=escape(NO_PROOF),
        sections="\n".join(_section(title, _sides(groups[title])) for title in sorted(groups)),
    )


def _sides(results: Iterable[RunResult]) -> list[Side]:
    """Returns the rows of a table: repeats of one configuration on one machine are one row."""
    sides: list[Side] = []
    for result in results:
        single = Side(machine(result.provenance), (result,))
        for index, side in enumerate(sides):
            if side.name == single.name and not obstacles(side, single):
                sides[index] = Side(side.name, (*side.runs, result))
                break
        else:
            sides.append(single)
    return sides


def _section(title: str, sides: Sequence[Side]) -> str:
    """Returns the table of a workload and preset, with what its rows come to when they are compared."""
    scores = {name: unit for side in sides for name, (_, unit) in side.scores().items()}
    columns = [
        _Column("compare"),
        _Column("machine"),
        *(_Column(f"{name} [{unit}]", is_number=True) for name, unit in scores.items()),
        *(_Column(label) for label in ("verdict", "settings", "version")),
    ]
    headings = "".join(_heading(column) for column in columns)
    rows = "\n".join(_row(index, side, columns, list(scores)) for index, side in enumerate(sides))

    # What a script element holds is not escaped, so nothing in it may look like its end.
    pairs = json.dumps(_pairs(sides), allow_nan=False).replace("<", "\\u003c")
    return (
        f"<section>\n<h2>{escape(title)}</h2>\n<table>\n<thead><tr>{headings}</tr></thead>\n"
        f'<tbody>\n{rows}\n</tbody>\n</table>\n<div class="comparison" aria-live="polite"></div>\n'
        f'<script type="application/json">{pairs}</script>\n</section>'
    )


def _heading(column: _Column) -> str:
    if column.label == "compare":
        return '<th scope="col">compare</th>'
    first = "descending" if column.is_number else "ascending"
    return f'<th scope="col" data-first="{first}"><button>{escape(column.label)}</button></th>'


def _row(index: int, side: Side, columns: Sequence[_Column], scores: Sequence[str]) -> str:
    """Returns the row of a side."""
    cells = [
        f'<td data-label="compare"><input type="checkbox" aria-label="compare {escape(side.name)}"></td>'
    ]
    for column, cell in zip(columns[1:], _cells(side, scores), strict=True):
        remark = f"<small>{escape(cell.remark)}</small>" if cell.remark else ""
        style = f' class="{cell.style}"' if cell.style else ""
        cells.append(
            f'<td data-label="{escape(column.label)}" data-value="{escape(cell.value)}"{style}>'
            f"<span>{escape(cell.text)}</span>{remark}</td>"
        )
    return f'<tr data-index="{index}" data-name="{escape(side.name)}">{"".join(cells)}</tr>'


def _cells(side: Side, scores: Sequence[str]) -> Iterator[_Cell]:
    """Yields the cells of a row but for the first one."""
    run = side.runs[-1]
    repeats = f"{len(side.runs)} repeats" if len(side.runs) > 1 else ""
    yield _Cell(side.name, side.name, ", ".join(filter(None, (run.device, _ranks(run), repeats))))
    medians = side.scores()
    for name in scores:
        if name not in medians:
            yield _Cell("-", "")
            continue
        spread = _spread(side, name)
        remark = f"{number(spread.min)} to {number(spread.max)}, n {spread.count}"
        yield _Cell(number(medians[name][0]), repr(medians[name][0]), remark, "number")

    # The worst verdict of several repeats is that of the row.
    verdicts = [run.verdict for run in side.runs if run.verdict]
    verdict = next((item for item in verdicts if item["word"] != "quiet"), next(iter(verdicts), None))
    if verdict is None:
        yield _Cell("none", "none", "", "unknown")
    else:
        yield _Cell(verdict["word"], verdict["word"], "; ".join(verdict["reasons"]), verdict["word"])
    settings = ", ".join(str(run.config[key]) for key in ("precision", "backend") if key in run.config)
    changes = ", ".join(f"{key} {run.config[key]}" for key in run.config.get("changed", ()) if key != "data")
    yield _Cell(settings, settings, changes)
    version = str(run.provenance.get("benchmark", {}).get("version") or "")
    yield _Cell(version, version, f"data {run.data_sha256[:12]}")


def _ranks(run: RunResult) -> str:
    return f"{run.world_size} ranks" if run.world_size > 1 else ""


def _spread(side: Side, score: str) -> Spread:
    """Returns the spread of a score over the repeats, or over the repetitions of a single run."""
    if values := side.values(score):
        return Spread.of(values)
    return account(side.runs[0]).scores[score].spread


def _pairs(sides: Sequence[Side]) -> dict[str, dict[str, list[object]]]:
    """Returns what ``hepbench compare`` says of each two rows, by their numbers."""
    judgements: dict[str, dict[str, list[object]]] = {}
    for index, first in enumerate(sides):
        for other_index, second in enumerate(sides[index + 1 :], start=index + 1):
            reasons = obstacles(first, second)
            of_scores = [] if reasons else ratios(first, second)
            judgements[f"{index}-{other_index}"] = {
                "reasons": list(reasons),
                "ratios": [
                    {**asdict(ratio), "value": ratio.value, "word": ratio.word} for ratio in of_scores
                ],
            }
    return judgements
