"""The page of a report: results and scalings in, one file out that needs nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from benchmarks.errors import UsageError
from benchmarks.files import write_text
from benchmarks.report import machine, number
from benchmarks.reporting.run import describe_run, describe_scaling
from benchmarks.reporting.sources import Sources
from benchmarks.reporting.svg import prefix_names
from benchmarks.result import RunResult
from benchmarks.scores import account
from datasets.errors import explain_import_error

ENDINGS = (".html", ".htm")


def write_report(sources: Sources, path: Path) -> None:
    """Writes the page.

    Raises:
        UsageError: The file does not end in ``.html`` or cannot be written, the plotting libraries are
            missing, or a result is of a kind that this version does not know.
    """
    if path.suffix not in ENDINGS:
        raise UsageError(f"--output {path}: expected a file that ends in .html; --plot draws other formats")
    page = render(sources)
    try:
        write_text(path, page)
    except OSError as error:
        raise UsageError(f"--output {path}: expected a file to write to, got: {error.strerror}") from None


def render(sources: Sources) -> str:
    """Returns the page as text; raises as ``write_report``."""
    try:
        from jinja2 import Environment
        from markupsafe import Markup
    except ImportError as error:
        reason = explain_import_error(error, "report")
        raise UsageError(f"a page needs jinja2, which is {reason}") from None

    parts = [describe_scaling(name, content) for name, content in sources.scalings]
    parts += [describe_run(name, result) for name, result in sources.results]

    # Each drawing gets names of its own, and a text for who cannot see it.
    count = itertools.count(1)

    def inline(svg: str, title: str) -> Markup:
        start = Markup('<svg role="img" aria-label="{}" ').format(mathematics(title))
        return start + Markup(prefix_names(svg, f"c{next(count)}").removeprefix("<svg "))

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"inline": inline, "mathematics": mathematics}
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    title = parts[0].title if len(parts) == 1 else f"{len(parts)} results of hepbench"
    overview = _overview(sources.results) if len(parts) > 1 else []
    return template.render(title=title, overview=overview, runs=parts) + "\n"


def mathematics(text: str) -> str:
    """Returns a title without the marks of mathematics, which only drawings know."""
    return text.replace("$p_T$", "pT").replace(r"$\eta$", "η")


def _overview(results: Sequence[tuple[str, RunResult]]) -> list[tuple[str, ...]]:
    """Returns the rows of the table of all runs, with a header."""
    rows: list[tuple[str, ...]] = [("run", "workload", "preset", "machine", "state", "scores")]
    for name, result in results:
        scores = account(result).scores if result.status == "ok" else {}
        medians = (f"{score} {number(value.spread.median)} {value.unit}" for score, value in scores.items())
        word = result.verdict.get("word", "") if result.status == "ok" else result.status
        what = (name, result.workload, str(result.config.get("preset")), machine(result.provenance))
        rows.append((*what, word or "ok", "; ".join(medians) or "-"))
    return rows if len(rows) > 1 else []
