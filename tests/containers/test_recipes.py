"""The recipes of the images, read and checked without an engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.command import ROOT

FOLDER = ROOT / "containers"
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
PINS = [
    line
    for line in (FOLDER / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def instructions(name: str) -> list[str]:
    """The instructions of one kind, continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("no hadolint")
    answer = subprocess.run([program, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_base_images_are_pinned_and_can_be_chosen() -> None:
    base = next(line for line in instructions("ARG") if line.startswith("BASE_IMAGE="))
    assert re.fullmatch(r"BASE_IMAGE=python:3\.\d+\.\d+-slim-bookworm", base)
    images = {line.split()[0] for line in instructions("FROM")}
    stages = {line.split()[2] for line in instructions("FROM")}
    assert images - stages == {"${BASE_IMAGE}", "${BUILDER_IMAGE}", "scratch"}


def test_every_pin_is_exact_and_agrees_with_the_project() -> None:
    pinned = dict(line.split("==") for line in PINS)
    assert all(re.fullmatch(r"[\w.-]+==\d[\w.+]*", line) for line in PINS)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    used = [project["dependencies"], *(extras[name] for name in ("cpu", "gpu", "data", "tracking"))]
    wanted = [Requirement(line) for lines in used for line in lines]
    exact = {one.name: str(one.specifier).removeprefix("==") for one in wanted if "==" in str(one.specifier)}
    assert exact.items() <= pinned.items()
    assert {one.name.lower() for one in wanted} <= {name.lower() for name in pinned}


def test_the_recipes_name_no_architecture() -> None:
    for file in (ROOT / "Makefile", FOLDER / "Dockerfile", FOLDER / "image.def", *FOLDER.glob("*.sh")):
        assert not re.search(r"x86_64|amd64|aarch64|arm64", file.read_text(encoding="utf-8")), file


def test_acts_is_not_among_what_must_be_installed(tmp_path: Path) -> None:
    """The program of the stage ``requirements`` runs as the Dockerfile has it."""
    [program] = [run for run in instructions("RUN") if "tomllib" in run]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    environment = {**os.environ, "ACCELERATOR": "cpu"}
    subprocess.run(["bash", "-euc", program], cwd=tmp_path, env=environment, check=True)
    files = {file.stem: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert set(files) == {"framework", "data", "tracking"}
    assert [name for name, text in files.items() if "pyacts==" in text] == ["tracking"]


@pytest.mark.parametrize(
    ("refused", "code", "lines"), [("tracking", 0, 1), ("data", 1, 0), ("nothing", 0, 0)]
)
def test_an_image_can_be_built_without_acts_and_not_without_the_rest(
    tmp_path: Path, refused: str, code: int, lines: int
) -> None:
    [program] = [run for run in instructions("RUN") if "--requirement tracking.txt" in run]
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\ncase "$*" in *{refused}.txt) exit 1 ;; esac\n', encoding="utf-8")
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    answer = subprocess.run(
        ["sh", "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, len(answer.stdout.splitlines())) == (code, lines)


def test_every_installation_obeys_the_pins_and_leaves_no_cache() -> None:
    assert "PIP_CONSTRAINT=/build/constraints.txt" in DOCKERFILE
    assert "PIP_NO_CACHE_DIR=1" in DOCKERFILE
    script = (FOLDER / "build-horovod.sh").read_text(encoding="utf-8")
    assert "--no-cache-dir" in script
    [tools] = re.findall(r"\" install (.*)", script)
    assert all("==" in tool for tool in tools.split())


def test_the_run_stage_only_copies() -> None:
    run = DOCKERFILE[DOCKERFILE.index("FROM scratch AS run") :]
    assert re.findall(r"^(RUN|ADD|USER|VOLUME|CMD)", run, re.MULTILINE) == []
    [entry_point] = re.findall(r"^ENTRYPOINT (.*)$", run, re.MULTILINE)
    assert entry_point == '["/opt/hepbench/bin/hepbench-entrypoint"]'


def test_cpu_and_cuda_differ_in_arguments_only() -> None:
    """These ask for ACCELERATOR: the toolkit, the extra of the framework, Horovod's build, and the server."""
    assert "ARG ACCELERATOR=cpu" in DOCKERFILE
    assert DOCKERFILE.count('"$ACCELERATOR"') == 4
    assert "HOROVOD_GPU_OPERATIONS=NCCL" in DOCKERFILE


def test_nothing_is_piped_from_the_network_into_a_shell() -> None:
    for file in (*FOLDER.glob("*.sh"), FOLDER / "Dockerfile", FOLDER / "image.def"):
        assert not re.search(r"curl|wget|https?://", file.read_text(encoding="utf-8")), file


def test_the_sif_is_made_of_the_image_and_hands_its_arguments_on() -> None:
    lines = [
        line.strip()
        for line in (FOLDER / "image.def").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    assert lines == [
        "Bootstrap: docker-daemon",
        "From: {{ IMAGE }}",
        "%runscript",
        'exec /opt/hepbench/bin/hepbench-entrypoint "$@"',
    ]


def test_the_build_sees_only_what_it_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    sources = {
        source.removesuffix("/")
        for copy in instructions("COPY")
        if not copy.startswith("--from")
        for source in copy.split()[:-1]
    }
    assert allowed == sources
    assert "*" in lines


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["push"], "make push: say where to: REGISTRY=HOST/PROJECT"),
        (
            ["image", "WORKLOAD=bogus"],
            "make image: expected a folder of benchmarks/workloads/ with a workload.py as WORKLOAD, "
            "got bogus",
        ),
    ],
)
def test_wrong_calls_of_make(arguments: list[str], line: str) -> None:
    answer = subprocess.run(
        ["make", "--silent", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[0] == line


@pytest.mark.parametrize(
    ("accelerator", "names"),
    [("cpu", "X/mlpf-bmk:v1"), ("cuda", "X/mlpf-bmk:v1 X/mlpf-gpu-bmk:v1")],
)
def test_an_image_for_cuda_has_a_second_name(tmp_path: Path, accelerator: str, names: str) -> None:
    """The program in place of docker writes down its arguments, and says that everything takes 5 MB."""
    docker, calls = tmp_path / "docker", tmp_path / "calls"
    program = """#!/bin/sh
case "$*" in *" -") cat >/dev/null ;; esac
echo "$@" >>"${0%/*}/calls"
echo 5000000
"""
    docker.write_text(program, encoding="utf-8")
    docker.chmod(0o755)
    options = ["--build-arg", f"ACCELERATOR={accelerator}", "--no-cache"]
    answer = subprocess.run(
        [FOLDER / "build-image.sh", "mlpf", "1", "X/mlpf-bmk:v1", *options],
        env={**os.environ, "DOCKER": str(docker)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == f"{names}: 5 MB, of which data 5 MB"
    tags = [line for line in calls.read_text(encoding="utf-8").splitlines() if line.startswith("tag ")]
    assert tags == ([f"tag {names}"] if accelerator == "cuda" else [])


def test_data_of_no_preset() -> None:
    answer = subprocess.run(
        [FOLDER / "make-data.sh", "mlpf", "", "nowhere"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert answer.stderr == "make-data.sh: expected one preset or more in PRESETS, got none\n"


def test_make_takes_podman_and_singularity_where_there_is_nothing_else(tmp_path: Path) -> None:
    for name in ("podman", "singularity"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    for name in ("make", "sh", "sed", "uname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    call = [str(tmp_path / "make"), "--dry-run", f"SHELL={tmp_path}/sh", "push", "REGISTRY=example.org/x"]
    answer = subprocess.run(call, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert f"{tmp_path}/podman push example.org/x/" in answer.stdout
    assert f"{tmp_path}/singularity push build/sif/" in answer.stdout
