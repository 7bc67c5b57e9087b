"""An image of a few megabytes that behaves towards its caller as the images of the benchmark do.

Made of programs of this machine, so that it needs no other image; how it ends is chosen by ``--seed``.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.results import result

NAME = "localhost/hepbench/toy:test"
OK, NOTHING, SEVEN, FAILED, OTHER, WAITS, DEAF, STARTS = 1, 2, 7, 8, 9, 60, 61, 62

_PROGRAMS = ("sh", "cp", "id", "sleep", "touch")
_ENTRY_POINT = """#!/bin/sh
echo "called with $*" >&2
for word; do
    [ "$before" = --seed ] && seed=$word
    before=$word
done
leave() { cp "/$1.json" /results/result.json; }
case $seed in
    1) echo "user $(id -u), group $(id -g)" >&2
       touch /file 2>/dev/null && echo "the root can be written" >&2
       touch /tmp/file && touch /results/mlpf_summary.json && leave ok
       sleep 0.5 # Docker carries both streams apart, and keeps no order of lines that come at once
       echo "/results/proc_1: a table that the caller makes anew"; echo "a line of it" ;;
    2) ;;
    7) echo "hepbench: seven" >&2; exit 7 ;;
    8) leave failed; exit 1 ;;
    9) echo "[]" > /results/result.json ;;
    60) trap 'leave interrupted; exit 130' INT; trap 'leave interrupted; exit 143' TERM ;;
    61) trap '' INT TERM ;;
    62) trap '' TERM; echo "still there"; sleep 2; trap 'leave interrupted; exit 143' TERM ;;
esac
[ "$seed" -ge 60 ] && while true; do echo "still there" >&2; sleep 0.1; done
exit 0
"""


def tree(folder: Path) -> Path:
    """The files of the image."""
    for directory in ("bin", "dev", "etc", "proc", "results", "root", "sys", "tmp", "var/tmp"):
        (folder / directory).mkdir(parents=True)
    for name in _PROGRAMS:
        program = shutil.which(name)
        assert program is not None
        shutil.copy(program, folder / "bin" / name)
        needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"/\S+", needed):
            (folder / library[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, folder / library[1:])
    for status in ("ok", "failed", "interrupted"):
        left = result(workload="mlpf", status=status, reason="" if status == "ok" else f"it {status}")
        (folder / f"{status}.json").write_text(json.dumps(left.to_dict()), encoding="utf-8")
    entry_point = folder / "entrypoint"
    entry_point.write_text(_ENTRY_POINT, encoding="utf-8")
    entry_point.chmod(0o755)
    return folder


def docker_image(files: Path) -> str:
    """Its name, known to Docker; skips the test where there is no Docker."""
    if shutil.which("docker") is None:
        pytest.skip("no docker on the PATH")
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("the Docker daemon does not answer")
    packed = subprocess.run(["tar", "-C", files, "-c", "."], capture_output=True, check=True).stdout
    change = 'ENTRYPOINT ["/entrypoint"]'
    subprocess.run(
        ["docker", "import", "--change", change, "-", NAME], input=packed, capture_output=True, check=True
    )
    return NAME


def sif(files: Path, folder: Path) -> str:
    """Its SIF file; skips the test where there is no Apptainer."""
    if shutil.which("apptainer") is None:
        pytest.skip("no apptainer on the PATH")
    recipe, image = folder / "toy.def", folder / "toy.sif"
    recipe.write_text(
        f'Bootstrap: scratch\n%setup\n  cp -a "{files}/." "$APPTAINER_ROOTFS"\n'
        '%runscript\n  exec /entrypoint "$@"\n',
        encoding="utf-8",
    )
    subprocess.run(["apptainer", "build", image, recipe], capture_output=True, check=True)
    return str(image)


@dataclasses.dataclass(frozen=True)
class Toy:
    """One engine with its image."""

    engine: str
    image: str

    def arguments(self, folder: Path, seed: int) -> list[str]:
        """Of ``hepbench`` for a run in it."""
        call = ["run", "mlpf", "--engine", self.engine, "--image", self.image]
        return [*call, "--seed", str(seed), "--output", str(folder)]
