"""``hepbench submit``: a batch job for Slurm that trains in containers, one for each rank.

The ranks run as tasks of one ``srun``, also on a single node, so that jobs of any size are started and
measured in the same way. They are ``hepbench run`` and not the image's entry point, which starts its ranks
itself and on one machine only.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.config import Resolved
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.launchers.engines import bind_mount, check_sif
from benchmarks.result import write_text

STOP_SECONDS = 120  # between SIGTERM and the end of the job's time; a step takes its time
WAIT_SECONDS = 20  # between the end of the first rank and that of the others by force
_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=hepbench-{workload}
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node={ranks_per_node}
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --signal=TERM@{stop_seconds}
{chosen}
mkdir -p {output}
# --mpi=none: the ranks find each other by Slurm's variables alone, which the container gets with all others.
# --cpu-bind=none: the ranks of a node share out its cores themselves.
# --wait: once a rank has ended, the others have so many seconds; rank 0 writes down which one was lost.
# The cluster's PYTHONPATH is not for the Python of the image.
exec srun --mpi=none --cpu-bind=none --kill-on-bad-exit=0 --wait={wait_seconds} \\
    apptainer exec {nvidia}--no-mount=home,cwd --pwd=/ --env=PYTHONPATH= \\
    {mount} \\
    {image} \\
    hepbench run {workload} --preset={preset} --data=/data/{preset} {ranks} \\
    --output={output}
"""


@dataclass(frozen=True)
class Job:
    """What is to run, and where.

    Attributes:
        resolved: Configuration; of it the image gets the workload and the preset.
        image: SIF file, as the compute nodes see it.
        output: Folder of the result, likewise.
        nodes: Number of nodes; nobody else gets anything of them.
        ranks_per_node: Ranks on each.
        gpus: Whether each rank has a GPU.
        time: Limit, as Slurm writes it; None for the cluster's own.
        partition: Name of Slurm's partition; None for the cluster's own.
        account: Who pays; None for the user's own.
    """

    resolved: Resolved
    image: Path
    output: Path
    nodes: int
    ranks_per_node: int
    gpus: bool
    time: str | None = None
    partition: str | None = None
    account: str | None = None


def job(
    resolved: Resolved,
    image: Path,
    output: Path,
    *,
    nodes: int,
    gpus_per_node: int | None,
    ranks_per_node: int | None,
    **limits: str | None,
) -> Job:
    """The job of a call of ``hepbench submit``.

    Args:
        resolved: What to run.
        image: SIF file.
        output: Folder of the result.
        nodes: Number of nodes.
        gpus_per_node: Ranks on each node, with a GPU each; or None, and
        ranks_per_node: ranks on each node, on its cores.
        limits: ``time``, ``partition`` and ``account``.

    Raises:
        UsageError: The options contradict each other, or the configuration does not fit so many ranks.
    """
    each = gpus_per_node or ranks_per_node
    if each is None or None not in (gpus_per_node, ranks_per_node):
        got = "neither" if each is None else "both"
        raise UsageError(f"expected --gpus-per-node or --ranks-per-node, got {got}; give one of them")
    for name, value in limits.items():
        if value is not None and (not value.isprintable() or len(value.split()) != 1):
            raise UsageError(f"--{name}: expected one word, got {value!r}")
    resolved.config.for_ranks(nodes * each)
    return Job(
        resolved, image.absolute(), output.absolute(), nodes, each, gpus_per_node is not None, **limits
    )


def script(wanted: Job) -> str:
    """The batch script."""
    gpus = wanted.gpus
    options = {
        "gpus-per-node": wanted.ranks_per_node if gpus else None,
        "time": wanted.time,
        "partition": wanted.partition,
        "account": wanted.account,
    }
    return _SCRIPT.format(
        workload=wanted.resolved.config.workload,
        preset=wanted.resolved.preset,
        nodes=wanted.nodes,
        ranks_per_node=wanted.ranks_per_node,
        stop_seconds=STOP_SECONDS,
        wait_seconds=WAIT_SECONDS,
        chosen="".join(f"#SBATCH --{name}={value}\n" for name, value in options.items() if value),
        nvidia="--nv " if gpus else "",
        ranks=f"--{'gpus' if gpus else 'ranks'}={wanted.nodes * wanted.ranks_per_node}",
        mount=shlex.quote(f"--mount={bind_mount(wanted.output, str(wanted.output))}"),
        image=shlex.quote(str(wanted.image)),
        output=shlex.quote(str(wanted.output)),
    )


def submit(wanted: Job) -> tuple[str, Path]:
    """Hands the job to Slurm and does not wait for it.

    Returns:
        Slurm's number of the job, and the script, which stays in the output folder.

    Raises:
        UsageError: There is no Slurm or no image, or the output folder holds a result.
        RunFailedError: Slurm refused the job; nothing is left then.
    """
    if shutil.which("sbatch") is None:
        raise UsageError(
            "no sbatch on the PATH; call this on a submit node, or print the script with --dry-run"
        )
    check_sif(wanted.image)
    if there := sorted(wanted.output.glob("*.json")):
        raise UsageError(f"{there[0]} exists; choose another --output")
    made = not wanted.output.exists()
    wanted.output.mkdir(parents=True, exist_ok=True)
    file = wanted.output / "job.sbatch"
    write_text(file, script(wanted))
    answer = subprocess.run(["sbatch", "--parsable", file], capture_output=True, text=True, check=False)
    if answer.returncode:
        file.unlink()
        if made:
            with suppress(OSError):  # somebody else has put something there
                wanted.output.rmdir()
        lines = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in answer.stderr.splitlines()]
        raise RunFailedError(f"sbatch refused the job: {'; '.join(lines)}")
    return answer.stdout.strip().partition(";")[0], file  # JOB or JOB;CLUSTER
