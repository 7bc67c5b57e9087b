"""What every registered workload keeps to, so that the runner need not know it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import subprocess
import sys
import typing

import pytest

from benchmarks import workload
from benchmarks.config import (
    PRECISIONS,
    SMALL,
    KernelConfig,
    RunConfig,
    ServingConfig,
    TrainingConfig,
    step_differences,
)
from benchmarks.resolution import resolve
from benchmarks.verdict import ENOUGH_REPETITIONS
from benchmarks.workload import (
    REGISTRY,
    Events,
    Kernel,
    Metrics,
    Service,
    ServiceEvents,
    Workload,
    describe,
    presets,
)

PRESETS = [(name, preset) for name in REGISTRY for preset in presets(name)]
every_workload = pytest.mark.parametrize("name", REGISTRY)
TRAININGS = [name for name in REGISTRY if isinstance(presets(name)["smoke"], TrainingConfig)]
KERNELS = [name for name in REGISTRY if isinstance(presets(name)["smoke"], KernelConfig)]
SERVICES = [name for name in REGISTRY if isinstance(presets(name)["smoke"], ServingConfig)]
every_training = pytest.mark.parametrize("name", TRAININGS)
every_model = pytest.mark.parametrize("name", [*TRAININGS, *SERVICES])
every_service = pytest.mark.parametrize("name", SERVICES)
every_kernel = pytest.mark.parametrize("name", KERNELS)
every_preset = pytest.mark.parametrize(("name", "preset"), PRESETS)


@every_workload
def test_its_first_line_says_what_it_is(name: str) -> None:
    line = describe(name)
    assert len(line) > 20
    assert line.endswith(".")


@every_workload
def test_it_has_the_presets_that_people_ask_for(name: str) -> None:
    assert {"smoke", "hepscore", f"hepscore{SMALL}"} <= presets(name).keys()
    assert len({type(preset) for preset in presets(name).values()}) == 1


@every_workload
def test_its_configuration_adds_to_the_common_one(name: str) -> None:
    config = presets(name)["smoke"]
    assert isinstance(config, RunConfig)
    assert type(config).workload == name
    assert type(config).__dataclass_params__.frozen
    common = [field.name for field in dataclasses.fields(RunConfig)]
    assert [field.name for field in dataclasses.fields(config)][: len(common)] == common


@every_workload
def test_each_key_says_what_it_means_and_what_it_takes(name: str) -> None:
    for field in dataclasses.fields(presets(name)["smoke"]):
        assert len(field.metadata["text"]) >= 4, field.name
        kind = type(field.default)
        assert kind in (int, float, bool, str), field.name
        if kind in (int, float):
            assert field.metadata["low"] <= field.default <= field.metadata["high"], field.name


@every_preset
def test_a_preset_is_a_configuration_that_can_run(name: str, preset: str) -> None:
    """Its values are in range, too: each is laid over the preset once more."""
    config = presets(name)[preset]
    config.check()
    values = [f"{field.name}={getattr(config, field.name)}" for field in dataclasses.fields(config)]
    assert resolve(preset, config, assignments=values).config == config


@every_workload
def test_a_small_preset_takes_the_very_step_of_the_whole_one(name: str) -> None:
    """So that a run of it gives the throughput of the whole one, in less time."""
    all_presets = presets(name)
    small_presets = [preset for preset in all_presets if preset.endswith(SMALL)]
    assert small_presets
    for preset in small_presets:
        small, whole = all_presets[preset], all_presets[preset.removesuffix(SMALL)]
        assert step_differences(small, whole) == []
        if isinstance(small, TrainingConfig) and isinstance(whole, TrainingConfig):
            assert small.epochs * small.train_events < whole.epochs * whole.train_events


@every_preset
def test_a_training_has_enough_steps_and_repetitions_to_judge_by(name: str, preset: str) -> None:
    config = presets(name)[preset]
    if isinstance(config, TrainingConfig):
        config.for_ranks(1)
        assert config.epochs - config.warmup_epochs >= ENOUGH_REPETITIONS


@every_workload
def test_eight_ranks_have_enough_steps_of_the_preset_to_publish(name: str) -> None:
    config = presets(name)["hepscore"]
    if isinstance(config, TrainingConfig):
        assert config.min_steps == 20
        assert config.quiet_epoch_seconds == 10.0
        config.for_ranks(8)


@every_preset
def test_a_configuration_is_json(name: str, preset: str) -> None:
    record = resolve(preset, presets(name)[preset]).to_dict()
    assert json.loads(json.dumps(record)) == record
    assert (record["workload"], record["preset"]) == (name, preset)


@every_preset
def test_the_memory_it_predicts_grows_with_its_size(name: str, preset: str) -> None:
    config = presets(name)[preset]
    size_key = "series_events" if name in KERNELS else "batch_size"
    sizes = (10_000, 20_000, 40_000, 80_000) if name in SERVICES else (1, 2, 4, 8)
    bytes_by_batch = [
        dataclasses.replace(config, **{size_key: size}).expected_memory_bytes() for size in sizes
    ]
    assert bytes_by_batch[0] > 1e8  # a framework alone takes more
    assert bytes_by_batch == sorted(set(bytes_by_batch))
    assert isinstance(bytes_by_batch[0], int)


@every_training
def test_wider_numbers_take_no_less_memory(name: str) -> None:
    config = presets(name)["hepscore"]
    bytes_of = {
        precision: dataclasses.replace(config, precision=precision).expected_memory_bytes()
        for precision in PRECISIONS
    }
    assert bytes_of["float64"] > bytes_of["float32"] >= bytes_of["mixed_bfloat16"]
    assert bytes_of["mixed_float16"] == bytes_of["mixed_bfloat16"]


@every_model
def test_the_floor_lets_a_perfect_model_pass_and_says_what_is_wrong_with_a_poor_one(name: str) -> None:
    smoke = presets(name)["smoke"]
    keys = [field.name for field in dataclasses.fields(smoke)]
    floors = [key for key in keys if key.startswith("min_") and key != "min_steps"]
    assert floors
    perfect = {"loss": 0.0, **{floor.removeprefix("min_"): 1.0 for floor in floors}}
    for floor in floors:
        figure = floor.removeprefix("min_")
        strict = dataclasses.replace(smoke, **{floor: 0.5})
        assert strict.quality_failure(perfect) == ""
        for poor in (0.25, float("nan")):
            reason = strict.quality_failure({**perfect, figure: poor})
            assert reason.startswith(f"{figure}: expected at least 0.5, got ")
    if isinstance(smoke, TrainingConfig):
        strict = dataclasses.replace(smoke, max_loss=0.5)
        assert strict.quality_failure({**perfect, "loss": 0.75}) == "loss: expected at most 0.5, got 0.75"


@every_kernel
def test_the_floor_of_a_kernel_is_on_its_deviation(name: str) -> None:
    config = dataclasses.replace(presets(name)["smoke"], max_deviation=0.5)
    assert config.quality_failure({"deviation": 0.5}) == ""
    for poor in (0.75, float("nan")):
        assert config.quality_failure({"deviation": poor}).startswith("deviation: expected at most 0.5, got ")


@every_kernel
def test_a_kernel_has_the_members_of_its_protocol(name: str) -> None:
    loaded = workload.load(name)
    for member in ("prepare", "implementations", "build", "quality"):
        expected = list(inspect.signature(getattr(Kernel, member)).parameters)[1:]
        assert list(inspect.signature(getattr(loaded, member)).parameters) == expected, member


@every_kernel
def test_a_kernel_offers_the_implementations_of_its_key(name: str) -> None:
    (field,) = (item for item in dataclasses.fields(presets(name)["smoke"]) if item.name == "implementation")
    assert field.metadata["choices"] == ("auto", *workload.load(name).implementations())
    for preset in presets(name).values():
        assert preset.with_auto_resolved("cpu", None).implementation in workload.load(name).implementations()


@every_service
def test_a_service_has_the_members_of_its_protocol(name: str) -> None:
    pytest.importorskip("keras", reason="models are written in Keras")
    loaded = workload.load(name)
    for member in ("prepare", "build", "outputs", "metrics"):
        expected = list(inspect.signature(getattr(Service, member)).parameters)[1:]
        assert list(inspect.signature(getattr(loaded, member)).parameters) == expected, member
    events = typing.get_type_hints(loaded.prepare)["return"]
    for member in ("batches", "raw"):
        expected = list(inspect.signature(getattr(ServiceEvents, member)).parameters)
        assert list(inspect.signature(getattr(events, member)).parameters) == expected, member


@every_service
def test_what_a_client_does_to_patches_needs_no_framework(name: str) -> None:
    """Clients are processes of their own that import the function, and no model."""
    pytest.importorskip("keras", reason="models are written in Keras")
    function = workload.load(name).preprocess
    assert getattr(importlib.import_module(function.__module__), function.__name__) is function
    program = (
        f"import sys, {function.__module__}; sys.exit(bool({{'keras', 'tensorflow'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@every_workload
def test_it_can_make_its_events(name: str) -> None:
    make = importlib.import_module(f"{REGISTRY[name]}.events").make
    assert list(inspect.signature(make).parameters) == ["config", "folder", "note", "intermediate"]


@every_training
def test_the_workload_has_the_members_of_the_protocol(name: str) -> None:
    pytest.importorskip("keras", reason="models are written in Keras")
    loaded = workload.load(name)
    for member in ("prepare", "build", "metrics"):
        expected = list(inspect.signature(getattr(Workload, member)).parameters)[1:]
        assert list(inspect.signature(getattr(loaded, member)).parameters) == expected, member
    events = typing.get_type_hints(loaded.prepare)["return"]
    assert inspect.signature(events.batches).parameters == inspect.signature(Events.batches).parameters
    metrics = loaded.metrics()
    for member in ("update", "merge", "result", "breakdown"):
        expected = list(inspect.signature(getattr(Metrics, member)).parameters)[1:]
        assert list(inspect.signature(getattr(metrics, member)).parameters) == expected, member
    assert loaded.metrics() is not metrics
