"""What is in the built images, and what is not."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import tarfile
from typing import Any

import pytest

from tests.command import ROOT
from tests.containers.engines import VERSION, docker, need_docker_image, need_sif

pytestmark = [pytest.mark.container, pytest.mark.slow]

DISTRIBUTIONS = """
import importlib.metadata as metadata
print(*(f"{found.name}=={found.version}" for found in metadata.distributions()), sep="\\n")
"""


WORKLOADS = ["mlpf", "gnn_tracking", pytest.param("mellin_dis", marks=pytest.mark.exhaustive)]


@pytest.fixture(scope="module", params=WORKLOADS)
def image(request: pytest.FixtureRequest) -> str:
    return need_docker_image(request.param)


def inside(image: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return docker("run", "--rm", "--network", "none", "--entrypoint", program, image, *arguments)


def config(image: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(docker("image", "inspect", image).stdout)[0]
    return content


def test_labels_and_entry_point(image: str) -> None:
    about = config(image)["Config"]
    labels, name = about["Labels"], image.removeprefix("localhost/hepbench/")
    oci = {key.removeprefix("org.opencontainers.image."): value for key, value in labels.items()}
    assert (oci["title"], f"v{oci['version']}", oci["licenses"]) == (name, VERSION, "Apache-2.0")
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", oci["revision"])
    assert about["Entrypoint"] == ["/opt/hepbench/bin/hepbench-entrypoint"]
    assert not about["Cmd"]


def test_the_hash_of_the_data_is_a_file_and_a_label(image: str) -> None:
    label = config(image)["Config"]["Labels"]["hepbench.data.sha256"]
    assert re.fullmatch(r"([0-9a-f]{64}  \./\w+/manifest\.json ?)+", label)
    checked = inside(image, "sh", "-c", "cd /data && sha256sum --check --quiet SHA256 && paste -sd' ' SHA256")
    assert (checked.returncode, checked.stdout.strip()) == (0, label)


def test_the_size_is_within_limits(image: str) -> None:
    """2 GB and the data, which may take 1 GB."""
    data = int(inside(image, "du", "--summarize", "--bytes", "/data").stdout.split()[0])
    assert data < 1e9
    assert config(image)["Size"] - data < 2e9


def test_no_tools_to_build_or_fetch_with(image: str) -> None:
    tools = "sh gcc g++ cc make cmake pip pip3 git curl wget"
    found = inside(image, "sh", "-c", f"for tool in {tools}; do command -v $tool; done")
    assert found.stdout.split() == ["/usr/bin/sh"]


def test_neither_pip_nor_generators_nor_tests(image: str) -> None:
    program = "import sys, importlib.util as u; print([name for name in sys.argv[1:] if u.find_spec(name)])"
    found = inside(image, "python", "-c", program, "numpy", "pip", "acts", "pythia8mc", "tests")
    assert found.stdout == "['numpy']\n"


def test_every_package_is_pinned(image: str) -> None:
    text = (ROOT / "containers" / "constraints.txt").read_text(encoding="utf-8")
    pinned = {line.lower() for line in text.splitlines() if not line.startswith("#")}
    found = {line.lower() for line in inside(image, "python", "-c", DISTRIBUTIONS).stdout.split()}
    own = {line for line in found if re.match(r"(hepbench|horovod)==", line)}  # not from an index
    assert len(own) == 2
    assert {line.replace("_", "-") for line in found - own} <= {line.replace("_", "-") for line in pinned}


def test_all_files_are_roots_and_none_is_a_device(image: str) -> None:
    """C20: hep-score's --unsquash as root needs it."""
    name = docker("create", image).stdout.strip()
    try:
        with (
            subprocess.Popen(["docker", "export", name], stdout=subprocess.PIPE) as export,
            tarfile.open(fileobj=export.stdout, mode="r|") as archive,
        ):
            wrong = [
                (file.name, file.uid, file.gid, oct(file.mode))
                for file in archive
                if (file.uid, file.gid) != (0, 0) or file.mode & 0o6000 or file.isdev()
            ]
    finally:
        docker("rm", name)
    assert wrong == []


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_sif_has_the_names_that_hep_score_looks_for(workload: str) -> None:
    file = need_sif(workload)
    name = file.name.removesuffix(".sif").replace(f"_{VERSION}", f":{VERSION}")
    for suffix in ("", f"_{platform.machine()}"):  # with and without addarch
        assert file.with_name(name + suffix).samefile(file)
