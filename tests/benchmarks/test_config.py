from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from benchmarks.config import RunConfig, TrainingConfig, step_differences
from benchmarks.errors import UsageError
from benchmarks.resolution import Resolved, choose, resolve
from benchmarks.workloads.mlpf.config import PRESETS, MLPFConfig

BASE = MLPFConfig(epochs=4, batch_size=2, train_events=10, pad_to=256, bin_size=64, min_steps=1)


def layered(*assignments: str, text: str | bytes = "", tmp: Path | None = None, **flags: object) -> Resolved:
    file = None
    if tmp is not None:
        file = tmp / "settings.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return resolve("tiny", BASE, file=file, assignments=assignments, flags=flags)


def refusal(*assignments: str, **rest: object) -> str:
    with pytest.raises(UsageError) as caught:
        layered(*assignments, **rest)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_layers_everything_comes_from_the_preset() -> None:
    resolved = layered()
    assert resolved.config == BASE
    assert set(resolved.origins.values()) == {"preset tiny"}


def test_a_later_layer_wins_and_says_so(tmp_path: Path) -> None:
    """Each key is given by every layer from some layer on."""
    text = "seed: 10\nepochs: 20\nbatch_size: 3\nprecision: float64\n"
    resolved = layered("epochs=21", "batch_size=4", text=text, tmp=tmp_path, batch_size="5", threads=None)
    config, origins = resolved.config, resolved.origins
    assert (config.train_events, origins["train_events"]) == (10, "preset tiny")
    assert (config.seed, origins["seed"]) == (10, str(tmp_path / "settings.yaml"))
    assert (config.epochs, origins["epochs"]) == (21, "--set")
    assert (config.batch_size, origins["batch_size"]) == (5, "--batch-size")
    assert (config.threads, origins["threads"]) == (0, "preset tiny")  # a flag that was not given
    assert config.precision == "float64"


def test_the_last_assignment_wins() -> None:
    assert layered("seed=1", "seed=2").config.seed == 2


def test_the_description_has_a_line_for_each_key_with_value_and_origin() -> None:
    lines = layered("seed=3").describe().splitlines()
    assert lines[0] == "mlpf, preset tiny"
    keys = [line.split(" = ")[0].strip() for line in lines[1:-1]]
    assert keys == [field.name for field in fields(MLPFConfig)]
    assert lines[1 + keys.index("seed")].split(maxsplit=4)[:4] == ["seed", "=", "3", "--set"]
    assert "preset tiny" in lines[1 + keys.index("epochs")]
    assert lines[-1] == f"expected peak memory: {BASE.expected_memory_bytes() / 1e9:.1f} GB"


def test_the_record_has_every_key() -> None:
    record = layered("seed=3").to_dict()
    assert (record["workload"], record["preset"], record["seed"]) == ("mlpf", "tiny", 3)
    assert record["changed"] == ["seed"]
    keys = {
        "workload",
        "kind",
        "preset",
        "changed",
        "resolved",
        *(field.name for field in fields(MLPFConfig)),
    }
    assert record.keys() == keys


def test_an_unknown_key_names_the_nearest_and_its_layer(tmp_path: Path) -> None:
    assert refusal("epoch=3") == "unknown key 'epoch' in --set: did you mean 'epochs'?"
    path = tmp_path / "settings.yaml"
    assert refusal(text="batchsize: 3", tmp=tmp_path) == (
        f"unknown key 'batchsize' in {path}: did you mean 'batch_size'?"
    )
    assert refusal("zzz=3").startswith("unknown key 'zzz' in --set: expected one of: backend, batch_size, ")


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^unknown preset 'smok': did you mean 'smoke'\?$"):
        choose("preset", "smok", PRESETS)
    names = "cpu-check, full, gpu-check, hepscore, hepscore-small, smoke"
    with pytest.raises(UsageError, match=f"^unknown preset '': expected one of: {names}$"):
        choose("preset", "", PRESETS)
    assert choose("preset", "smoke", PRESETS) is PRESETS["smoke"]


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("epochs=0", "a whole number from 2 to 100000, got '0'"),
        ("epochs=-3", "a whole number from 2 to 100000, got '-3'"),
        ("epochs=2.5", "a whole number from 2 to 100000, got '2.5'"),
        ("epochs=many", "a whole number from 2 to 100000, got 'many'"),
        ("epochs=", "a whole number from 2 to 100000, got ''"),
        ("batch_size=0", "a whole number from 1 to 65536, got '0'"),
        ("seed=2147483648", "a whole number from 0 to 2147483647, got '2147483648'"),
        ("learning_rate=0", "a number from 1e-12 to 1.0, got '0'"),
        ("learning_rate=nan", "a number from 1e-12 to 1.0, got 'nan'"),
        ("learning_rate=inf", "a number from 1e-12 to 1.0, got 'inf'"),
        ("precision=float8", "one of float32, float64, mixed_bfloat16, mixed_float16, got 'float8'"),
        ("xla=maybe", "one of auto, on, off, got 'maybe'"),
        ("deterministic=perhaps", "one of auto, on, off, got 'perhaps'"),
    ],
)
def test_a_value_out_of_range_names_the_range(assignment: str, expected: str) -> None:
    key = assignment.partition("=")[0]
    assert refusal(assignment) == f"{key} (from --set): expected {expected}"


def test_the_ends_of_a_range_belong_to_it() -> None:
    config = layered("seed=0", "epochs=2").config
    assert (config.seed, config.epochs) == (0, 2)
    assert layered("seed=2147483647", "learning_rate=1").config.seed == 2**31 - 1


@pytest.mark.parametrize("assignment", ["seed", "=3", " =3", ""])
def test_an_assignment_has_a_key_and_a_value(assignment: str) -> None:
    assert refusal(assignment) == f"--set: expected KEY=VALUE, got {assignment!r}"


def test_an_assignment_may_have_blanks_and_more_equals_signs() -> None:
    config = layered(" seed = 3 ", "data=/a=b").config
    assert (config.seed, config.data) == (3, "/a=b")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((word, "on") for word in ("on", "true", "YES", "1")),
        *((word, "off") for word in ("off", "False", "no", "0")),
        ("auto", "auto"),
    ],
)
def test_words_for_a_switch(word: str, value: str) -> None:
    assert layered(f"deterministic={word}").config.deterministic == value


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("xla: on", "xla", "on"),  # YAML 1.1 reads a truth value
        ("xla: off", "xla", "off"),
        ("deterministic: off", "deterministic", "off"),
        ("deterministic: true", "deterministic", "on"),
        ("deterministic: 0", "deterministic", "off"),
        ("epochs: 4.0", "epochs", 4),
        ("epochs: '4'", "epochs", 4),
        ("pileup: 3", "pileup", 3.0),
        ("learning_rate: 1e-3", "learning_rate", 0.001),  # YAML reads text
        ("data: 2024", "data", "2024"),
    ],
)
def test_values_of_yaml_become_what_the_key_is(line: str, key: str, value: object, tmp_path: Path) -> None:
    read = getattr(layered(text=line, tmp=tmp_path).config, key)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("epochs: 4.5", "4.5"),
        ("epochs: true", "True"),
        ("epochs: .inf", "inf"),
        ("epochs:", "None"),
        ("epochs: [4]", "[4]"),
        ("epochs: 2020-01-02", "datetime.date(2020, 1, 2)"),
        ("data:", "None"),
        ("data: {a: 1}", "{'a': 1}"),
        ("deterministic:", "None"),
        ("learning_rate: 1" + 400 * "0", "1" + 400 * "0"),
    ],
)
def test_values_of_yaml_that_fit_no_key(line: str, got: str, tmp_path: Path) -> None:
    message = refusal(text=line, tmp=tmp_path)
    key = line.partition(":")[0]
    assert message.startswith(f"{key} (from {tmp_path / 'settings.yaml'}): expected ")
    assert message.endswith(f", got {got}")


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "{}"])
def test_an_empty_file_changes_nothing(text: str, tmp_path: Path) -> None:
    assert layered(text=text, tmp=tmp_path).config == BASE


@pytest.mark.parametrize(("text", "kind"), [("- epochs: 3", "list"), ("epochs=3", "str"), ("3", "int")])
def test_a_file_is_a_mapping(text: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    assert refusal(text=text, tmp=tmp_path) == f"--config {path}: expected KEY: VALUE lines, got a {kind}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epochs: [3", "expected ',' or ']'"),
        ("seed: 2020-13-45", "month must be in 1..12"),
        (b"seed: \xff", "can't decode byte 0xff"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("? [a]\n: 1", "unhashable key"),
    ],
)
def test_a_file_that_is_no_yaml_says_what_is_wrong(text: str | bytes, reason: str, tmp_path: Path) -> None:
    message = refusal(text=text, tmp=tmp_path)
    assert message.startswith(f"--config {tmp_path / 'settings.yaml'}: expected a readable YAML file, got: ")
    assert reason in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(UsageError) as caught:
        resolve("tiny", BASE, file=path)
    reason = f"[Errno 2] No such file or directory: '{path}'"
    assert str(caught.value) == f"--config {path}: expected a readable YAML file, got: {reason}"


def test_warm_up_alone_has_no_score() -> None:
    assert refusal("epochs=3", "warmup_epochs=3") == (
        "epochs: expected more than the 3 warm-up epoch(s), got 3; "
        "warm-up is never scored, so ask for at least 4"
    )


def test_a_batch_is_no_larger_than_the_data() -> None:
    assert refusal("batch_size=11") == (
        "batch_size: expected at most the 10 training events, got 11; "
        "lower --batch-size or raise --set train_events"
    )
    assert layered("batch_size=10").config.batch_size == 10


def test_a_global_batch_is_shared_out_among_the_ranks() -> None:
    """Ten events; without a global batch, each rank has the batch of one."""
    ours = layered("global_batch_size=8").config
    assert [(ours.for_ranks(n).batch_size, ours.for_ranks(n).global_batch_size) for n in (1, 2, 4)] == [
        (8, 8),
        (4, 8),
        (2, 8),
    ]
    each = layered().config
    assert [(each.for_ranks(n).batch_size, each.for_ranks(n).global_batch_size) for n in (1, 5)] == [
        (2, 2),
        (2, 10),
    ]
    with pytest.raises(UsageError) as caught:
        ours.for_ranks(3)
    assert str(caught.value) == "global_batch_size: expected a multiple of the 3 ranks, got 8"
    with pytest.raises(UsageError) as caught:
        each.for_ranks(6)
    assert str(caught.value) == (
        "global_batch_size: expected at most the 10 training events, got 12 on 6 rank(s); "
        "lower --batch-size or --global-batch-size, or raise --set train_events"
    )


@pytest.mark.parametrize(
    ("assignments", "ranks", "steps", "batch", "suitable"),
    [
        (["train_events=38"], 1, 19, 2, 40),
        (["train_events=39"], 2, 10, 4, 80),
        (["train_events=100", "global_batch_size=8"], 4, 13, 8, 160),
    ],
)
def test_an_epoch_of_few_steps_is_refused_with_the_number_of_events_that_would_do(
    assignments: list[str], ranks: int, steps: int, batch: int, suitable: int
) -> None:
    """A last step that is short is a step, too."""
    with pytest.raises(UsageError) as caught:
        layered("min_steps=20", *assignments).config.for_ranks(ranks)
    assert str(caught.value) == (
        f"train_events: expected at least 20 steps in an epoch (min_steps), got {steps} of {batch} events "
        f"on {ranks} rank(s); --set train_events={suitable}"
    )
    layered("min_steps=20", *assignments[1:], f"train_events={suitable}").config.for_ranks(ranks)


def test_the_batch_of_a_rank_and_that_of_all_contradict_each_other() -> None:
    line = "batch_size and global_batch_size contradict each other; leave one of them out"
    assert refusal("batch_size=2", global_batch_size="4") == line
    assert layered("batch_size=2", "global_batch_size=0").config.batch_size == 2


@pytest.mark.parametrize(
    ("settings", "ranks", "factor"),
    [
        (["lr_scaling=none"], 4, 1.0),
        (["lr_scaling=linear"], 4, 4.0),
        (["lr_scaling=sqrt"], 4, 2.0),
        (["lr_scaling=linear", "global_batch_size=2"], 2, 1.0),  # the preset's batch, on two ranks
        (["lr_scaling=linear", "global_batch_size=8"], 1, 4.0),
    ],
)
def test_the_learning_rate_follows_the_batch_of_all_ranks_if_asked_to(
    settings: list[str], ranks: int, factor: float
) -> None:
    """It was chosen for the preset's batch of two."""
    assert layered(*settings).config.learning_rate_factor(ranks) == factor


@pytest.mark.parametrize("pad_to", [64, 100, 6464])
def test_padding_is_to_whole_bins(pad_to: int) -> None:
    """One bin, a part of a bin, and one bin more than there are hashes for."""
    assert refusal(f"pad_to={pad_to}") == f"pad_to: expected 2 to 100 times the bin_size of 64, got {pad_to}"
    assert layered("pad_to=6400").config.pad_to == 6400


def test_keys_are_checked_together_only_when_all_layers_are_there() -> None:
    """Either alone would not fit."""
    config = layered("train_events=100", "pad_to=300", "batch_size=50", "bin_size=100").config
    assert (config.batch_size, config.pad_to) == (50, 300)


def test_a_configuration_of_no_workload_foretells_nothing() -> None:
    with pytest.raises(NotImplementedError):
        RunConfig().expected_memory_bytes()
    with pytest.raises(NotImplementedError):
        RunConfig().quality_failure({})


def test_a_training_can_ask_for_a_low_loss_and_asks_for_none_by_itself() -> None:
    strict = TrainingConfig(max_loss=0.5)
    assert strict.quality_failure({"loss": 0.5}) == ""
    assert strict.quality_failure({"loss": 0.50002}) == "loss: expected at most 0.5, got 0.50002"
    assert strict.quality_failure({"loss": float("nan")}) == "loss: expected at most 0.5, got nan"
    assert TrainingConfig().quality_failure({"loss": 1e9}) == ""


def test_a_step_does_not_depend_on_counts_and_limits() -> None:
    """Bounds of a quiet machine are no limits of the training: a preset and its small one share them."""
    counts = {"epochs": 5, "train_events": 9, "validation_events": 3, "pool_events": 7}
    limits = {"min_steps": 2, "min_accuracy": 0.1, "max_loss": 3.0}
    assert step_differences(BASE, replace(BASE, **counts, **limits)) == []
    others = replace(BASE, epochs=5, batch_size=1, quiet_epoch_seconds=0.0, max_spread=0.5)
    assert step_differences(BASE, others) == ["max_spread", "batch_size", "quiet_epoch_seconds"]
