"""A browser without a window that opens a page and says how it looks."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# The page stands in a frame, because a window of a browser has a least width that is more than a phone's.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" src="{page}" style="border:0;width:{width}px;height:{height}px"></iframe>
<pre id="answer" hidden></pre>
<script>
function numbers(colour) {{ return colour.match(/[\\d.]+/g).map(Number); }}
function luminance(colour) {{
  const parts = colour.slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}}
function background(element, view) {{
  for (; element; element = element.parentElement) {{
    const colour = numbers(view.getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] > 0.99) return colour;
  }}
  return [255, 255, 255];
}}
document.getElementById("frame").addEventListener("load", event => {{
  const view = event.target.contentWindow, page = view.document, root = page.documentElement;
  let contrast = 100, worst = "", letters = 1000;
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {{
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    const style = view.getComputedStyle(element), drawn = element.closest("svg");
    if (!text || ["STYLE", "style", "SCRIPT"].includes(element.tagName)) continue;
    if (drawn) {{
      const scale = drawn.getBoundingClientRect().width / drawn.viewBox.baseVal.width;
      letters = Math.min(letters, parseFloat(style.fontSize) * scale);
    }}
    const front = luminance(numbers(drawn ? style.fill : style.color));
    const back = luminance(background(element, view));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < contrast) {{ contrast = ratio; worst = text; }}
  }}
  document.getElementById("answer").textContent = JSON.stringify({{
    page_width: root.scrollWidth, window_width: root.clientWidth, contrast, worst, letters,
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    charts: page.querySelectorAll("svg").length,
  }});
}});
</script>
"""


def find_browser() -> str | None:
    """Returns the path of a browser, or None."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def look_at(
    page: Path, folder: Path, width: int, *, dark: bool, picture: Path | None = None
) -> dict[str, Any]:
    """Opens a page and measures it.

    Args:
        page: The file.
        folder: Folder for files of the browser.
        width: Of the window, pixels.
        dark: Whether the reader's system is dark.
        picture: File of a screenshot, .png.

    Returns:
        ``page_width`` and ``window_width`` in pixels, the smallest ``contrast`` of a text and the ``worst``
        text, the size of the smallest ``letters`` of a drawing in pixels, ``dark``, the number of ``charts``,
        and the lines of the ``console``.
    """
    height = 6000 if picture else 900
    frame = folder / f"frame-{width}-{dark}.html"
    frame.write_text(FRAME.format(page=page.resolve().as_uri(), width=width, height=height), encoding="utf-8")
    browser = find_browser()
    assert browser is not None
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--hide-scrollbars"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=10000"]
    command += [f"--window-size={max(width, 600)},{height}"]
    answer = subprocess.run(
        [*command, "--dump-dom", frame.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    if picture is not None:
        subprocess.run([*command, f"--screenshot={picture}", frame.as_uri()], timeout=120, check=True)
    found = re.search(r'<pre id="answer"[^>]*>(.*?)</pre>', answer.stdout, flags=re.DOTALL)
    assert found, answer.stderr
    console = [line for line in answer.stderr.splitlines() if "CONSOLE" in line]
    return {**json.loads(html.unescape(found[1])), "console": console}
