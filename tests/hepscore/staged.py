"""A configuration of two repetitions, and a stand-in for Apptainer that makes a score of 2 of it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from hepscore_adapter.configuration import Target, configuration
from hepscore_adapter.summary import summary
from tests.hepscore import stand_in
from tests.results import epoch, inference, result


@dataclass(frozen=True)
class Staged:
    """Where it all lies."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def summary(self) -> Path:
        return self.folder / "summary.json"

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    @property
    def calls(self) -> list[list[str]]:
        """How the engine was called."""
        lines = (self.folder / "bin" / "calls").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def stage(folder: Path, failures: int = 0, retries: int = 0, gpus: int = 0, **arguments: object) -> Staged:
    """MLPF, twice as fast as the reference run with its 20 and 50 events/s."""
    staged = Staged(folder)
    events = (100, 200, 400, 600)
    epochs = tuple(epoch(index, count, warmup=index == 0) for index, count in enumerate(events))
    measured = result(epochs=epochs, inference=inference(80.0, 100.0, 120.0))
    staged.summary.write_text(json.dumps(summary(measured)), encoding="utf-8")
    (folder / "bin").mkdir()
    stand_in.install(folder / "bin", {"mlpf-bmk": staged.summary}, failures)

    target = Target(("dir:///images",), gpus=gpus, repetitions=2)
    content = yaml.safe_load(configuration([result()], "small", target))
    content["hepscore_benchmark"]["settings"]["retries"] = retries
    content["hepscore_benchmark"]["benchmarks"]["mlpf-bmk"]["args"].update(arguments)
    staged.configuration.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return staged
