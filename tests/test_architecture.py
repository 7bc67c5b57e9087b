"""Reads the imports of the packages and holds the layers that ``docs/architecture.md`` describes."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.workload import REGISTRY

ROOT = Path(__file__).parents[1]
OURS = ("benchmarks", "datasets", "hepscore_adapter")
FRAMEWORKS = {"tensorflow", "jax", "jaxlib", "torch"}
WORKLOADS = sorted(REGISTRY)
SERVED = "benchmarks.serving.triton_model"  # a copy of it runs in the server's process and environment

# From the top to the bottom. A module imports what stands in a lower line, and its own folder.
LAYERS = f"""
hepscore_adapter.programs
benchmarks.cli
benchmarks.publishing_commands
benchmarks.fit_command benchmarks.hepscore_commands benchmarks.result_commands benchmarks.serve_commands
benchmarks.reporting
benchmarks.publishing
benchmarks.data_commands benchmarks.doctor benchmarks.scaling benchmarks.sonic hepscore_adapter.configuration
benchmarks.gpu_check
hepscore_adapter.image
benchmarks.job
benchmarks.launchers
hepscore_adapter.validate
hepscore_adapter.summary hepscore_adapter.references
benchmarks.comparison benchmarks.fit
benchmarks.side_by_side benchmarks.costs
benchmarks.output benchmarks.report benchmarks.options
benchmarks.runner
benchmarks.serving
benchmarks.training benchmarks.kernels
benchmarks.context
benchmarks.backends
{" ".join(REGISTRY.values())}
benchmarks.workload benchmarks.plots benchmarks.progress benchmarks.operations benchmarks.verdict
benchmarks.timeline
benchmarks.scores benchmarks.resolution
benchmarks.ranks
benchmarks.machine
benchmarks.config benchmarks.result benchmarks.stopping benchmarks.streams benchmarks.timing
benchmarks.errors benchmarks.files datasets
"""
LEVELS = {room: level for level, line in enumerate(LAYERS.strip().splitlines()) for room in line.split()}
FOLDERS = {"benchmarks", "benchmarks.workloads", "hepscore_adapter"}  # empty packages around the rooms


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))}


def imports_of(source: str) -> set[str]:
    """Modules that a source imports, in functions and for type checkers, too; never relative ones."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert node.module is not None
            # A name taken from a package may be a module of it.
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= inner if inner else {node.module}
    return found


def imports(module: str) -> set[str]:
    return imports_of(MODULES[module].read_text(encoding="utf-8"))


def ours(module: str) -> set[str]:
    """What a module imports of this project."""
    return {name for name in imports(module) if top(name) in OURS}


def top(module: str) -> str:
    return module.partition(".")[0]


def below(package: str) -> list[str]:
    return [name for name in MODULES if name == package or name.startswith(f"{package}.")]


def importers(*libraries: str) -> set[str]:
    return {name for name in MODULES if {top(item) for item in imports(name)} & set(libraries)}


def calls(module: str) -> Iterator[str]:
    """Names of the functions and methods that a module calls."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr


def test_imports_are_found_wherever_they_stand() -> None:
    source = (
        "import a.b\ndef f():\n    from c import d\nfrom benchmarks import result\nif X:\n    import e as g"
    )
    assert imports_of(source) == {"a.b", "c", "benchmarks.result", "e"}
    assert {
        "benchmarks.cli",
        "benchmarks.runner",
        "datasets.store",
        "hepscore_adapter.summary",
    } <= MODULES.keys()
    assert "benchmarks.job" in imports("benchmarks.cli")  # inside a function


def room(module: str) -> str:
    """The entry of ``LAYERS`` that a module belongs to."""
    (found,) = (name for name in LEVELS if module == name or module.startswith(f"{name}."))
    return found


@pytest.mark.parametrize("module", sorted(MODULES.keys() - FOLDERS))
def test_imports_lead_downwards(module: str) -> None:
    own = room(module)
    upwards = {name for name in ours(module) if room(name) != own and LEVELS[room(name)] <= LEVELS[own]}
    assert upwards == set()


def test_every_room_of_the_list_is_there() -> None:
    assert {room(module) for module in MODULES.keys() - FOLDERS} == LEVELS.keys()
    for folder in FOLDERS:
        assert {top(name) for name in imports(folder)} <= sys.stdlib_module_names


def test_no_imports_run_in_a_circle() -> None:
    """Modules that import nothing which is left are taken away, until nothing is left."""
    left = {module: ours(module) - {module} for module in MODULES}
    while leaves := {module for module, needed in left.items() if not needed & left.keys()}:
        left = {module: needed for module, needed in left.items() if module not in leaves}
    assert left == {}


def test_the_result_needs_the_standard_library_only() -> None:
    assert {top(name) for name in imports("benchmarks.result")} <= sys.stdlib_module_names


def test_an_image_starts_its_runs_as_processes() -> None:
    """The first process of a container has to outlive whatever a run does to itself."""
    for module in below("hepscore_adapter.image"):
        assert imports(module).isdisjoint({"benchmarks.cli", "benchmarks.job", "benchmarks.runner"}), module


def test_workloads_are_named_in_the_registry_only() -> None:
    """Whatever serves every workload names none; code that is one's own stands in its folder."""
    own = {module for package in REGISTRY.values() for module in below(package)}
    for module in MODULES.keys() - own - {"benchmarks.workload"} - set(below("datasets")):
        source = MODULES[module].read_text(encoding="utf-8").lower()
        assert [name for name in (*WORKLOADS, "mlpf", "gnn") if name in source] == [], module
        assert not any(name.startswith(tuple(REGISTRY.values())) for name in ours(module)), module


def test_each_framework_stays_in_its_backend() -> None:
    backends = set(below("benchmarks.backends"))
    assert importers(*FRAMEWORKS) <= backends | {SERVED}
    assert importers("tensorflow") == {"benchmarks.backends.tensorflow", SERVED}
    assert importers("keras") <= backends | {SERVED} | {
        module for package in REGISTRY.values() for module in below(package)
    }


def test_a_served_model_imports_nothing_of_ours() -> None:
    assert ours(SERVED) == set()


@pytest.mark.parametrize(
    ("library", "module"),
    [
        ("docker", "benchmarks.launchers.engines"),
        ("horovod", "benchmarks.ranks.horovod"),
        ("numba", "benchmarks.workloads.mellin_dis.compiled"),
    ],
)
def test_one_module_imports_a_library(library: str, module: str) -> None:
    assert importers(library) == {module}


def test_clocks_are_read_where_something_is_measured_or_waited_for() -> None:
    """The folder of a run has the date in its name, and ranks wait for each other."""
    allowed = {"benchmarks.timing", "benchmarks.output"}
    allowed |= {f"benchmarks.launchers.{name}" for name in ("local_ranks", "memory_limit", "podman")}
    allowed |= {f"benchmarks.serving.{name}" for name in ("client", "load", "server")}
    allowed |= {*below("benchmarks.machine"), *below("benchmarks.ranks")}
    assert {name for name in importers("time", "datetime") if top(name) == "benchmarks"} <= allowed


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_workload_reads_no_clock_writes_no_file_and_names_no_framework(workload: str) -> None:
    modules = below(REGISTRY[workload])
    assert f"{REGISTRY[workload]}.workload" in modules
    writing = {"open", "write", "write_text", "write_bytes", "write_json", "mkdir", "unlink"}
    writing |= {"save", "savez", "dump", "tofile", "perf_counter", "monotonic"}
    allowed = {"config", "errors", "operations", "plots", "workload"}
    allowed = {*(f"benchmarks.{name}" for name in allowed), *modules}
    for module in modules:
        libraries = {top(name) for name in imports(module)}
        assert libraries.isdisjoint(FRAMEWORKS | {"horovod", "time", "datetime", "timeit"}), module
        assert writing.isdisjoint(calls(module)), module
        assert {name for name in ours(module) if top(name) == "benchmarks"} <= allowed, module
        assert {top(name) for name in ours(module)} <= {"benchmarks", "datasets"}, module


@pytest.mark.parametrize("workload", WORKLOADS)
def test_what_list_and_show_read_of_a_workload_needs_no_keras(workload: str) -> None:
    for module in ("", ".config"):
        assert {top(name) for name in imports(REGISTRY[workload] + module)} <= (
            {"benchmarks"} | sys.stdlib_module_names
        )


def test_what_hep_score_reads_is_written_in_one_place() -> None:
    writers = {name for name in MODULES if "write_summary" in calls(name)}
    assert writers <= {
        "benchmarks.job",
        "hepscore_adapter.image.entrypoint",
        "hepscore_adapter.image.worktree",
    }
