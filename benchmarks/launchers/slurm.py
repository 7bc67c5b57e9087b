"""``hepbench submit``: a batch job for Slurm that trains in containers, one for each rank.

The ranks run as tasks of one ``srun``, also on a single node, so that jobs of any size are started and
measured in the same way. Each task is ``hepbench run`` and not the image's entry point, which starts its
ranks itself and on one machine only.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.files import write_text
from benchmarks.launchers.discovery import APPTAINER_NAMES
from benchmarks.launchers.engines import bind_mount, check_sif
from benchmarks.resolution import Resolved

STOP_SECONDS = 120  # from SIGTERM to the end of the job's time, because a step takes its time
WAIT_SECONDS = 20  # from the end of the first rank to the end of the others by force
_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=hepbench-{workload}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node={ranks_per_node}
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --signal=TERM@{stop_seconds}
{directives}
mkdir -p {output}
engine=$(command -v {engines}) || {{
    echo "hepbench: no {names} on the PATH of $HOSTNAME; load its module before the job" >&2
    exit 1
}}
# --mpi=none: the ranks find each other by Slurm's variables alone, which the container gets with all others.
# --cpu-bind=none: the ranks of a node share out its cores themselves.
# --wait: once a rank has ended, the others have so many seconds; rank 0 writes down which one was lost.
# What the cluster has for its own Python and programs is not for those of the image.
exec srun --mpi=none --cpu-bind=none --kill-on-bad-exit=0 --wait={wait_seconds} \\
    "$engine" exec {nvidia}--no-mount=home,cwd --pwd=/ --env={cleared} \\
    {mount} \\
    {image} \\
    hepbench run {workload} --preset={preset} --data=/data/{preset} {ranks} \\
    --output={output}
"""
# Variables of the cluster that would break programs of the image. An empty value is as good as none.
_CLEARED = ("LD_PRELOAD", "PYTHONHOME", "PYTHONPATH")

_JOB_LINE = re.compile(r"(?:Submitted batch job )?([0-9]+)(?:;\S*| on cluster \S+)?")


@dataclass(frozen=True)
class Job:
    """A batch job.

    Attributes:
        resolved: The configuration, of which the image gets the workload and the preset.
        image: SIF file, as the compute nodes see it.
        output: Folder of the result, as the compute nodes see it.
        nodes: Number of whole nodes.
        ranks_per_node: Number of ranks on each node.
        has_gpus: Whether each rank has a GPU.
        time: Time limit as Slurm writes it, or None for the cluster's default.
        partition: Name of Slurm's partition, or None for the cluster's default.
        account: Slurm's account that pays, or None for the user's default.
    """

    resolved: Resolved
    image: Path
    output: Path
    nodes: int
    ranks_per_node: int
    has_gpus: bool
    time: str | None = None
    partition: str | None = None
    account: str | None = None


def plan_job(
    resolved: Resolved,
    image: Path,
    output: Path,
    *,
    nodes: int,
    gpus_per_node: int | None,
    ranks_per_node: int | None,
    **limits: str | None,
) -> Job:
    """Returns the job of a call of ``hepbench submit``.

    Args:
        resolved: What to run.
        image: SIF file.
        output: Folder of the result.
        nodes: Number of nodes.
        gpus_per_node: Number of ranks on each node with a GPU each, or None.
        ranks_per_node: Number of ranks on each node without GPUs, or None.
        limits: ``time``, ``partition`` and ``account``, see ``Job``.

    Raises:
        UsageError: The options contradict each other, or the configuration does not fit this number of ranks.
    """
    count = gpus_per_node or ranks_per_node
    if count is None or None not in (gpus_per_node, ranks_per_node):
        got = "neither" if count is None else "both"
        raise UsageError(f"expected --gpus-per-node or --ranks-per-node, got {got}; give one of them")

    # A text with a line break would add a line to the script.
    for name, value in limits.items():
        if value is not None and (not value.isprintable() or len(value.split()) != 1):
            raise UsageError(f"--{name}: expected one word, got {value!r}")
    resolved.config.for_ranks(nodes * count)
    return Job(
        resolved, image.absolute(), output.absolute(), nodes, count, gpus_per_node is not None, **limits
    )


def batch_script(job: Job) -> str:
    """Returns the batch script of a job."""
    # An option without a value is left to the cluster.
    options = {
        "gpus-per-node": job.ranks_per_node if job.has_gpus else None,
        "time": job.time,
        "partition": job.partition,
        "account": job.account,
    }
    directives = [f"#SBATCH --{name}={value}\n" for name, value in options.items() if value]

    return _SCRIPT.format(
        workload=job.resolved.config.workload,
        preset=job.resolved.preset,
        nodes=job.nodes,
        ranks_per_node=job.ranks_per_node,
        stop_seconds=STOP_SECONDS,
        wait_seconds=WAIT_SECONDS,
        directives="".join(directives),
        engines=" || command -v ".join(APPTAINER_NAMES),
        names=" or ".join(APPTAINER_NAMES),
        cleared=",".join(f"{name}=" for name in _CLEARED),
        nvidia="--nv " if job.has_gpus else "",
        ranks=f"--{'gpus' if job.has_gpus else 'ranks'}={job.nodes * job.ranks_per_node}",
        mount=shlex.quote(f"--mount={bind_mount(job.output, str(job.output))}"),
        image=shlex.quote(str(job.image)),
        output=shlex.quote(str(job.output)),
    )


def submit_job(job: Job) -> tuple[str, Path]:
    """Submits a job to Slurm and does not wait for it.

    Returns:
        Slurm's number of the job, and the script, which stays in the output folder.

    Raises:
        UsageError: There is no Slurm or no image, or the output folder holds a result.
        RunFailedError: Slurm refused the job, and no file of it stays. Or it gave no number, and the script
            stays, because the job may run.
    """
    if shutil.which("sbatch") is None:
        raise UsageError(
            "no sbatch on the PATH; call this on a submit node, or print the script with --dry-run"
        )
    check_sif(job.image)
    if existing := sorted(job.output.glob("*.json")):
        raise UsageError(f"{existing[0]} exists; choose another --output")

    # The script is a file that stays, so that a person can see later what has run.
    is_new = not job.output.exists()
    job.output.mkdir(parents=True, exist_ok=True)
    file = job.output / "job.sbatch"
    write_text(file, batch_script(job))
    # A site's greeting may be in any encoding.
    command = ["sbatch", "--parsable", str(file)]
    answer = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if answer.returncode:
        file.unlink()
        if is_new:
            with suppress(OSError):  # somebody else has put a file into it
                job.output.rmdir()
        lines = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in answer.stderr.splitlines()]
        raise RunFailedError(
            f"sbatch refused the job: {'; '.join(lines) or f'exit code {answer.returncode}'}"
        )
    return _job_number(answer.stdout, file), file


def _job_number(answer: str, file: Path) -> str:
    """Returns the number of a job, in whatever else a site's wrapper of sbatch prints.

    Args:
        answer: Standard output of sbatch. The line that counts is ``JOB``, ``JOB;CLUSTER``, or the sentence
            of an sbatch that does not get ``--parsable``.
        file: The script.

    Raises:
        RunFailedError: There is no such line.
    """
    lines = answer.splitlines()
    for line in reversed(lines):
        if match := _JOB_LINE.fullmatch(line.strip()):
            return match[1]
    last_line = next((line.strip()[:100] for line in reversed(lines) if line.strip()), "")
    raise RunFailedError(
        f"sbatch: expected the number of the job, got {last_line!r}; see squeue --me, the script is {file}"
    )
