from __future__ import annotations

import dataclasses
import importlib.resources
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.machine.provenance import package_version
from benchmarks.result import RunResult, write_json
from benchmarks.workload import REGISTRY
from tests.command import hepbench, refused
from tests.results import provenance, result

CONFIGS = importlib.resources.files("hepscore_adapter") / "configs"
SHIPPED = {"hepscore-gpu.yaml": 1, "hepscore-gpu-cpuonly.yaml": 0}
VERSION = f"v{package_version('hepbench')}"


def reference(workload: str = "mlpf", preset: str = "smoke", **changes: Any) -> RunResult:
    """Training at 20 events/s, inference at 50."""
    run = result(workload=workload, **changes)
    return dataclasses.replace(run, config={**run.config, "workload": workload, "preset": preset})


def written(folder: Path, run: RunResult) -> Path:
    folder.mkdir(parents=True)
    write_json(folder / "result.json", run.to_dict())
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Options that name a reference run of each workload."""
    folders = [written(tmp_path / "ref" / name, reference(name)) for name in ("mlpf", "gnn_tracking")]
    return [f"--reference={folder}" for folder in folders]


def config(*arguments: object) -> str:
    answer = hepbench("hepscore", "config", *arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_configuration_holds_a_block_for_each_reference_run(runs: list[str]) -> None:
    text = config("--preset=smoke", *runs)
    assert yaml.safe_load(text) == {
        "hepscore_benchmark": {
            "settings": {
                "name": "hepbench-smoke-gpu",
                "reference_machine": "Example CPU, 2 of 2 cores",
                "registry": "docker://localhost/hepbench",
                "container_exec": "docker",
                "method": "geometric_mean",
                "repetitions": 3,
            },
            "benchmarks": {
                name: {
                    "version": VERSION,
                    "results_file": file,
                    "ref_scores": {"train": 20.0, "infer": 50.0},
                    "gpu": True,
                    "args": {"preset": "smoke", "gpus": 1},
                }
                for name, file in {
                    "mlpf-bmk": "mlpf_summary.json",
                    "gnn-tracking-bmk": "gnn_tracking_summary.json",
                }.items()
            },
        }
    }


def test_on_a_cpu_nothing_is_said_of_gpus(runs: list[str]) -> None:
    content = yaml.safe_load(config("--preset=smoke", "--gpus=0", *runs))["hepscore_benchmark"]
    assert content["settings"]["name"] == "hepbench-smoke-cpu"
    for block in content["benchmarks"].values():
        assert "gpu" not in block
        assert block["args"] == {"preset": "smoke"}


def test_what_was_asked_for_is_in_the_file(runs: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    options = ["--preset=smoke", "--gpus=4", "--repetitions=2", "--registry=dir:///images", *runs[:1]]
    assert config(*options, "--output", file) == f"{file}\n"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))["hepscore_benchmark"]
    assert content["settings"]["registry"] == "dir:///images"
    assert content["settings"]["container_exec"] == "singularity"
    assert content["settings"]["repetitions"] == 2
    assert list(content["benchmarks"]) == ["mlpf-bmk"]
    assert content["benchmarks"]["mlpf-bmk"]["args"]["gpus"] == 4


def test_the_version_is_text_in_quotes(runs: list[str]) -> None:
    """hep-score joins it to the image's name, and YAML reads a bare 1.0 as a number."""
    assert config("--preset=smoke", *runs).count(f'version: "{VERSION}"\n') == 2


def test_the_file_says_where_its_reference_scores_come_from(tmp_path: Path) -> None:
    run = reference()
    changed = {**run.config, "train_events": 64, "changed": ["data", "train_events"], "data": "/somewhere"}
    folder = written(tmp_path / "ref", dataclasses.replace(run, config=changed))
    text = config("--preset=smoke", "--reference", folder)
    assert "# Example CPU, 2 of 2 cores; hepbench 1.2.3 (c0ffee00c0ff)\n" in text
    assert "# preset smoke but for train_events 64\n" in text
    # Training at 10, 20 and 30 events/s, inference at 40, 50 and 60.
    assert "# (max - min) / median: train 100.0% of 3, infer 40.0% of 3\n" in text


def test_the_file_says_how_to_make_it_anew(runs: list[str], tmp_path: Path) -> None:
    text = config("--preset=smoke", *runs)
    (command,) = re.findall(r"^# +(hepbench hepscore config .*)\\\n# +(.*)$", text, re.MULTILINE)
    assert config(*shlex.split(" ".join(command).replace("REFERENCE", f"{tmp_path}/ref"))[3:]) == text
    for name in ("mlpf", "gnn_tracking"):
        assert f"#     hepbench run {name} --preset smoke --output REFERENCE/{name}\n" in text


@pytest.mark.parametrize(
    ("gpus", "there", "said"), [(1, [], True), (0, [], False), (1, [{"name": "NVIDIA H200"}], False)]
)
def test_a_reference_machine_without_gpus_is_named_as_such(
    gpus: int, there: list[dict[str, str]], said: bool, tmp_path: Path
) -> None:
    folder = written(tmp_path / "ref", reference(provenance={**provenance(), "gpus": there}))
    text = config("--preset=smoke", f"--gpus={gpus}", "--reference", folder)
    assert ("The reference machine has no GPU" in text) is said
    assert ("1 x NVIDIA H200" in text) is bool(there)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_configurations_are_those_that_the_command_writes(name: str) -> None:
    shipped = CONFIGS.joinpath(name).read_text(encoding="utf-8")
    assert config(f"--gpus={SHIPPED[name]}") == shipped, "run `make configs`"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_configurations_follow_the_rules_of_hep_score(name: str) -> None:
    """What hep-score 1.5 would drop, crash on or take for something else."""
    content = yaml.safe_load(CONFIGS.joinpath(name).read_text(encoding="utf-8"))["hepscore_benchmark"]
    assert set(content) == {"settings", "benchmarks"}
    assert len(content["benchmarks"]) == len(REGISTRY)
    for benchmark, block in content["benchmarks"].items():
        assert re.fullmatch(r"[A-Za-z0-9_-]+", benchmark)
        assert isinstance(block["version"], str)
        assert block["results_file"] == f"{benchmark.removesuffix('-bmk').replace('-', '_')}_summary.json"
        assert set(block["ref_scores"]) == {"train", "infer"}
        assert all(isinstance(score, float) and score > 0 for score in block["ref_scores"].values())
        assert block.get("gpu", False) is bool(SHIPPED[name])  # anything but true means no GPU
        for key, value in block["args"].items():
            assert re.fullmatch(r"[A-Za-z0-9_-]+ [A-Za-z0-9_-]+", f"{key} {value}")


@pytest.mark.parametrize("workload", REGISTRY)
@pytest.mark.parametrize("preset", ["smoke", "hepscore"])
def test_the_reference_runs_that_come_along_are_enough(workload: str, preset: str) -> None:
    content = yaml.safe_load(config("--workload", workload, "--preset", preset))
    (block,) = content["hepscore_benchmark"]["benchmarks"].values()
    assert block["args"]["preset"] == preset


WRONG = {
    "no reference": (
        ["--preset=full"],
        "no reference run of mlpf with preset full comes with hepbench; make one",
    ),
    "unknown workload": (["--workload=mlfp"], "unknown workload 'mlfp': did you mean 'mlpf'?"),
    "unknown preset": (["--preset=smoak"], "unknown preset 'smoak': did you mean 'smoke'?"),
    "other preset": (
        ["{mlpf}"],
        "--reference: expected a run of mlpf with preset hepscore, got preset smoke",
    ),
    "twice the same": (
        ["--preset=smoke", "{mlpf}", "{mlpf}"],
        "--reference: expected one run of each of mlpf, got mlpf, mlpf",
    ),
    "one is missing": (
        ["--preset=smoke", "--workload=mlpf", "--workload=gnn_tracking", "{mlpf}"],
        "--reference: expected one run of each of mlpf, gnn_tracking, got mlpf",
    ),
    "one too many": (
        ["--preset=smoke", "--workload=gnn_tracking", "{mlpf}", "{gnn_tracking}"],
        "--reference: expected one run of each of gnn_tracking, got mlpf, gnn_tracking",
    ),
    "no registry": (
        ["--preset=smoke", "--registry=localhost/hepbench"],
        "--registry: expected docker://HOST/PATH",
    ),
    "slash at the end": (
        ["--preset=smoke", "--registry=dir:///images/"],
        "--registry: expected docker://HOST/PATH",
    ),
    "blank": (["--preset=smoke", "--registry=dir:///my images"], "--registry: expected docker://HOST/PATH"),
    "no repetition": (["--repetitions=0"], "Invalid value for '--repetitions': 0 is not in the range x>=1."),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_refused_in_one_line(case: str, runs: list[str]) -> None:
    arguments, message = WRONG[case]
    given = [item.format(mlpf=runs[0], gnn_tracking=runs[1]) for item in arguments]
    assert refused(hepbench("hepscore", "config", *given), code=2).startswith(message)


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "failed": ({"status": "failed", "reason": "loss is nan"}, "expected a run with status ok, got failed"),
    "too few epochs": (
        {"epochs": reference().epochs[:3]},
        "summary: expected the 4 epochs that were asked for, got 3",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_run_without_a_score_is_no_reference(case: str, tmp_path: Path) -> None:
    changes, message = UNFIT[case]
    folder = written(tmp_path / "ref", reference(**changes))
    answer = hepbench("hepscore", "config", "--preset=smoke", "--reference", folder)
    assert refused(answer, code=2) == f"--reference {folder / 'result.json'}: {message}"


def test_a_file_that_is_no_result_is_no_reference(tmp_path: Path) -> None:
    file = tmp_path / "mlpf_summary.json"
    write_json(file, {"report": {}})
    answer = hepbench("hepscore", "config", "--preset=smoke", "--reference", file)
    assert refused(answer, code=2) == f"--reference {file}: expected result schema version 1, got None"


def test_a_folder_without_a_result_is_no_reference(tmp_path: Path) -> None:
    answer = hepbench("hepscore", "config", "--reference", tmp_path)
    expected = "expected the result of a run, got: No such file or directory"
    assert refused(answer, code=2) == f"--reference {tmp_path / 'result.json'}: {expected}"


def test_a_configuration_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = hepbench("hepscore", "config", "--preset=smoke", "--output", tmp_path / "file" / "x.yaml")
    assert "Not a directory" in refused(answer, code=1)
