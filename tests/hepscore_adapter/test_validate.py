from __future__ import annotations

import copy
import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchmarks.result import Score, Spread
from benchmarks.scores import _ACCOUNTS, Account, account
from benchmarks.verdict import verdict
from hepscore_adapter.summary import Request, summary
from hepscore_adapter.validate import summary_path, validate_summary, write_summary
from tests.results import epoch, result

Content = dict[str, Any]


def refusal(change: Callable[[Content], object]) -> str:
    """The message for a good summary after ``change``."""
    content = copy.deepcopy(summary(result()))
    change(content)
    with pytest.raises(ValueError, match=r"^summary: ") as caught:
        validate_summary(content)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def score(value: object) -> Callable[[Content], object]:
    return lambda content: content["report"]["wl-scores"].update(train=value)


def test_a_good_summary_passes_with_and_without_its_run() -> None:
    content = summary(result())
    validate_summary(content)
    validate_summary(content, result())


def test_the_schema_is_a_valid_schema() -> None:
    path = Path(__file__).parents[2] / "hepscore_adapter" / "schema" / "summary-1.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.0, "expected exclusiveMinimum 0, got 0.0"),
        (-1.5, "expected exclusiveMinimum 0, got -1.5"),
        (math.nan, "expected a finite number, got nan"),
        (math.inf, "expected a finite number, got inf"),
        (-math.inf, "expected a finite number, got -inf"),
        ("2.5", "expected type \"number\", got '2.5'"),
        (None, 'expected type "number", got None'),
        ([1.0], 'expected type "number", got [1.0]'),
        (True, 'expected type "number", got True'),
        (20, "expected a float, always, got the integer 20"),
        (0.0001, "expected the median in wl-stats, 20.0, got 0.0001"),
    ],
)
def test_a_score_that_hepscore_would_misread_is_refused(value: object, message: str) -> None:
    assert refusal(score(value)) == f"summary: report.wl-scores.train: {message}"


def test_a_score_that_hepscore_would_round_away_is_refused() -> None:
    def change(content: Content) -> None:
        score(0.0006)(content)
        content["report"]["wl-stats"]["train"]["median"] = 0.0006

    assert (
        refusal(change) == "summary: report.wl-scores.train: expected at least 0.0007 per second, got 0.0006"
    )


CHANGES: dict[str, tuple[Callable[[Content], object], str]] = {
    "no app": (lambda c: c.pop("app"), "top level: expected the key 'app', got run_info, report"),
    "no report": (lambda c: c.pop("report"), "top level: expected the key 'report', got run_info, app"),
    "extra key": (
        lambda c: c.update(extra=1),
        "top level: expected no keys but run_info, report, app, got run_info, report, app, extra",
    ),
    "no score": (
        lambda c: c["report"].update({"wl-scores": {}}),
        "report.wl-scores: expected minProperties 1, got {}",
    ),
    "a score without statistics": (
        lambda c: c["report"]["wl-scores"].update(service=10.0),
        "report.wl-stats: expected the score service, got train, infer, epoch_time, accuracy, auc",
    ),
    "a training without epochs": (
        lambda c: c["run_info"].pop("epochs"),
        "run_info: expected the key 'epochs', got copies, threads_per_copy, events_per_thread, "
        "extra_arguments, world_size, seed, kind, preset, precision, events_per_epoch, warmup_epochs, "
        "batch_size, changed_settings, resolved_settings",
    ),
    "a training without latencies": (
        lambda c: c["report"].pop("latency_seconds"),
        "report: expected the key 'latency_seconds', got wl-scores, wl-stats, relative_spread, settings, "
        "machine, verdict, quality, input_wait, peak_memory_bytes, energy, energy_scored, telemetry, "
        "weights_sha256, log",
    ),
    "scores are a list": (
        lambda c: c["report"].update({"wl-scores": [1.0]}),
        'report.wl-scores: expected type "object", got [1.0]',
    ),
    "log of a failure": (
        lambda c: c["report"].update(log="ERROR"),
        "report.log: expected const \"ok\", got 'ERROR'",
    ),
    "dot in a name": (
        lambda c: c["report"]["quality"].update({"acc.top": 1.0}),
        "expected names without dots, got 'acc.top' in report.quality",
    ),
    "quality is not a number": (
        lambda c: c["report"]["quality"].update(auc=math.nan),
        "report.quality.auc: expected a finite number, got nan",
    ),
    "no copy": (lambda c: c["run_info"].update(copies=0), "run_info.copies: expected minimum 1, got 0"),
    "a copy that is not told of": (
        lambda c: c["run_info"].update(copies=2),
        "report: expected the 2 copies of run_info, got 1",
    ),
    "nothing beside the scores": (
        lambda c: c["report"].pop("quality"),
        "report: expected the key 'quality', got wl-scores, wl-stats, relative_spread, settings, machine, "
        "verdict, input_wait, latency_seconds, peak_memory_bytes, energy, energy_scored, telemetry, "
        "weights_sha256, log",
    ),
    "no threads": (
        lambda c: c["run_info"].update(threads_per_copy=0),
        "run_info.threads_per_copy: expected minimum 1, got 0",
    ),
    "an unknown engine": (
        lambda c: c["app"].update(containment="podman"),
        'app.containment: expected enum ["none", "docker", "apptainer", "singularity"], got \'podman\'',
    ),
    "no data": (
        lambda c: c["app"].update(bmkdata_checksum=""),
        "app.bmkdata_checksum: expected pattern \"^[0-9a-f]{64}$\", got ''",
    ),
    "no statistics": (
        lambda c: c["report"]["wl-stats"]["train"].pop("count"),
        "report.wl-stats.train: expected the key 'count', got avg, median, min, max",
    ),
    "a path": (
        lambda c: c["report"]["telemetry"].update(folder=Path("x")),
        "expected JSON values only: Object of type PosixPath is not JSON serializable",
    ),
    "a tuple": (
        lambda c: c["report"]["telemetry"].update(samples=(1, 2)),
        "expected the same after JSON and back (no tuples, no numbers as keys)",
    ),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_summary_of_another_shape_is_refused(change: Callable[[Content], object], message: str) -> None:
    assert refusal(change) == f"summary: {message}"


def test_something_else_than_an_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r'^summary: top level: expected type "object", got \[\]$'):
        validate_summary([])  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "record"), [("train", 20.0), ("infer", 50.0)])
def test_a_score_that_the_run_does_not_back_is_refused(name: str, record: float) -> None:
    content = summary(result())
    content["report"]["wl-scores"][name] = content["report"]["wl-stats"][name]["median"] = 99.0
    validate_summary(content)
    with pytest.raises(
        ValueError, match=f"wl-scores.{name}: expected {record} from the run's record, got 99.0$"
    ):
        validate_summary(content, result())


def test_write_summary_writes_the_file_that_hepscore_looks_for(tmp_path: Path) -> None:
    path = write_summary([result()], tmp_path, Request(extra_arguments="--n-gpus 1"))
    assert path == summary_path("mlpf", tmp_path) == tmp_path / "mlpf_summary.json"
    assert json.loads(path.read_text(encoding="utf-8")) == summary(
        result(), request=Request(extra_arguments="--n-gpus 1")
    )
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"status": "failed", "reason": "loss is NaN in epoch 2"},
            "no score: expected a run with status ok, got failed: loss is NaN in epoch 2",
        ),
        (
            {"status": "interrupted", "reason": "SIGTERM"},
            "no score: expected a run with status ok, got interrupted: SIGTERM",
        ),
        (
            {"epochs": (epoch(0, 100, warmup=True),)},
            "no score: expected a timed epoch, got 1 warm-up epochs",
        ),
        (
            {"quality": {"accuracy": math.nan, "auc": 0.875}},
            "summary: report.wl-stats.accuracy.avg: expected a finite number, got nan",
        ),
    ],
)
def test_a_run_without_a_score_leaves_no_file(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_summary([result(), result(**changes)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_lacks_an_epoch_has_no_score() -> None:
    whole = result()
    lacking = dataclasses.replace(whole, epochs=whole.epochs[:-1])
    with pytest.raises(ValueError, match="expected the 4 epochs that were asked for, got 3"):
        validate_summary(summary(lacking), lacking)


def test_scores_are_those_of_the_run_by_name() -> None:
    """A summary cannot lack a score of its run, or have one more."""
    for change in (
        lambda scores: scores.pop("infer"),
        lambda scores: scores.update(epoch_time=10.0),
    ):
        content = copy.deepcopy(summary(result()))
        change(content["report"]["wl-scores"])
        with pytest.raises(
            ValueError, match=r"report\.wl-scores: expected the scores train, infer, got train"
        ):
            validate_summary(content, result())


def test_a_gpu_run_has_one_more_score_for_configurations_that_read_one() -> None:
    """The root of 20 times 50; of two copies, of 40 times 100, and its range goes from that of 10 and 40."""
    root = math.sqrt(20 * 50)
    content = summary(result(), request=Request(gpu_score=True))
    validate_summary(content, result())
    assert content["report"]["wl-scores"]["mlpf-gpu"] == pytest.approx(root)
    assert content["report"]["wl-stats"]["mlpf-gpu"]["min"] == pytest.approx(math.sqrt(10 * 40))
    two = summary(result(), result(), request=Request(gpu_score=True))
    validate_summary(two, result(), result())
    assert two["report"]["wl-scores"]["mlpf-gpu"] == pytest.approx(2 * root)
    content["report"]["wl-scores"]["mlpf-gpu"] *= 1.0001
    content["report"]["wl-stats"]["mlpf-gpu"]["median"] *= 1.0001
    with pytest.raises(ValueError, match=r"report\.wl-scores\.mlpf-gpu: expected 31\.62"):
        validate_summary(content, result())


def test_a_better_verdict_than_the_record_gives_is_refused() -> None:
    """The epochs of this run differ by more than its bound."""
    run = dataclasses.replace(
        result(),
        scores=account(result()).scores,
        verdict={"word": "quiet", "reasons": [], "remarks": []},
    )
    with pytest.raises(ValueError, match="expected the verdict of the run's own record"):
        validate_summary(summary(run), run)


def test_a_result_of_this_version_cannot_pass_for_an_older_one_without_scores() -> None:
    """It says how long each pass took, and when."""
    batch = {**result().inference["batch"], "events_per_pass": 100, "pass_seconds": [1.0, 1.0, 1.0]}
    inference = {**result().inference, "batch": {**batch, "started_at": 1e9, "ended_at": 1e9 + 3}}
    run = result(inference=inference)
    with pytest.raises(ValueError, match="expected the scores of the run's own record"):
        validate_summary(summary(run), run)


def test_another_kind_of_workload_needs_no_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter knows no score and no epoch: the kind says what its scores are."""
    rates = Spread.of([10.0, 30.0, 20.0])
    report = Account(scores={"service": Score(rates, "patches/s")}, work={"clients": 4}, events=100)
    monkeypatch.setitem(_ACCOUNTS, "inference service", lambda _: report)
    config = {key: result().config[key] for key in ("preset", "precision", "xla", "deterministic", "threads")}
    run = dataclasses.replace(result(), kind="inference service", config=config, epochs=(), inference={})
    content = summary(run)
    validate_summary(content, run)
    assert content["report"]["wl-scores"] == {"service": 20.0}
    assert content["run_info"]["clients"] == 4
    assert "patches/s" in content["app"]["description"]


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match="expected a kind of workload among training, numerical kernel, inference service, got 'dance'",
    ):
        summary(dataclasses.replace(result(), kind="dance"))


def test_one_changed_digit_is_refused() -> None:
    """In the summary, in the scores that the result declares, and in what they are made of."""
    run = dataclasses.replace(result(), scores=account(result()).scores, verdict=verdict(result()).to_dict())
    content = summary(run)
    validate_summary(content, run)
    train = run.scores["train"]
    better = dataclasses.replace(train, spread=dataclasses.replace(train.spread, median=20.000001))
    with pytest.raises(ValueError, match="expected the scores of the run's own record"):
        validate_summary(content, dataclasses.replace(run, scores={**run.scores, "train": better}))
    faster = dataclasses.replace(run.epochs[2], seconds=9.99999)
    with pytest.raises(ValueError, match="expected the scores of the run's own record"):
        validate_summary(content, dataclasses.replace(run, epochs=(*run.epochs[:2], faster, run.epochs[3])))
    content["report"]["wl-scores"]["train"] = content["report"]["wl-stats"]["train"]["median"] = 20.000001
    with pytest.raises(ValueError, match=r"report\.wl-scores\.train: expected 20\.0 from the run's record"):
        validate_summary(content, run)


def refusal_of_copies(change: Callable[[Content], object]) -> str:
    """The message for a good summary of two copies after ``change``."""
    content = summary(result(), result())
    validate_summary(content, result(), result())
    change(content)
    with pytest.raises(ValueError, match=r"^summary: ") as caught:
        validate_summary(content, result(), result())
    return str(caught.value).removeprefix("summary: ")


def _inflate(content: Content) -> None:
    content["report"]["wl-scores"]["train"] = 80.0
    content["report"]["wl-stats"]["train"]["avg"] = 40.0


COPIES: dict[str, tuple[Callable[[Content], object], str]] = {
    "the score of one": (
        score(20.0),
        "report.wl-scores.train: expected 2 times the average in wl-stats, 40.0, got 20.0",
    ),
    "statistics over epochs": (
        lambda c: c["report"]["wl-stats"]["infer"].update(count=3),
        "report.wl-stats.infer.count: expected 2 copies, got 3",
    ),
    "a third": (
        lambda c: c["run_info"].update(copies=3),
        "report: expected the 3 copies of run_info, got 2",
    ),
    "one": (
        lambda c: c["report"]["copies"].pop(),
        "report.copies: expected minItems 2, got ",
    ),
    "one that says nothing": (
        lambda c: c["report"]["copies"][1].pop("telemetry"),
        "report.copies.1: expected the key 'telemetry', got ",
    ),
    "more than they made": (
        _inflate,
        "report.wl-scores.train: expected 40.0 from the run's record, got 80.0",
    ),
}


@pytest.mark.parametrize(("change", "message"), COPIES.values(), ids=COPIES)
def test_a_summary_of_copies_that_does_not_add_up_is_refused(
    change: Callable[[Content], object], message: str
) -> None:
    assert refusal_of_copies(change).startswith(message)


def test_a_copy_that_is_left_out_is_noticed() -> None:
    with pytest.raises(ValueError, match=r"^summary: run_info\.copies: expected the 2 that ran, got 1$"):
        validate_summary(summary(result()), result(), result())
