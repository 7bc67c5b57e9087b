"""A ``singularity`` that runs no container: all it does is to leave a summary that was made before.

It is called as ``singularity run -i -c -e -B RUN:/results -B /tmp [...] IMAGE -W ARGUMENTS``. Its folder
holds the summaries, by the names of their benchmarks, and a file ``failures`` with the number of runs that
are to fail first; what it was called with is added to ``calls``.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, summaries: Mapping[str, Path], failures: int) -> None:
    """Puts an executable ``singularity`` into ``folder``, which belongs on the PATH, in front."""
    for benchmark, summary in summaries.items():
        shutil.copy(summary, folder / benchmark)
    (folder / "failures").write_text(str(failures), encoding="ascii")
    script = folder / "singularity"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {folder} "$@"\n', encoding="utf-8")
    script.chmod(0o755)


def main(folder: Path, arguments: list[str]) -> int:
    """Tells its version, or runs an image."""
    if "-W" not in arguments:
        print("apptainer version 1.4.5")
        return 0
    with (folder / "calls").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps(arguments) + "\n")
    if failures := int((folder / "failures").read_text(encoding="ascii")):
        (folder / "failures").write_text(str(failures - 1), encoding="ascii")
        print("failed on purpose")
        return 1
    results = Path(arguments[arguments.index("-B") + 1].removesuffix(":/results"))
    benchmark = Path(arguments[arguments.index("-W") - 1]).name.partition(":")[0]
    name = benchmark.removesuffix("-bmk").replace("-", "_")
    shutil.copy(folder / benchmark, results / f"{name}_summary.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
