"""Environment variables that launchers set, and what they say of the way a process was started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.errors import UsageError

# Variables of launchers under which ranks do not find each other: the number of a process, and how many
# processes there are. Where a launcher does not say how many, a process other than the first shows that there
# are several.
_UNKNOWN_LAUNCHERS = {
    "flux": ("FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
    "torchrun": ("RANK", "WORLD_SIZE"),
    "PALS": ("PALS_RANKID", "PMI_SIZE"),
    "jsrun": ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),
    "mpirun_rsh": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    "aprun": ("ALPS_APP_PE", "PMI_SIZE"),
    "PMIx": ("PMIX_RANK", ""),
    "srun": ("SLURM_PROCID", ""),
}
_COMMON_WORDS = {"RANK"}  # which says something only beside the number of processes


def unknown_launcher(environment: Mapping[str, str]) -> str:
    """Returns the launcher that started several processes, with its variables, or an empty text.

    Args:
        environment: Environment variables of a process that has no place among the ranks of a run.

    Returns:
        A text such as ``flux (FLUX_TASK_RANK=1, FLUX_JOB_SIZE=2)``.
    """
    for launcher, names in _UNKNOWN_LAUNCHERS.items():
        values = {name: int(text) for name in names if (text := environment.get(name, "")).isdecimal()}
        rank, size = (values.get(name) for name in names)
        if rank is None or (size is None and names[0] in _COMMON_WORDS):
            continue
        if rank > 0 or (size or 1) > 1:
            return f"{launcher} ({', '.join(f'{name}={value}' for name, value in values.items())})"
    return ""


def is_shell_of_srun(environment: Mapping[str, str]) -> bool:
    """Tells whether this process was started in a shell that ``srun --pty`` opened.

    Only the first task of such a step has a terminal, and the shells of the others have ended by then. Steps
    and jobs that are started in the shell inherit ``SLURM_PTY_PORT``, but their tasks have no terminal.

    Args:
        environment: Environment variables of this process.
    """
    if not has_all(["SLURM_PTY_PORT"], environment):
        return False
    if not has_all(["SLURM_TASK_PID"], environment):  # without a task there is nothing to look at
        return True

    # A shell gives each command a process group of its own. A command that srun --pty starts without a shell
    # runs in all tasks, and is in the first group of its session.
    status = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    _, _, group, session, terminal = status.rpartition(")")[2].split()[:5]
    return terminal != "0" and group != session


def number(environment: Mapping[str, str], name: str) -> int | None:
    """Returns the number that a variable holds, or None where it is missing or empty.

    Raises:
        UsageError: It holds something else.
    """
    text = environment.get(name, "").strip()
    if text and not text.isdecimal():
        raise UsageError(f"{name}: expected a whole number of a launcher, got {text!r}; unset it")
    return int(text) if text else None


def numbers(launcher: str, names: Sequence[str], environment: Mapping[str, str]) -> list[int]:
    """Returns the numbers that variables of a launcher hold.

    Raises:
        UsageError: One is missing, or holds something else.
    """
    check_all(launcher, names, environment)
    return [number(environment, name) or 0 for name in names]


def has_all(names: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Tells whether each of the variables has a value."""
    return all(environment.get(name, "").strip() for name in names)


def check_all(launcher: str, names: Sequence[str], environment: Mapping[str, str]) -> None:
    """Checks that each of the variables of a launcher has a value.

    Raises:
        UsageError: One is missing or empty.
    """
    missing = [name for name in names if not has_all([name], environment)]
    if missing:
        raise UsageError(
            f"started by {launcher}: expected {names[0]} and {missing[0]}; use hepbench run --ranks N"
        )
