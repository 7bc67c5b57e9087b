"""MLPF from the command line, in processes of its own: the real model on a few short events."""

from __future__ import annotations

import hashlib
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.result import read_result
from datasets.store import Writer, open_store
from hepscore_adapter.validate import validate_summary
from tests.command import ROOT, environment, hepbench, names, read, refused, start
from tests.conftest import Finished, tiny
from tests.results import decided_by_seed

EPOCH = (
    r"epoch \d/3( \(warm-up\))?: \d+\.\d\d s, \d+\.\d{3} events/s, "
    r"loss \d\S*, validation loss \d\S*, input wait \d+\.\d %"
)


@pytest.fixture
def older(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run's folder, for a run to replace."""
    return Path(shutil.copytree(finished.folder, tmp_path / "run"))


def test_it_leaves_result_summary_and_log(finished: Finished) -> None:
    assert names(finished.folder) == ["mlpf_summary.json", "result.json", "run.log"]
    validate_summary(finished.summary, read_result(finished.folder / "result.json"))
    assert finished.summary["run_info"]["events_per_epoch"] == 8


def test_it_finds_its_events_in_the_cache(finished: Finished, mlpf_data: Path) -> None:
    assert "generating" not in finished.stderr
    manifest = (mlpf_data / "manifest.json").read_bytes()
    assert finished.result["data_sha256"] == hashlib.sha256(manifest).hexdigest()


def test_it_says_how_it_goes_in_plain_lines(finished: Finished) -> None:
    lines = [line for line in finished.stderr.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 3
    assert all(re.fullmatch(EPOCH, line) for line in lines)
    assert finished.stdout.startswith(f"{finished.folder}: mlpf, preset smoke, seed 1, ok\n")
    assert finished.stdout.endswith(f"summary: {finished.folder / 'mlpf_summary.json'}\n")


def test_it_counts_real_events_and_real_elements(finished: Finished, mlpf_data: Path) -> None:
    """Padding is not throughput: elements are the rows on disk, up to the padded length."""
    table = open_store(mlpf_data).split("train").table("elements")
    elements = int(np.minimum(np.diff(table.offsets), 128).sum())
    assert 0 < elements < 8 * 128
    for epoch in finished.result["epochs"]:
        assert (epoch["events"], epoch["steps"]) == (8, 4)
        assert (epoch["elements"], epoch["padded_elements"]) == (elements, 8 * 128)
        assert epoch["throughput"] == 8 / epoch["seconds"]
    assert [epoch["warmup"] for epoch in finished.result["epochs"]] == [True, False, False]


def test_it_trains_the_published_model(finished: Finished) -> None:
    counts = finished.result["model"]
    assert (counts["trainable_parameters"], counts["frozen_parameters"]) == (3_285_841, 38_400)
    first, *_, last = finished.result["epochs"]
    assert last["loss"] < first["loss"]


def test_it_measures_inference_at_the_batch_and_one_by_one(finished: Finished) -> None:
    inference = finished.result["inference"]
    assert (inference["batch"]["batch_size"], inference["single"]["batch_size"]) == (2, 1)
    assert inference["single"]["latency_seconds"]["count"] == 100  # 25 times four events
    assert (
        finished.summary["report"]["wl-scores"]["infer"]
        == (inference["batch"]["events_per_second"]["median"])
    )


@pytest.fixture
def busy_machine() -> Iterator[None]:
    """Two processes that want a core each: under load, threads meet in another order."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for process in spinning:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("busy_machine")
def test_a_second_process_gets_the_same_bits(finished: Finished, older: Path) -> None:
    """Losses, validation, quality and weights; the result that was there is replaced, without a word."""
    (older / "result.json").write_text("{}", encoding="utf-8")
    answer = hepbench("run", *tiny(), "--output", older, "--force", "--quiet")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    again = read(older / "result.json")
    assert again["config"]["deterministic"] == "on"
    assert decided_by_seed(again) == decided_by_seed(finished.result)


@pytest.mark.slow
def test_another_seed_gets_other_losses_and_weights(finished: Finished, tmp_path: Path) -> None:
    """Run without deterministic kernels, which the result says."""
    answer = hepbench("run", *tiny(), "--output", tmp_path, "--seed", "2", "--no-deterministic")
    assert answer.returncode == 0, answer.stderr
    other = read(tmp_path / "result.json")
    assert (other["seed"], other["config"]["deterministic"]) == (2, "off")
    assert other["weights_sha256"] != finished.result["weights_sha256"]
    for ours, theirs in zip(other["epochs"], finished.result["epochs"], strict=True):
        assert ours["loss"] != theirs["loss"]
    assert other["data_sha256"] == finished.result["data_sha256"]


def rewritten(source: Path, folder: Path, *, spoil: bool) -> Path:
    """The same events as a new, intact data set; ``spoil`` makes an input of the last event NaN."""
    with Writer(folder) as writer:
        for name, split in open_store(source).splits.items():
            table = split.table("elements")
            columns = {column: np.array(rows) for column, rows in table.columns.items()}
            if spoil and name == "train":
                columns["inputs"][table.offsets[-2], 5] = np.nan
            writer.append(name, "elements", np.diff(table.offsets), columns)
        return writer.finish({"generator": "tests"})


@pytest.mark.slow
def test_a_nan_ends_the_run_and_takes_the_older_score_away(
    mlpf_data: Path, older: Path, tmp_path: Path
) -> None:
    data = rewritten(mlpf_data, tmp_path / "spoilt", spoil=True)
    answer = hepbench("run", *tiny(), "--data", data, "--output", older, "--force")
    reason = "did not train: the loss is nan from step 3 of epoch 0"
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == f"hepbench: failed: {reason} (see {older / 'result.json'})"
    assert names(older) == ["result.json", "run.log"]
    result = read(older / "result.json")
    assert (result["status"], result["reason"]) == ("failed", reason)
    assert [epoch["loss"] for epoch in result["epochs"]] == [None]
    assert result["epochs"][0]["events"] == 8


@pytest.mark.slow
def test_quality_below_the_floor_is_no_score(tmp_path: Path, mlpf_data: Path) -> None:
    answer = hepbench("run", *tiny(min_accuracy=1, epochs=2), "--data", mlpf_data, "--output", tmp_path)
    assert answer.returncode == 1
    result = read(tmp_path / "result.json")
    accuracy = result["quality"]["accuracy"]
    assert 0 <= accuracy < 1
    assert result["reason"] == f"did not train: accuracy: expected at least 1, got {accuracy:.4f}"
    assert len(result["epochs"]) == 2
    assert names(tmp_path) == ["result.json", "run.log"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_run_stopped_in_an_epoch_keeps_those_before(
    number: int, code: int, reason: str, older: Path, finished: Finished
) -> None:
    process = start("run", *tiny(epochs=1000), "--output", older, "--force")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2/1000"):
            break
    process.send_signal(number)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == code
    assert rest.splitlines()[-1] == f"hepbench: interrupted: {reason} (see {older / 'result.json'})"
    assert "Traceback" not in rest
    result = read(older / "result.json")
    assert (result["status"], result["reason"]) == ("interrupted", reason)
    assert 2 <= len(result["epochs"]) < 1000
    assert result["epochs"][0]["loss"] == finished.result["epochs"][0]["loss"]
    assert names(older) == ["result.json", "run.log"]


GREEDY = """
import sys
from benchmarks import backends
backends.load()
from keras import ops
from benchmarks.cli import main
from benchmarks.workloads.mlpf import workload
loss = workload.mlpf_loss
def greedy(predictions, targets, inputs):
    column = ops.tile(predictions[0, 0, :1], 2000000)
    huge = ops.exp(column[:, None] * column[None, :1000000])
    return loss(predictions, targets, inputs) + ops.sum(huge)
workload.mlpf_loss = greedy
sys.argv = ["hepbench", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_memory_that_the_framework_cannot_get_does_not_fit(mlpf_data: Path, tmp_path: Path) -> None:
    """A loss that asks for 8 TB, which nothing predicted. Some systems would promise them."""
    arguments = ["run", *tiny(), "--data", str(mlpf_data), "--output", str(tmp_path)]
    answer = subprocess.run(
        [sys.executable, "-c", GREEDY, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment({}),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (100 << 30, 100 << 30)),
    )
    assert answer.returncode == 1
    reason = read(tmp_path / "result.json")["reason"]
    assert reason.startswith("does not fit: batch_size 2 in float32 is expected to take 0.9 GB; ")
    assert "OOM when allocating tensor with shape[2000000,1000000]" in reason
    assert reason.endswith("; lower --batch-size")
    assert answer.stderr.splitlines()[-1].startswith(f"hepbench: failed: {reason}")
    assert names(tmp_path) == ["result.json", "run.log"]


@pytest.mark.slow
def test_without_data_and_without_a_generator_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['pythia8mc'] = None\n", encoding="utf-8"
    )
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "HEPBENCH_DATA": str(tmp_path / "cache")}
    answer = hepbench("run", *tiny(), "--output", tmp_path / "run", "--quiet", env=env)
    refused(answer, 1)
    assert read(tmp_path / "run" / "result.json")["reason"] == (
        "making events needs Pythia 8 (pythia8mc), which is not installed: pip install '.[data]'; "
        "or bring events from another machine: docs/data.md, 'Other machines'"
    )
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_data_that_will_not_do_are_named(mlpf_data: Path, tmp_path: Path) -> None:
    """A byte that flipped, a folder that is not there, and an event too few."""
    damaged = Path(shutil.copytree(mlpf_data, tmp_path / "damaged"))
    column = damaged / "train" / "elements" / "inputs.npy"
    content = bytearray(column.read_bytes())
    content[-1] ^= 1
    column.write_bytes(content)
    missing = tmp_path / "missing"
    for data, settings, expected in (
        (damaged, tiny(), f"{column} is damaged: expected SHA-256 "),
        (missing, tiny(), f"{missing} has no manifest.json: there is no such folder; "),
        (
            mlpf_data,
            tiny(train_events=9),
            f"{mlpf_data}: expected at least 9 train events, got 8; lower --set train_events or ",
        ),
    ):
        output = tmp_path / f"run-{data.name}"
        options = ("--quiet", "--data", data, "--output", output)
        assert refused(hepbench("run", *settings, *options), 1).startswith(f"failed: {expected}")
        assert read(output / "result.json")["reason"].startswith(expected)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {"HEPBENCH_DATA": str(tmp_path / "file" / "cache")}
    refused(hepbench("run", *tiny(), "--output", tmp_path / "run", "--quiet", env=env), 1)
    reason = read(tmp_path / "run" / "result.json")["reason"]
    assert re.fullmatch(rf"cannot write {tmp_path}/file/cache/mlpf-\w+: Not a directory", reason)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["precision=float64", "precision=mixed_bfloat16", "xla=on"])
def test_other_formats_and_xla_train_alike(setting: str, finished: Finished, tmp_path: Path) -> None:
    """A different rounding, the same training: the losses stay near those of float32."""
    key, _, value = setting.partition("=")
    answer = hepbench("run", *tiny(**{key: value}), "--output", tmp_path)
    assert answer.returncode == 0, answer.stderr
    run = read(tmp_path / "result.json")
    assert run["config"][key] == value
    for epoch, plain in zip(run["epochs"], finished.result["epochs"], strict=True):
        assert epoch["loss"] == pytest.approx(plain["loss"], rel=0.05)
    assert run["weights_sha256"] != finished.result["weights_sha256"]
