from __future__ import annotations

import dataclasses
import importlib.resources
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.config import as_training
from benchmarks.files import write_json
from benchmarks.machine import nvml
from benchmarks.machine.provenance import package_version
from benchmarks.result import RunResult
from benchmarks.workload import REGISTRY, presets
from hepscore_adapter.image.entrypoint import parse
from hepscore_adapter.image.plan import Image, make_plan
from hepscore_adapter.summary import summary
from tests.command import hepbench, refused
from tests.results import epoch, provenance, result

CONFIGS = importlib.resources.files("hepscore_adapter") / "configs"
SHIPPED = {"hepscore-gpu.yaml": ("hepscore", 1), "hepscore-gpu-cpuonly.yaml": ("hepscore-small", 0)}
VERSION = f"v{package_version('hepbench')}"


def reference(workload: str = "mlpf", preset: str = "smoke", **changes: Any) -> RunResult:
    """Training at 20 events/s, inference at 50, with the settings of the preset."""
    config = as_training(presets(workload)[preset], "a reference")
    settled = {"xla": "off", "deterministic": "on", "threads": 2}
    timed = [100, 300, *[200] * (config.epochs - 3)]
    run = result(
        workload=workload,
        config={
            **dataclasses.asdict(config),
            **settled,
            **{"workload": workload, "preset": preset, "changed": [], "resolved": ["xla", "deterministic"]},
        },
        epochs=(epoch(0, 100, warmup=True), *(epoch(i, events) for i, events in enumerate(timed, start=1))),
        seed=config.seed,
    )
    return dataclasses.replace(run, **changes)


def with_settings(run: RunResult, **settings: Any) -> RunResult:
    """Returns the run as if somebody had set keys of its configuration."""
    return dataclasses.replace(run, config={**run.config, **settings, "changed": list(settings)})


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


def test_hep_score_2_finds_its_key_and_the_images_of_each_architecture(runs: list[str]) -> None:
    for_1 = yaml.safe_load(config("--preset=smoke", *runs))["hepscore_benchmark"]
    for_2 = yaml.safe_load(config("--preset=smoke", "--generation=2", *runs))
    settings = {**for_1["settings"], "addarch": True}
    assert for_2 == {"hepscore": {**for_1, "settings": settings}}


@pytest.mark.parametrize(
    ("registries", "engine", "options"),
    [
        (["docker://host/p", "dir:///images"], "docker", None),
        (["dir:///images", "oras://host/p/sif"], "singularity", {"container_uri": "dir"}),
        (["oras://host/p/sif", "dir:///images"], "singularity", {"container_uri": "oras"}),
        (["dir:///images"], "singularity", None),
    ],
)
def test_the_first_of_several_registries_counts(
    registries: list[str], engine: str, options: dict[str, str] | None, runs: list[str]
) -> None:
    """hep-score 2 with Apptainer looks for oras, docker and only then dir, whatever the order of the list."""
    named = [f"--registry={registry}" for registry in registries]
    content = yaml.safe_load(config("--preset=smoke", "--generation=2", *named, *runs))["hepscore"]
    expected = registries if len(registries) > 1 else registries[0]
    assert content["settings"]["registry"] == expected
    assert content["settings"]["container_exec"] == engine
    assert content.get("options") == options


@pytest.mark.parametrize(("generation", "key"), [(1, "hepscore_benchmark"), (2, "hepscore")])
def test_a_single_score_is_named_like_the_workload(generation: int, key: str, runs: list[str]) -> None:
    options = ["--preset=smoke", "--single-score", "--gpus=2", f"--generation={generation}"]
    text = config(*options, *runs)
    blocks = yaml.safe_load(text)[key]["benchmarks"]
    assert list(blocks) == ["mlpf-gpu-bmk", "gnn-tracking-gpu-bmk"]
    for name, block in blocks.items():
        score = name.removesuffix("-bmk")
        # The square root of 20 x 50 events/s.
        assert block["ref_scores"] == {score: pytest.approx(31.6228)}
        assert block["args"] == {"preset": "smoke", "-M": "gpu", "n-gpus": 2}
        assert block["gpu"] is True
        assert block["results_file"] == f"{score.removesuffix('-gpu').replace('-', '_')}_summary.json"
    # The lowest are the root of 10 x 40, the highest that of 30 x 60.
    assert text.count("# (max - min) / median: ") == 2
    assert f"-gpu {(1800**0.5 - 400**0.5) / 1000**0.5:.1%} of 3\n" in text


def test_the_image_takes_the_arguments_of_a_single_score_and_reports_it(
    runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = config("--preset=smoke", "--single-score", "--generation=2", *runs[:1])
    (block,) = yaml.safe_load(text)["hepscore"]["benchmarks"].values()
    line = [part for key, value in block["args"].items() for part in (flag(key), str(value))]
    monkeypatch.setattr(nvml, "assignable_devices", lambda: ("GPU-0",))
    request = make_plan(Image("mlpf", ("smoke",), Path("/data")), parse(["-W", *line])).request()
    assert set(block["ref_scores"]) < set(summary(reference(), request=request)["report"]["wl-scores"])


def flag(key: str) -> str:
    """Returns what hep-score makes of the key of an argument."""
    return key if key.startswith("-") else f"--{key}"


def test_the_version_is_text_in_quotes(runs: list[str]) -> None:
    """hep-score joins it to the image's name, and YAML reads a bare 1.0 as a number."""
    assert config("--preset=smoke", *runs).count(f'version: "{VERSION}"\n') == 2


def test_the_file_says_where_its_reference_scores_come_from(tmp_path: Path) -> None:
    run = with_settings(reference(), data="/somewhere", threads=1)
    text = config("--preset=smoke", "--reference", written(tmp_path / "ref", run))
    assert "# Example CPU, 2 of 2 cores; hepbench 1.2.3 (c0ffee00c0ff)\n" in text
    assert "# preset smoke but for threads 1\n" in text
    # Training at 10, 20 and 30 events/s, inference at 40, 50 and 60.
    assert "# (max - min) / median: train 100.0% of 3, infer 40.0% of 3\n" in text


def test_a_run_of_the_small_preset_is_a_reference_for_the_whole_one(tmp_path: Path) -> None:
    """The file says so, and the command to measure on another machine names the preset that was run."""
    folder = written(tmp_path / "ref", reference(preset="hepscore-small"))
    text = config("--reference", folder)
    block = yaml.safe_load(text)["hepscore_benchmark"]["benchmarks"]["mlpf-bmk"]
    assert (block["args"]["preset"], block["ref_scores"]) == ("hepscore", {"train": 20.0, "infer": 50.0})
    assert 'name: "hepbench-hepscore-gpu"\n' in text
    assert "# preset hepscore-small, which takes the step of hepscore on fewer events\n" in text
    assert "#     hepbench run mlpf --preset hepscore-small --output REFERENCE/mlpf\n" in text
    assert "#     hepbench hepscore config --preset hepscore --gpus 1 " in text

    # For itself it is a reference like any other, and the whole preset is none for the small one.
    text = config("--preset=hepscore-small", "--reference", folder)
    assert "# preset hepscore-small\n" in text
    whole = written(tmp_path / "whole", reference(preset="hepscore"))
    answer = hepbench("hepscore", "config", "--preset=hepscore-small", "--reference", whole)
    assert refused(answer, code=2) == (
        "--reference: expected a run of mlpf with preset hepscore-small, got preset hepscore"
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"min_accuracy": 0.0}, "min_accuracy 0.0"),
        ({"train_events": 32, "data": "/d", "threads": 1, "require_quiet": True}, "train_events 32"),
        ({"xla": "on"}, "xla on"),
        ({"global_batch_size": 8, "learning_rate": 0.1}, "global_batch_size 8, learning_rate 0.1"),
    ],
)
def test_a_reference_with_other_settings_than_its_preset_is_refused(
    settings: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    folder = written(tmp_path / "ref", with_settings(reference(), **settings))
    answer = hepbench("hepscore", "config", "--preset=smoke", "--reference", folder)
    assert refused(answer, code=2) == (
        f"--reference {folder / 'result.json'}: expected preset smoke with no key changed but data, threads, "
        f"require_quiet, got {expected}; make it with "
        "`hepbench run mlpf --preset smoke --output REFERENCE/mlpf`"
    )


def test_a_reference_from_before_its_preset_changed_is_refused(tmp_path: Path) -> None:
    """The run itself changed no key: it says nothing of the preset as it is now."""
    run = reference()
    folder = written(tmp_path / "ref", dataclasses.replace(run, config={**run.config, "pileup": 29.0}))
    answer = hepbench("hepscore", "config", "--preset=smoke", "--reference", folder)
    assert "require_quiet, got pileup 29.0; make it" in refused(answer, code=2)


def test_the_ranks_of_a_reference_decide_on_the_batch_of_all(tmp_path: Path) -> None:
    run = reference(world_size=2)
    run = dataclasses.replace(run, config={**run.config, "global_batch_size": 8})
    assert "# preset smoke\n" in config("--preset=smoke", "--reference", written(tmp_path / "ref", run))


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--generation=2", "--registry=dir:///images", "--registry=docker://host/p"],
        ["--single-score", "--gpus=4"],
    ],
)
def test_the_file_says_how_to_make_it_again(options: list[str], runs: list[str], tmp_path: Path) -> None:
    text = config("--preset=smoke", *options, *runs)
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
    preset, gpus = SHIPPED[name]
    assert config(f"--preset={preset}", f"--gpus={gpus}") == shipped, "run `make configs`"


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
        scores = {
            "mellin-dis-bmk": {"evaluations", "node"},
            "emtrkmichelid-bmk": {"offline", "service"},
        }.get(benchmark, {"train", "infer"})
        assert set(block["ref_scores"]) == scores
        assert all(isinstance(score, float) and score > 0 for score in block["ref_scores"].values())
        assert block.get("gpu", False) is bool(SHIPPED[name][1])  # anything but true means no GPU
        assert block["args"]["preset"] == SHIPPED[name][0]
        for key, value in block["args"].items():
            assert re.fullmatch(r"[A-Za-z0-9_-]+ [A-Za-z0-9_-]+", f"{key} {value}")


@pytest.mark.parametrize("workload", REGISTRY)
@pytest.mark.parametrize("preset", ["smoke", "hepscore", "hepscore-small"])
def test_the_reference_runs_that_are_shipped_are_enough(workload: str, preset: str) -> None:
    content = yaml.safe_load(config("--workload", workload, "--preset", preset))
    (block,) = content["hepscore_benchmark"]["benchmarks"].values()
    assert block["args"]["preset"] == preset


WRONG = {
    "no reference": (
        ["--preset=full", "--workload=mlpf"],
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
        ["--preset=smoke", "{mlpf}", "--registry=localhost/hepbench"],
        "--registry: expected docker://HOST/PATH",
    ),
    "slash at the end": (
        ["--preset=smoke", "{mlpf}", "--registry=dir:///images/"],
        "--registry: expected docker://HOST/PATH",
    ),
    "blank": (
        ["--preset=smoke", "{mlpf}", "--registry=dir:///my images"],
        "--registry: expected docker://HOST/PATH",
    ),
    "two registries for one": (
        ["--preset=smoke", "{mlpf}", "--registry=docker://host/p", "--registry=dir:///images"],
        "--registry: hep-score 1.5 reads one registry, got 2; write a file for each of them, or use "
        "--generation 2",
    ),
    "two of a kind": (
        ["--preset=smoke", "{mlpf}", "--generation=2", "--registry=dir:///a", "--registry=dir:///b"],
        "--registry: expected one registry of each kind, got 2 x dir://",
    ),
    "single score of a CPU": (
        ["--preset=smoke", "{mlpf}", "--single-score", "--gpus=0"],
        "--single-score: only runs on GPUs have this score; expected --gpus 1 or more, got --gpus 0",
    ),
    "unknown generation": (
        ["--generation=3"],
        "Invalid value for '--generation': 3 is not in the range 1<=x<=2.",
    ),
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


def test_a_configuration_that_cannot_be_written_leaves_nothing(runs: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = hepbench("hepscore", "config", "--preset=smoke", *runs, "--output", tmp_path / "file" / "x.yaml")
    assert "Not a directory" in refused(answer, code=1)
