"""Reads the imports of the packages and holds the arrows that ``docs/architecture.md`` draws."""

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


def test_data_sets_know_nothing_of_benchmarks() -> None:
    for module in below("datasets"):
        assert {top(name) for name in ours(module)} <= {"datasets"}, module


def test_the_result_needs_the_standard_library_only() -> None:
    assert {top(name) for name in imports("benchmarks.result")} <= sys.stdlib_module_names


def test_the_summary_is_made_of_the_result_only() -> None:
    assert ours("hepscore_adapter.summary") == {"benchmarks.result"}


def test_the_configuration_of_hep_score_serves_every_workload() -> None:
    """It names none, and knows of a run no more than its result."""
    module = "hepscore_adapter.configuration"
    source = MODULES[module].read_text(encoding="utf-8").lower()
    assert [name for name in (*WORKLOADS, "mlpf", "gnn") if name in source] == []
    libraries = {"config", "errors", "provenance", "report", "result", "workload"}
    assert ours(module) <= {f"benchmarks.{name}" for name in libraries} | {
        "hepscore_adapter.summary",
        "hepscore_adapter.validate",
    }
    assert {name for name in MODULES if module in imports(name)} == {"benchmarks.cli"}


def test_the_configuration_stands_on_nothing() -> None:
    assert ours("benchmarks.config") == {"benchmarks.errors"}
    assert ours("benchmarks.errors") == ours("benchmarks.timing") == set()
    assert ours("benchmarks.workload") == {"benchmarks.config"}


def test_commands_stand_on_the_run_and_never_the_other_way_round() -> None:
    """cli -> sweep -> job -> runner -> what it measures with."""
    above = {
        "benchmarks.cli": set[str](),
        "benchmarks.scaling.series": {"benchmarks.cli"},
        "benchmarks.scaling.figures": {"benchmarks.scaling.series"},
        "benchmarks.scaling.model": {"benchmarks.scaling.figures"},
        "benchmarks.launchers.sweep": {"benchmarks.cli", "benchmarks.scaling.series"},
        "benchmarks.launchers.container": {"benchmarks.cli"},
        "benchmarks.launchers.engines": {"benchmarks.launchers.container", "benchmarks.launchers.slurm"},
        "benchmarks.launchers.slurm": {"benchmarks.cli"},
        "benchmarks.launchers.local_ranks": {"benchmarks.cli"},
        "benchmarks.job": {
            "benchmarks.cli",
            "benchmarks.launchers.container",
            "benchmarks.launchers.local_ranks",
            "benchmarks.launchers.sweep",
            "benchmarks.scaling.series",
        },
        "benchmarks.runner": {"benchmarks.job"},
        "benchmarks.report": {
            "benchmarks.cli",
            "benchmarks.launchers.container",
            "benchmarks.launchers.sweep",
            "benchmarks.job",
            "benchmarks.scaling.series",
            "benchmarks.scaling.figures",
        },
        "benchmarks.doctor": {"benchmarks.cli"},
        "benchmarks.data_commands": {"benchmarks.cli"},
        "benchmarks.options": {"benchmarks.cli", "benchmarks.data_commands"},
    }
    for module, allowed in above.items():
        importing = {name for name in MODULES if module in imports(name)}
        assert {name for name in importing if top(name) == "benchmarks"} <= allowed, module


def test_an_image_starts_its_runs_as_processes() -> None:
    """The first process of a container has to outlive whatever a run does to itself."""
    running = {"benchmarks.cli", "benchmarks.launchers.sweep", "benchmarks.job", "benchmarks.runner"}
    for module in below("hepscore_adapter"):
        assert imports(module).isdisjoint(running), module


def test_the_runner_knows_no_score() -> None:
    """Only the job around a run turns its result into what hep-score reads."""
    adapting = {name for name in MODULES if "hepscore_adapter" in {top(item) for item in ours(name)}}
    assert {name for name in adapting if top(name) == "benchmarks"} <= {
        "benchmarks.cli",
        "benchmarks.launchers.container",
        "benchmarks.job",
    }


@pytest.mark.parametrize(
    "module",
    [
        *(
            "runner",
            "epochs",
            "sharding",
            "distributed",
            "meeting",
            "world",
            "communication",
            "launch",
            "ranks",
        ),
        *("scale", "scaling", "scaling_model"),
        *("job", "submit", "sweep", "inference", "feed", "timing", "progress", "result"),
    ],
)
def test_the_loop_names_no_workload(module: str) -> None:
    source = MODULES[f"benchmarks.{module}"].read_text(encoding="utf-8").lower()
    named = [name for name in (*WORKLOADS, "mlpf", "gnn") if name in source]
    assert named == []
    assert not any(package in ours(f"benchmarks.{module}") for package in REGISTRY.values())


def test_the_runner_names_no_framework() -> None:
    for module in ("runner", "epochs", "sharding", "world", "communication"):
        assert imports(f"benchmarks.{module}").isdisjoint(FRAMEWORKS | {"keras", "horovod"}), module


def test_frameworks_stay_in_the_backends() -> None:
    backends = set(below("benchmarks.backends"))
    assert importers(*FRAMEWORKS) <= backends
    assert importers("tensorflow")  # there is one, so the rule is not empty
    packages = {module for package in REGISTRY.values() for module in below(package)}
    assert importers("keras") <= backends | packages


def test_only_one_module_may_import_docker() -> None:
    assert importers("docker") == {"benchmarks.launchers.engines"}


def test_only_one_module_may_import_horovod() -> None:
    assert importers("horovod") == {"benchmarks.ranks.horovod"}


def test_clocks_are_read_where_something_is_measured() -> None:
    """The job takes the date for a folder's name, ranks wait for each other; the runner has its timer."""
    allowed = {"benchmarks.timing", "benchmarks.machine.telemetry", "benchmarks.job"}
    allowed |= {"benchmarks.ranks.horovod", "benchmarks.ranks.rendezvous", "benchmarks.launchers.local_ranks"}
    assert {name for name in importers("time", "datetime") if top(name) == "benchmarks"} <= allowed


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_workload_reads_no_clock_writes_no_file_and_names_no_framework(workload: str) -> None:
    modules = below(REGISTRY[workload])
    assert f"{REGISTRY[workload]}.workload" in modules
    writing = {"open", "write", "write_text", "write_bytes", "write_json", "mkdir", "unlink"}
    writing |= {"save", "savez", "dump", "tofile", "perf_counter", "monotonic"}
    allowed = {"benchmarks.config", "benchmarks.errors", "benchmarks.workload", *modules}
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
    assert writers
