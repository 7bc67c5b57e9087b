from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import nvml, provenance
from tests.benchmarks.machine.fake_nvml import FakeNvml


def run_git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *settings, *arguments], check=True, capture_output=True)


def test_collect_answers_every_question_as_strict_json() -> None:
    collected = provenance.collect({"backend": "tensorflow", "version": "2.20.0"}, {})
    json.dumps(collected, allow_nan=False)
    assert collected.keys() == {
        "benchmark", "container", "python", "packages", "framework", "system", "cpu", "memory",
        "gpu_driver", "gpus", "environment", "scheduler",
    }  # fmt: skip
    assert collected["framework"] == {"backend": "tensorflow", "version": "2.20.0"}
    assert collected["packages"]["keras"] == provenance.package_version("keras")
    assert 1 <= collected["cpu"]["usable_cores"] <= collected["cpu"]["logical_cores"] == os.cpu_count()
    assert collected["memory"]["total_bytes"] > 0


def test_collect_does_not_name_the_host() -> None:
    text = json.dumps(provenance.collect(None, {})).lower()
    host = socket.gethostname().lower()
    assert f'"{host}"' not in text


def test_no_framework_is_imported() -> None:
    """Runs in a process of its own, because other tests of this one may have loaded some."""
    code = (
        "import sys; from benchmarks.machine.provenance import collect; collect(None, {});"
        "print(sorted({'tensorflow', 'keras', 'jax', 'torch', 'horovod'} & sys.modules.keys()))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_git_says_commit_and_whether_files_were_changed(tmp_path: Path) -> None:
    run_git(tmp_path, "init")
    tmp_path.joinpath("file").write_text("one", encoding="utf-8")
    run_git(tmp_path, "add", "file")
    run_git(tmp_path, "commit", "-m", "one")
    clean = provenance.git(tmp_path)
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    tmp_path.joinpath("file").write_text("two", encoding="utf-8")
    assert provenance.git(tmp_path) == {"commit": clean["commit"], "dirty": True}


def test_git_of_a_folder_inside_somebody_elses_checkout_is_null(tmp_path: Path) -> None:
    tmp_path.joinpath(".git").mkdir()
    installed = tmp_path / "site-packages"
    installed.mkdir()
    assert provenance.git(installed) is None


def test_git_without_its_binary_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath(".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git(tmp_path) is None


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_git_of_a_broken_checkout_is_null(tmp_path: Path) -> None:
    tmp_path.joinpath(".git").write_text("gitdir: nowhere\n", encoding="utf-8")
    assert provenance.git(tmp_path) is None


def test_source_md5_covers_path_and_content_of_the_source_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_SOURCE", tmp_path)
    tmp_path.joinpath("benchmarks").mkdir()
    tmp_path.joinpath("benchmarks", "a.py").write_text("x", encoding="ascii")
    tmp_path.joinpath("benchmarks", "a.pyc").write_text("compiled", encoding="ascii")
    tmp_path.joinpath("unrelated.py").write_text("y", encoding="ascii")
    references = tmp_path.joinpath("hepscore_adapter", "configs")
    references.mkdir(parents=True)
    references.joinpath("mlpf.json").write_text("{}", encoding="ascii")
    assert provenance.source_md5() == hashlib.md5(b"benchmarks/a.py\0x\0").hexdigest()


def test_package_version_of_something_absent_is_null() -> None:
    assert provenance.package_version("hepbench-no-such-distribution") is None


@pytest.mark.parametrize(
    ("environment", "engine"),
    [
        ({"APPTAINER_CONTAINER": "/x.sif", "SINGULARITY_CONTAINER": "/x.sif"}, "apptainer"),
        ({"SINGULARITY_CONTAINER": "/x.sif"}, "singularity"),
    ],
)
def test_containment_from_the_engines_own_variables(environment: dict[str, str], engine: str) -> None:
    assert provenance.containment(environment) == engine


def test_containment_without_variables_is_told_by_dockers_file() -> None:
    assert provenance.containment({}) == ("docker" if Path("/.dockerenv").exists() else "none")


def test_settings_keep_what_changes_speed() -> None:
    kept = {
        "CUDA_VISIBLE_DEVICES": "0",
        "LD_PRELOAD": "libtcmalloc.so",
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "NCCL_ALGO": "Ring",
        "OMP_NUM_THREADS": "2",
        "TF_GPU_HOST_MEM_LIMIT_IN_MB": "1000",
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    }
    assert provenance.settings(kept) == kept


@pytest.mark.parametrize(
    "name",
    [
        "HOME", "PATH", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "MY_TF_FLAG", "LD_PRELOAD_OF_MINE",
        "TF_TOKEN_app_terraform_io", "TF_VAR_password", "TF_CONFIG", "NVIDIA_API_KEY", "_HOROVOD_SECRET_KEY",
        "HOROVOD_SECRET_KEY", "HOROVOD_HOSTNAME", "HOROVOD_GLOO_RENDEZVOUS_ADDR", "NCCL_SOCKET_IFNAME_ADDR",
    ],
)  # fmt: skip
def test_settings_leave_out_secrets_hosts_and_everything_else(name: str) -> None:
    assert provenance.settings({name: "x"}) == {}


def test_scheduler_of_slurm() -> None:
    environment = {
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_NTASKS": "8",
        "SLURMD_NODENAME": "a",
    }
    assert provenance.scheduler(environment) == {"name": "slurm", "job_id": "42", "nodes": "2", "tasks": "8"}


def test_scheduler_of_pbs_without_the_servers_name() -> None:
    found = provenance.scheduler({"PBS_JOBID": "42.server.example.org", "PBS_NP": "8"})
    assert found == {"name": "pbs", "job_id": "42", "nodes": None, "tasks": "8"}


def test_scheduler_of_htcondor(tmp_path: Path) -> None:
    file = tmp_path / "job.ad"
    file.write_text('ClusterId = 42\nOwner = "somebody"\nProcId = 3\n', encoding="utf-8")
    found = provenance.scheduler({"_CONDOR_JOB_AD": str(file)})
    assert found == {"name": "htcondor", "job_id": "42.3", "nodes": None, "tasks": None}


@pytest.mark.parametrize(
    ("content", "job_id"),
    [
        (b"", None),
        (b"ClusterId = 42\n", None),
        (b"ClusterId = undefined\nProcId = 3\n", None),
        (b"clusterid=42\r\nPROCID  =  3\r\n", "42.3"),
        ('Owner = "Zo\u00eb"\nClusterId = 42\nProcId = 3\n'.encode("latin-1"), "42.3"),
        ("ClusterId = 42\nProcId = 3\n".encode("utf-16"), None),
    ],
)
def test_a_job_file_of_any_kind_is_no_reason_to_fail(
    tmp_path: Path, content: bytes, job_id: str | None
) -> None:
    file = tmp_path / "job.ad"
    file.write_bytes(content)
    found = provenance.scheduler({"_CONDOR_JOB_AD": str(file)})
    assert found == {"name": "htcondor", "job_id": job_id, "nodes": None, "tasks": None}


def test_a_job_file_that_cannot_be_read_is_no_reason_to_fail(tmp_path: Path) -> None:
    found = {"name": "htcondor", "job_id": None, "nodes": None, "tasks": None}
    assert provenance.scheduler({"_CONDOR_JOB_AD": str(tmp_path / "missing.ad")}) == found
    assert provenance.scheduler({"_CONDOR_JOB_AD": str(tmp_path)}) == found


def test_empty_variables_are_none() -> None:
    assert provenance.scheduler({"SLURM_JOB_ID": "", "PBS_JOBID": "", "_CONDOR_JOB_AD": ""}) is None
    found = provenance.scheduler({"SLURM_JOB_ID": "42", "SLURM_JOB_NUM_NODES": "", "SLURM_NTASKS": "8"})
    assert found == {"name": "slurm", "job_id": "42", "nodes": None, "tasks": "8"}


def test_no_scheduler_is_null() -> None:
    assert provenance.scheduler({"SLURM_CONF": "/etc/slurm.conf"}) is None


GRACE = """\
processor\t: 0
BogoMIPS\t: 2000.00
Features\t: fp asimd
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd4f
CPU revision\t: 0
"""


def test_the_processor_has_the_kernels_name() -> None:
    text = "processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD EPYC 7742 64-Core Processor\n"
    assert provenance.processor_name(text, "x86_64") == "AMD EPYC 7742 64-Core Processor"


@pytest.mark.parametrize(
    ("cpuinfo", "lscpu", "name"),
    [
        (GRACE, "Architecture: aarch64\nModel name:          Neoverse-V2\nModel: 0\n", "Neoverse-V2"),
        (GRACE, "BIOS Model name: Grace A02\nModel name: -\n", "aarch64, implementer 0x41, part 0xd4f"),
        (GRACE, "", "aarch64, implementer 0x41, part 0xd4f"),
        ("", "", "aarch64"),
        ("model name\t: \n", "", "aarch64"),
    ],
)
def test_a_processor_without_the_kernels_name_has_the_next_best(
    monkeypatch: pytest.MonkeyPatch, cpuinfo: str, lscpu: str, name: str
) -> None:
    monkeypatch.setattr(provenance, "_lscpu", lambda: lscpu)
    assert provenance.processor_name(cpuinfo, "aarch64") == name


def test_without_the_program_lscpu_there_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.processor_name("", "aarch64") == "aarch64"


def test_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(2).install(monkeypatch)
    (gpu,) = provenance.collect(None, {1: nvml.handles()[1]})["gpus"]
    assert (gpu["index"], gpu["name"], gpu["power_limit_watts"]) == (1, "NVIDIA H100", 700.0)
    assert gpu["mig"] is False


def test_of_a_slice_no_power_limit_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(1, slices={0: 2}).install(monkeypatch)
    (gpu,) = provenance.collect(None, nvml.visible_handles())["gpus"]
    assert (gpu["name"], gpu["power_limit_watts"], gpu["mig"]) == ("NVIDIA H100 MIG 1g.10gb", None, True)


def test_a_virtual_gpu_that_tells_nothing_is_described_by_nulls(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(1, virtual=True).install(monkeypatch)
    (gpu,) = provenance.collect(None, nvml.handles())["gpus"]
    assert gpu["name"] == "NVIDIA H100"
    assert (gpu["power_limit_watts"], gpu["sm_clock_max_mhz"], gpu["persistence"]) == (None, None, None)


@pytest.mark.gpu
def test_gpus_are_described() -> None:
    if not nvml.handles():
        pytest.skip(f"no GPU: {nvml.unavailable()}")
    collected = provenance.collect(None, nvml.handles())
    assert collected["gpu_driver"]["version"]
    assert len(collected["gpus"]) == len(nvml.handles())
    for gpu in collected["gpus"]:
        assert gpu["name"]
        assert gpu["memory_bytes"] > 1 << 30
        assert gpu["sm_clock_max_mhz"] > 100
