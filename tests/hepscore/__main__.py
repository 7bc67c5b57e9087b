"""``make hepscore``: hep-score on every image with docker, and on every SIF with Apptainer, preset smoke."""

from __future__ import annotations

import sys

from tests.hepscore.images import ENGINES, RESULTS, measure
from tests.hepscore.programs import program


def main() -> int:
    """Runs hep-score with each engine; 0 if every score can be used."""
    hep_score = program("HEPSCORE_BIN", "hep-score")
    if hep_score is None:
        print("make hepscore: expected hep-score in HEPSCORE_BIN or on the PATH; see docs/hepscore.md")
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    lines, failed = [], False
    for engine in ENGINES:
        outcome, wrong, folder = measure(hep_score, engine, RESULTS)
        lines += [f"{engine}: status {outcome['status']}, score {outcome['score']} ({folder})"]
        lines += [f"{engine}: {line}" for line in wrong]
        failed = failed or bool(wrong)
    print("", *lines, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
