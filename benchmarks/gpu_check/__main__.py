"""The program of ``make gpu-check``: ``python -m benchmarks.gpu_check --device gpu|cpu``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.errors import RunFailedError
from benchmarks.files import write_json
from benchmarks.gpu_check.check import BACKENDS, Check, OutOfTimeError, machine_name
from benchmarks.gpu_check.parts import NotHereError, Part, plan
from benchmarks.gpu_check.table import table
from benchmarks.machine import nvml, provenance
from benchmarks.output import EXIT_FAILED
from benchmarks.streams import prepare_streams, say
from benchmarks.timing import clock

SECONDS = 480.0


@click.command()
@click.option("--device", type=click.Choice(["gpu", "cpu"]), default="gpu", help="Device to measure.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("results/gpu"), help="Parent folder.")
@click.option("--seconds", type=float, default=SECONDS, help="Time after which no part starts or goes on.")
def main(device: str, output: Path, seconds: float) -> None:
    """Measure this machine with JAX and PyTorch, and write a file for each part."""
    prepare_streams()
    deadline = clock() + seconds
    about = provenance.collect(None, nvml.visible_handles() if device == "gpu" else {})
    folder = output / machine_name(about)
    folder.mkdir(parents=True, exist_ok=True)

    # Files of an earlier check would pass for those of this one.
    shutil.rmtree(folder / "runs", ignore_errors=True)
    for path in folder.glob("*.json"):
        path.unlink()
    versions = {name: provenance.package_version(name) for name in BACKENDS}
    write_json(folder / "machine.json", {"device": device, "versions": versions, "provenance": about})

    # Each part is written as soon as it ends, so that nothing is lost when somebody ends the check.
    check, records, parts = Check(device, folder, deadline), dict[str, dict[str, Any]](), plan()
    for number, part in enumerate(parts, start=1):
        record = records[part.name] = carry_out(part, check)
        write_json(folder / f"{number:02}-{part.name}.json", {"part": part.name, **record})
        say(f"{number}/{len(parts)} {part.name}: {record['status']} {record['reason']}".rstrip(), err=True)
    say(table(check, about, records))
    say(f"files: {folder}")
    sys.exit(EXIT_FAILED if any(record["status"] == "failed" for record in records.values()) else 0)


def carry_out(part: Part, check: Check) -> dict[str, Any]:
    """Carries out a part and returns its record, whatever becomes of it, because the rest has to go on.

    Returns:
        ``status`` (``ok``, ``failed`` or ``not run``), ``reason``, ``part_seconds``, and what the part found.
    """
    start, content = clock(), dict[str, Any]()
    try:
        status, reason = "ok", ""
        content = part.work(check)
    except OutOfTimeError:
        status, reason = "not run", "no time was left"
    except NotHereError as error:
        status, reason = "not run", str(error)
    except RunFailedError as error:
        status, reason = "failed", str(error)
    except Exception as error:  # a part that nobody expects to break must not cost the others
        status, reason = "failed", f"unexpected {type(error).__name__}: {error}"
    return {"status": status, "reason": reason, "part_seconds": clock() - start, **content}


if __name__ == "__main__":
    main()
