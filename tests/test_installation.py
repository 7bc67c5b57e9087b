"""What pip installs on hosts that are not here, and what ``make setup`` does where something cannot be had.

The resolutions ask the package index for the metadata of wheels. They install nothing and run nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.command import ROOT, names

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Architecture, and the newest glibc (2.N) whose wheels the host takes.
HOSTS = {"el8": ("x86_64", 28), "el9": ("x86_64", 34), "debian12": ("x86_64", 36), "arm": ("aarch64", 36)}
SETUP = ("cpu", "containers", "data", "kernels", "report", "serving", "dev")
WITH_ACTS = ("el9", "debian12")

# By host and by what is wanted there, the extras. Few questions, because each takes seconds.
REQUESTS = {
    **{(host, "setup"): (*SETUP, "horovod") for host in HOSTS if host not in WITH_ACTS},
    **{(host, "setup"): (*SETUP, "horovod", "tracking") for host in WITH_ACTS},
    **{(host, "acts"): ("tracking",) for host in HOSTS if host not in WITH_ACTS},
    **{(host, "gpu"): ("gpu",) for host in ("el8", "arm")},
}


@dataclass(frozen=True)
class Resolution:
    """What pip's resolver answered: the names of the distributions, or its last error."""

    names: frozenset[str]
    error: str


def requirements(host: str, extras: tuple[str, ...]) -> list[str]:
    """The requirements of the project with some extras, as far as their markers hold on a host."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extras_of()[extra])]
    environment = {"platform_machine": HOSTS[host][0], "sys_platform": "linux", "python_version": "3.11"}
    wanted = [Requirement(line) for line in lines]
    return [
        f"{one.name}{'[' + ','.join(one.extras) + ']' if one.extras else ''}{one.specifier}"
        for one in wanted
        if one.marker is None or one.marker.evaluate(environment)
    ]


def extras_of() -> dict[str, list[str]]:
    extras: dict[str, list[str]] = PROJECT["optional-dependencies"]
    return extras


def start_pip(host: str, lines: list[str], folder: Path) -> subprocess.Popen[str]:
    """Starts pip's resolver for another host; ``fast-deps`` reads only the metadata out of remote wheels."""
    architecture, glibc = HOSTS[host]
    platforms = [f"manylinux_2_{minor}_{architecture}" for minor in range(glibc, 16, -1)]
    command = [
        *(sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "install"),
        *("--dry-run", "--ignore-installed", "--quiet", "--no-cache-dir", "--use-feature=fast-deps"),
        *("--only-binary=:all:", "--implementation=cp", "--python-version=3.11", f"--target={folder}"),
        *(f"--platform={name}" for name in [*platforms, f"manylinux2014_{architecture}"]),
        f"--report={folder}.json",
    ]
    return subprocess.Popen([*command, *lines], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(pip: subprocess.Popen[str], folder: Path) -> Resolution:
    _, stderr = pip.communicate()
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR: ")]
    if pip.returncode:
        return Resolution(frozenset(), errors[-1] if errors else stderr)
    report = json.loads(Path(f"{folder}.json").read_text(encoding="utf-8"))
    return Resolution(
        frozenset(canonicalize_name(item["metadata"]["name"]) for item in report["install"]), ""
    )


@pytest.fixture(scope="module")
def resolutions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Resolution]]:
    """All answers. The questions wait for the network, so they are asked at once."""
    folder = tmp_path_factory.mktemp("resolutions")
    probe = folder / "probe"
    index = finish(start_pip("el8", ["tensorflow==2.20.0", "--no-deps", "--retries=0"], probe), probe)
    if index.error:
        pytest.skip(f"the package index cannot be reached: {index.error}")
    started = {}
    for (host, what), extras in REQUESTS.items():
        target = folder / f"{host}-{what}"
        started[host, what] = target, start_pip(host, requirements(host, extras), target)
    yield {key: finish(pip, target) for key, (target, pip) in started.items()}


@pytest.mark.slow
@pytest.mark.parametrize("host", HOSTS)
def test_everything_that_make_setup_insists_on_can_be_had(
    host: str, resolutions: dict[tuple[str, str], Resolution]
) -> None:
    resolution = resolutions[host, "setup"]
    assert resolution.error == ""
    common = {"keras", "numpy", "scipy", "pooch", "docker", "matplotlib", "mypy", "openmpi", "cloudpickle"}
    assert common <= resolution.names
    expected = {"tensorflow"} if host == "arm" else {"tensorflow-cpu", "pythia8mc"}
    expected |= {"pyacts"} if host in WITH_ACTS else set()
    assert {"tensorflow", "tensorflow-cpu", "pythia8mc", "pyacts"} & resolution.names == expected


@pytest.mark.slow
@pytest.mark.parametrize("host", ["el8", "arm"])
def test_acts_cannot_be_had_for_every_host(host: str, resolutions: dict[tuple[str, str], Resolution]) -> None:
    assert resolutions[host, "acts"].error == "ERROR: No matching distribution found for pyacts==48.1.0"


@pytest.mark.slow
@pytest.mark.parametrize("host", ["el8", "arm"])
def test_the_extra_for_gpus_resolves(host: str, resolutions: dict[tuple[str, str], Resolution]) -> None:
    resolution = resolutions[host, "gpu"]
    assert resolution.error == ""
    assert {"tensorflow", "nvidia-cudnn-cu12", "nvidia-nccl-cu12"} <= resolution.names


@pytest.mark.parametrize(("host", "name"), [("el8", "tensorflow-cpu"), ("arm", "tensorflow")])
def test_a_host_gets_the_tensorflow_of_its_architecture(host: str, name: str) -> None:
    assert [line.partition("==")[0] for line in requirements(host, ("cpu",)) if "tensor" in line] == [name]


def test_acts_is_in_no_extra_but_its_own() -> None:
    assert [extra for extra, lines in extras_of().items() if "pyacts" in str(lines)] == ["tracking"]


# The program in place of Python makes an environment whose pip writes down what it is asked for.
PYTHON = """#!/bin/sh
case "$*" in
    *version_info*) exec {real} -c 'import sys; sys.version_info = ({version}); sys.version = "{text} (made)"
exec(sys.argv[2])' "$@" ;;
    *venv*)
        for folder; do :; done
        case "$*" in *--clear*) rm -rf "$folder" ;; esac
        mkdir -p "$folder/bin" && cp "${{0%/*}}/pip" "$folder/bin" && echo {text} >>"$folder/versions" ;;
    *) exit 3 ;;
esac
"""
PIP = """#!/bin/sh
echo "$*" >>"${0%/*}/asked"
case "$*" in *"$REFUSED"*) echo "ERROR: No matching distribution found" >&2; exit 1 ;; esac
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with what ``make setup`` reads, and beside it stand-ins of three Pythons."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    programs = {"pip": PIP}
    for text in ("3.9.18", "3.11.2", "3.14.0"):
        version = text.replace(".", ", ")
        programs[f"python{text}"] = PYTHON.format(real=sys.executable, version=version, text=text)
    for name, program in programs.items():
        (tmp_path / name).write_text(program, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return folder


def make_setup(tree: Path, python: str, refused: str = "nothing") -> subprocess.CompletedProcess[str]:
    command = ["make", "setup", f"PYTHON={tree.parent}/python{python}"]
    path = {"PATH": "/usr/bin:/bin", "REFUSED": refused}
    return subprocess.run(command, cwd=tree, env=path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", ["3.9.18", "3.14.0"])
def test_a_python_that_does_not_fit_leaves_nothing_that_spoils_the_second_try(
    version: str, tree: Path
) -> None:
    answer = make_setup(tree, version)
    assert answer.returncode == 2
    line = answer.stderr.splitlines()[0]
    assert line == f"hepbench needs Python 3.11 to 3.13, got {version}; call make PYTHON=python3.11"
    assert names(tree) == ["Makefile", "pyproject.toml"]

    assert make_setup(tree, "3.11.2").returncode == 0
    assert (tree / ".venv" / "versions").read_text(encoding="utf-8") == "3.11.2\n"


def test_an_environment_that_an_old_python_left_half_made_is_made_again(tree: Path) -> None:
    (tree / ".venv" / "bin").mkdir(parents=True)
    (tree / ".venv" / "versions").write_text("3.9.18\n", encoding="utf-8")
    assert make_setup(tree, "3.11.2").returncode == 0
    assert (tree / ".venv" / "versions").read_text(encoding="utf-8") == "3.11.2\n"


def test_without_acts_make_setup_says_so_and_goes_on(tree: Path) -> None:
    answer = make_setup(tree, "3.11.2", refused="[tracking]")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-2] == (
        "make setup: pip could not install ACTS (pyacts), as it says above. Only generated tracking data "
        'need it: docs/data.md, "Other machines", says what to do without.'
    )
    assert (tree / ".venv" / ".ready").exists()
    assert "## Other machines" in (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def test_without_what_every_run_needs_make_setup_fails_and_begins_again(tree: Path) -> None:
    assert make_setup(tree, "3.11.2", refused="[cpu,").returncode == 2
    assert not (tree / ".venv" / ".ready").exists()
    assert make_setup(tree, "3.11.2").returncode == 0
    asked = (tree / ".venv" / "bin" / "asked").read_text(encoding="utf-8").splitlines()
    assert [line.split()[-1] for line in asked[1:]] == [f".[{','.join(SETUP)}]", ".[tracking]"]
