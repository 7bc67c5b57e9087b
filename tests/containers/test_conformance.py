"""The cases of ``conformance`` on the built images, with Docker at its strictest and as hep-score does."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engines import DockerImage, SifImage, need_docker_image, need_sif, sif
from tests.hepscore_adapter.image import conformance
from tests.hepscore_adapter.image.conformance import Case, failed, run

pytestmark = [pytest.mark.container, pytest.mark.slow]

WORKLOADS = ("mlpf", "gnn_tracking")
NOBODY = 65534
# What an engine can change: users, folders, arguments, signals, exit codes, GPUs. All other cases are what
# the entry point does wherever it runs, and a process shows them in
# tests/hepscore_adapter/image/test_conformance.py. On the engines they are exhaustive.
OFTEN_WITH_DOCKER = {
    conformance.c1_the_default_load,
    conformance.c7_what_is_not_understood_is_refused,
    conformance.c9_no_falling_back_to_the_cpu,
    conformance.c18_a_signal_ends_it,
}
OFTEN_WITH_APPTAINER = {
    conformance.c6_extra_arguments_are_trimmed_parsed_and_echoed,
    conformance.c9_no_falling_back_to_the_cpu,
    conformance.c18_a_signal_ends_it,
}


def every_case(often: set[Case]) -> pytest.MarkDecorator:
    """Runs a test with every case, those that are not in ``often`` in the exhaustive part only."""
    rare = pytest.mark.exhaustive
    cases = [
        pytest.param(case, id=case.__name__, marks=() if case in often else rare)
        for case in conformance.CASES
    ]
    return pytest.mark.parametrize("case", cases)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        results = Path(folder, "results")
        results.mkdir()
        yield results


@every_case(OFTEN_WITH_DOCKER)
def test_docker_conforms(case: Case, tmp_path: Path) -> None:
    need_docker_image("mlpf")
    case(DockerImage("mlpf"), tmp_path)


@every_case(OFTEN_WITH_APPTAINER)
def test_apptainer_conforms(case: Case, tmp_path: Path) -> None:
    need_sif("mlpf")
    case(SifImage("mlpf"), tmp_path)


@pytest.mark.parametrize(
    "case", [conformance.c1_the_default_load, conformance.c7_what_is_not_understood_is_refused]
)
def test_apptainer_conforms_for_an_ordinary_user(case: Case, open_folder: Path) -> None:
    need_sif("mlpf")
    user = NOBODY if os.getuid() == 0 else None
    if subprocess.run(["test", "-r", sif("mlpf")], user=user, group=user, check=False).returncode != 0:
        pytest.skip("this checkout is in a folder that other users may not enter")
    case(SifImage("mlpf", user=user), open_folder)


def test_the_other_workload_conforms_with_docker(tmp_path: Path) -> None:
    need_docker_image("gnn_tracking")
    conformance.c1_the_default_load(DockerImage("gnn_tracking"), tmp_path)


def test_the_other_workload_conforms_with_apptainer(tmp_path: Path) -> None:
    """What differs from Docker's is shown with one workload; that its SIF trains, ``make hepscore`` shows."""
    need_sif("gnn_tracking")
    conformance.c7_what_is_not_understood_is_refused(SifImage("gnn_tracking"), tmp_path)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=case.__name__,
            marks=() if case is conformance.c1_the_default_load else pytest.mark.exhaustive,
        )
        for case in conformance.CASES_OF_KERNELS
    ],
)
def test_a_kernel_conforms_with_docker(case: Case, tmp_path: Path) -> None:
    need_docker_image("mellin_dis")
    case(DockerImage("mellin_dis"), tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "case",
    [
        conformance.c1_the_default_load,
        conformance.c7_what_is_not_understood_is_refused,
        conformance.c18_a_signal_ends_it,
    ],
)
def test_a_kernel_conforms_with_apptainer(case: Case, tmp_path: Path) -> None:
    need_sif("mellin_dis")
    case(SifImage("mellin_dis"), tmp_path)


def test_a_gpu_that_is_not_there_is_refused_although_apptainer_says_nothing(tmp_path: Path) -> None:
    need_sif("mlpf")
    conformance.c9_no_falling_back_to_the_cpu(SifImage("mlpf", more=("--nv",)), tmp_path)


def test_two_runs_leave_nothing_in_tmp(tmp_path: Path) -> None:
    """C16: the second repetition finds nothing of the first, although hep-score gives both the same /tmp."""
    need_sif("mlpf")
    shared, results = tmp_path / "shared", tmp_path / "results"
    for folder in (shared, results):
        folder.mkdir()
    image = SifImage("mlpf", more=("-B", f"{shared}:/tmp"))
    conformance.c3_results_below_the_folder_or_in_a_new_one(image, results)
    assert list(shared.iterdir()) == []


def test_full_results(tmp_path: Path) -> None:
    need_docker_image("mlpf")
    image = DockerImage("mlpf", more=("--tmpfs", "/results:size=8k,mode=1777"))
    assert "free disk" in failed(image, tmp_path, "-W", *image.small).text()


def test_results_that_may_not_be_written(tmp_path: Path) -> None:
    need_docker_image("mlpf")
    image = DockerImage("mlpf", more=("--volume", f"{tmp_path}:/results:ro"))
    outcome = failed(image, tmp_path, "-W", *image.small)
    assert outcome.code == 1
    assert "/results" in outcome.text()


def test_missing_data(tmp_path: Path) -> None:
    need_docker_image("mlpf")
    outcome = run(DockerImage("mlpf", more=("--tmpfs", "/data")), tmp_path, "-W", *DockerImage("mlpf").small)
    assert outcome.code == 1
    assert "/data/" in outcome.text()
    assert list(tmp_path.glob("*_summary.json")) == []


@pytest.mark.parametrize("workload", WORKLOADS)
def test_ranks_need_no_network(workload: str) -> None:
    """Horovod is there, and Gloo finds the container's own name without a network."""
    tag = need_docker_image(workload)
    program = "import horovod.tensorflow as hvd; hvd.init(); print(hvd.size(), hvd.gloo_built())"
    answer = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python", tag, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == "1 True\n", answer.stderr
