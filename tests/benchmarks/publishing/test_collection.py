"""A folder with a file for each machine: what goes in comes out, and what was touched is found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import UsageError
from benchmarks.publishing.collection import (
    add_to_collection,
    content_hash,
    file_name,
    read_collection,
)
from benchmarks.result import RunResult
from datasets.errors import DataError
from hepscore_adapter.references import read_reference
from tests.command import LINE, hepbench, names, read, refused, run_line


def on(model: str, name: str = "mlpf-smoke") -> RunResult:
    """A shipped reference run as if another CPU had made it."""
    run = read_reference(name)
    cpu = {**run.provenance["cpu"], "model": model}
    return dataclasses.replace(run, provenance={**run.provenance, "cpu": cpu})


def collection(folder: Path, *runs: RunResult) -> list[Path]:
    return add_to_collection([(f"run {index}", run) for index, run in enumerate(runs)], folder)


def edit(file: Path, **changes: Any) -> None:
    content = read(file)
    content["results"][0]["result"].update(changes)
    file.write_text(json.dumps(content), encoding="utf-8")


def test_every_machine_has_a_file_with_its_results(tmp_path: Path) -> None:
    files = collection(tmp_path / "r", on("A CPU"), on("B (R) CPU"), on("A CPU", "gnn_tracking-smoke"))
    assert [file.name for file in files] == ["a-cpu-2-of-2-cores.json", "b-r-cpu-2-of-2-cores.json"]
    content = read(files[0])
    assert content["machine"] == "A CPU, 2 of 2 cores"
    assert [entry["result"]["workload"] for entry in content["results"]] == ["mlpf", "gnn_tracking"]
    results = read_collection(tmp_path / "r")
    assert [name for name, _ in results] == [
        "a-cpu-2-of-2-cores.json, result 1",
        "a-cpu-2-of-2-cores.json, result 2",
        "b-r-cpu-2-of-2-cores.json, result 1",
    ]
    assert results[0][1].to_dict() == on("A CPU").to_dict()


def test_a_result_is_added_once_and_others_stay(tmp_path: Path) -> None:
    collection(tmp_path, on("A CPU"))
    collection(tmp_path, on("A CPU"), on("A CPU", "gnn_tracking-smoke"))
    assert [run.workload for _, run in read_collection(tmp_path)] == ["mlpf", "gnn_tracking"]


def test_the_hash_does_not_depend_on_how_the_file_is_laid_out(tmp_path: Path) -> None:
    (file,) = collection(tmp_path, on("A CPU"))
    file.write_text(json.dumps(read(file), sort_keys=True), encoding="utf-8")
    assert len(read_collection(tmp_path)) == 1
    assert content_hash({"a": 1, "b": [1.5]}) == content_hash({"b": [1.5], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


def test_an_edited_result_is_found(tmp_path: Path) -> None:
    (file,) = collection(tmp_path, on("A CPU"))
    edit(file, weights_sha256="00")
    with pytest.raises(DataError, match=f"^{file}: result 1 was damaged or edited: expected "):
        read_collection(tmp_path)
    answer = hepbench("leaderboard", tmp_path, "--output", tmp_path / "site")
    assert refused(answer, 1).startswith(f"{file}: result 1 was damaged or edited: ")
    with pytest.raises(DataError, match="was damaged or edited"):
        collection(tmp_path, on("A CPU", "gnn_tracking-smoke"))


def test_a_changed_score_is_found_although_its_hash_was_made_again(tmp_path: Path) -> None:
    """The repetitions say something else. Who changes those as well is found by nobody."""
    (file,) = collection(tmp_path, on("A CPU"))
    content = read(file)
    entry = content["results"][0]
    entry["result"]["scores"]["train"]["spread"]["median"] = 1e6
    entry["sha256"] = content_hash(entry["result"])
    file.write_text(json.dumps(content), encoding="utf-8")
    line = f"^{tmp_path}: {file.name}, result 1: summary: expected the scores of the run's own record"
    with pytest.raises(DataError, match=line):
        read_collection(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1, "results": [1]}'])
def test_what_is_no_collection_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.json: expected the results of a machine as JSON, got: "):
        read_collection(tmp_path)


def test_an_empty_folder_and_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a JSON file for each machine, got none; make them with"):
        read_collection(tmp_path)
    (tmp_path / "a.json").write_text('{"schema_version": 2, "results": []}', encoding="utf-8")
    with pytest.raises(DataError, match="expected schema version 1, got 2"):
        read_collection(tmp_path)


def test_a_run_without_a_score_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^run 0: expected a result with status ok, got failed: why$"):
        collection(tmp_path / "r", dataclasses.replace(on("A CPU"), status="failed", reason="why"))
    assert not (tmp_path / "r").exists()


def test_names_of_files_are_plain() -> None:
    assert file_name("AMD EPYC 9654, 2 of 4 cores, 1 x NVIDIA H100") == (
        "amd-epyc-9654-2-of-4-cores-1-x-nvidia-h100.json"
    )


def test_a_run_is_exported_and_put_on_a_page(tmp_path: Path) -> None:
    assert run_line(tmp_path / "run").returncode == 0
    answer = hepbench("export", tmp_path / "run", "--format=json", "--output", tmp_path / "r", program=LINE)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [str(tmp_path / "r" / name) for name in names(tmp_path / "r")]
    answer = hepbench("leaderboard", tmp_path / "r", "--output", tmp_path / "site", program=LINE)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"{tmp_path / 'site' / 'index.html'}\n"
    assert answer.stderr.startswith("1 results are as they were exported. ")
    assert answer.stderr.endswith("It is no proof against fraud.\n")
    answer = hepbench("export", tmp_path / "run", "--format=json", program=LINE)
    assert (
        refused(answer, 2)
        == "--format json: expected a folder for the files, got none; name it with --output"
    )
