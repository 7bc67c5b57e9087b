"""The batch script of ``hepbench submit``, and what is refused; tests/slurm hands it to a real Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.launchers.engines import SIF_MAGIC, SIF_MAGIC_OFFSET
from tests.command import ROOT, hepbench, names, refused

BASH = shutil.which("bash") or "bash"
SHIPPED = (
    "mlpf",
    "--preset=hepscore",
    "--gpus-per-node=4",
    "--image=/shared/mlpf-bmk.sif",
    "--time=02:00:00",
)


def program(folder: Path, name: str, script: str) -> dict[str, str]:
    """Makes a program of a script, and returns variables with which it is found first."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def only(folder: Path, name: str) -> Path:
    """Makes a folder with one program of this machine."""
    folder.mkdir()
    path = shutil.which(name)
    assert path is not None
    (folder / name).symlink_to(path)
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "x.sif"
    file.write_bytes(b"#" * SIF_MAGIC_OFFSET + SIF_MAGIC)
    return file


def dry_run(*arguments: object) -> str:
    answer = hepbench("submit", *arguments, "--dry-run")
    assert (answer.returncode, answer.stderr) == (0, "")
    return answer.stdout


@pytest.mark.parametrize(("file", "nodes"), [("one-node", 1), ("nodes", 2)])
def test_the_shipped_scripts_are_those_that_it_prints(file: str, nodes: int) -> None:
    shipped = (ROOT / "containers" / "slurm" / f"{file}.sbatch").read_text()
    assert shipped == dry_run(*SHIPPED, f"--nodes={nodes}", f"--output=/shared/results/mlpf-{nodes}x4")


def test_gpus_of_all_nodes_are_asked_of_slurm_and_of_the_run() -> None:
    script = dry_run("gnn_tracking", "--nodes=3", "--gpus-per-node=2", "--image=x.sif", "--output=/o")
    directives = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SB")]
    assert directives == [
        *("job-name=hepbench-gnn_tracking", "nodes=3", "ntasks-per-node=2", "exclusive", "mem=0"),
        *("signal=TERM@120", "gpus-per-node=2"),
    ]
    assert '"$engine" exec --nv ' in script
    assert "hepbench run gnn_tracking --preset=smoke --data=/data/smoke --gpus=6 " in script


def test_without_gpus_there_are_none_in_the_script() -> None:
    options = ("--time=1-0", "--partition=long", "--account=atlas")
    script = dry_run("mlpf", "--nodes=2", "--ranks-per-node=2", "--image=x.sif", "--output=/o", *options)
    assert "--ranks=4 " in script
    assert "gpus" not in script
    assert "--nv" not in script
    assert "\n#SBATCH --time=1-0\n#SBATCH --partition=long\n#SBATCH --account=atlas\n" in script


def test_srun_gets_every_path_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "it's, $HOME: a b"
    script = dry_run("mlpf", "--ranks-per-node=2", "--image", folder / "i.sif", "--output", folder / "o")
    program(tmp_path / "bin", "srun", r'printf "%s\n" "$@"')
    bare = {"PATH": f"{tmp_path}/bin:{only(tmp_path / 'tools', 'mkdir')}", "HOSTNAME": "node7"}
    answer = subprocess.run([BASH, "-c", script], env=bare, capture_output=True, text=True)
    assert answer.stderr == (
        "hepbench: no apptainer or singularity on the PATH of node7; load its module before the job\n"
    )
    assert (answer.returncode, answer.stdout) == (1, "")

    # Of the two names, the nodes have the old one.
    program(tmp_path / "bin", "singularity", "exit 1")
    got = subprocess.run([BASH, "-c", script], env=bare, capture_output=True, text=True, check=True).stdout
    assert got.splitlines() == [
        *("--mpi=none", "--cpu-bind=none", "--kill-on-bad-exit=0", "--wait=20"),
        *(f"{tmp_path}/bin/singularity", "exec", "--no-mount=home,cwd", "--pwd=/"),
        "--env=LD_PRELOAD=,PYTHONHOME=,PYTHONPATH=",
        f'--mount=type=bind,"source={folder}/o","target={folder}/o"',
        *(f"{folder}/i.sif", "hepbench", "run", "mlpf"),
        *("--preset=smoke", "--data=/data/smoke", "--ranks=2", f"--output={folder}/o"),
    ]
    assert (folder / "o").is_dir()


def test_a_job_is_handed_to_sbatch(tmp_path: Path, image: Path) -> None:
    sbatch = program(tmp_path / "bin", "sbatch", 'echo "$@" >"$(dirname "$0")/told"; echo "77;here"')
    output = tmp_path / "new" / "o"
    call = ("mlpf", "--ranks-per-node=2", "--image", image, "--output", output)
    answer = hepbench("submit", *call, env=sbatch)
    assert (answer.returncode, answer.stderr) == (0, "")
    file = output / "job.sbatch"
    assert answer.stdout == f"job:     77 ({file})\nsummary: {output / 'mlpf_summary.json'}\n"
    assert (tmp_path / "bin" / "told").read_text() == f"--parsable {file}\n"
    assert file.read_text() == dry_run(*call)


def test_what_sbatch_says_against_a_job_is_one_line(tmp_path: Path, image: Path) -> None:
    sbatch = program(
        tmp_path / "bin",
        "sbatch",
        r"printf 'sbatch: error: %s\n' 'invalid account' 'Batch job submission failed' >&2; exit 1",
    )
    there, new = tmp_path / "there", tmp_path / "new"
    there.mkdir()
    for output in (there, new):
        answer = hepbench(
            "submit", "mlpf", "--ranks-per-node=2", "--image", image, "--output", output, env=sbatch
        )
        assert refused(answer, 1) == ("sbatch refused the job: invalid account; Batch job submission failed")
    assert names(there) == []
    assert not new.exists()


@pytest.mark.parametrize(
    "answer",
    [
        r"\n-----\n  Welcome; 1,234 node hours left\n-----\n--> host (login1)...OK\n4711;cluster1\n",
        r"Willkommen, Gr\374\337e\n4711\n",
        r"4711;cluster1\r\nhave a nice day\n",
        r"2026\n\n4711\n\n",
        r"Submitted batch job 4711\n",
        r"Submitted batch job 4711 on cluster here\n",
    ],
)
def test_a_site_may_say_more_than_the_number(tmp_path: Path, image: Path, answer: str) -> None:
    sbatch = program(tmp_path / "bin", "sbatch", f"printf '{answer}'")
    output = tmp_path / "o"
    call = ("submit", "mlpf", "--ranks-per-node=2", "--image", image, "--output", output)
    submitted = hepbench(*call, env=sbatch)
    assert submitted.returncode == 0
    assert submitted.stdout.splitlines()[0] == f"job:     4711 ({output / 'job.sbatch'})"


@pytest.mark.parametrize(("answer", "last_line"), [("", ""), ("Welcome\\nOK 12\\n", "OK 12")])
def test_an_answer_without_a_number_is_no_success(
    tmp_path: Path, image: Path, answer: str, last_line: str
) -> None:
    """The job may run, so that its script stays."""
    sbatch = program(tmp_path / "bin", "sbatch", f"printf '{answer}'")
    file = tmp_path / "o" / "job.sbatch"
    call = ("submit", "mlpf", "--ranks-per-node=2", "--image", image, "--output", file.parent)
    assert refused(hepbench(*call, env=sbatch), 1) == (
        f"sbatch: expected the number of the job, got {last_line!r}; see squeue --me, the script is {file}"
    )
    assert file.exists()


def test_a_refusal_without_words_has_its_exit_code(tmp_path: Path, image: Path) -> None:
    sbatch = program(tmp_path / "bin", "sbatch", "exit 3")
    call = ("submit", "mlpf", "--ranks-per-node=2", "--image", image, "--output", tmp_path / "o")
    assert refused(hepbench(*call, env=sbatch), 1) == "sbatch refused the job: exit code 3"


def test_without_slurm_the_script_can_be_printed(tmp_path: Path, image: Path) -> None:
    call = ("submit", "mlpf", "--ranks-per-node=2", "--image", image, "--output", tmp_path / "o")
    assert refused(hepbench(*call, env={"PATH": str(tmp_path)}), 2) == (
        "no sbatch on the PATH; call this on a submit node, or print the script with --dry-run"
    )
    assert hepbench(*call, "--dry-run", env={"PATH": str(tmp_path)}).returncode == 0


def test_an_image_that_is_none(tmp_path: Path) -> None:
    sbatch = program(tmp_path / "bin", "sbatch", "echo 77")
    call = ("submit", "mlpf", "--ranks-per-node=2", "--output", tmp_path / "o")
    missing, other = tmp_path / "missing.sif", tmp_path / "other.sif"
    other.write_text("x")
    assert refused(hepbench(*call, "--image", missing, env=sbatch), 2) == (
        f"--image {missing}: No such file or directory; make it with make sif"
    )
    assert "expected a SIF file" in refused(hepbench(*call, "--image", other, env=sbatch), 2)
    assert not (tmp_path / "o").exists()


def test_a_result_is_not_replaced(tmp_path: Path, image: Path) -> None:
    sbatch = program(tmp_path / "bin", "sbatch", "echo 77")
    (tmp_path / "result.json").touch()
    answer = hepbench(
        "submit", "mlpf", "--ranks-per-node=2", "--image", image, "--output", tmp_path, env=sbatch
    )
    assert refused(answer, 2) == f"{tmp_path / 'result.json'} exists; choose another --output"
    assert "job.sbatch" not in names(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected --gpus-per-node or --ranks-per-node, got neither; give one of them"),
        (
            ["--gpus-per-node=1", "--ranks-per-node=1"],
            "expected --gpus-per-node or --ranks-per-node, got both; give one of them",
        ),
        (["--gpus-per-node=0"], "Invalid value for '--gpus-per-node': 0 is not in the range x>=1."),
        (["--gpus-per-node=1", "--nodes=0"], "Invalid value for '--nodes': 0 is not in the range x>=1."),
        (["--gpus-per-node=1", "--time=1\n#SBATCH"], "--time: expected one word, got '1\\n#SBATCH'"),
        (["--gpus-per-node=1", "--partition="], "--partition: expected one word, got ''"),
        (["--gpus-per-node=1", "--account=a b"], "--account: expected one word, got 'a b'"),
    ],
)
def test_wrong_calls(options: list[str], message: str) -> None:
    answer = hepbench("submit", "mlpf", "--image=x.sif", "--output=/o", "--dry-run", *options)
    assert refused(answer, 2) == message


def test_more_ranks_than_the_events_of_the_preset() -> None:
    call = ("submit", "mlpf", "--nodes=1000", "--ranks-per-node=8", "--image=x.sif", "--output=/o")
    assert "global_batch_size: expected at most the " in refused(hepbench(*call), 2)
