"""A model of Keras behind the real Triton: the exported repository answers as the model does here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.serving.connection import Connection
from benchmarks.serving.environment import missing_triton
from benchmarks.serving.repository import Batching, ServedModel, model_source, write_repository
from benchmarks.serving.server import triton_server, weights_failure
from benchmarks.training.run import weights_sha256
from tests.command import hepbench, refused

MISSING = missing_triton()


def two_outputs(policy: str = "float32") -> Any:
    """A small network with what the served one has: a convolution, dense layers, dropout and two outputs."""
    keras = pytest.importorskip("keras", reason="models are written in Keras")
    keras.utils.set_random_seed(1)
    layers = keras.layers
    patches = keras.Input((6, 6, 1))
    hidden = layers.Conv2D(4, 3, activation="relu", dtype=policy)(patches)
    hidden = layers.Dropout(0.5)(layers.Flatten()(hidden))
    classes = layers.Dense(3, activation="softmax", name="classes", dtype=policy)(hidden)
    michel = layers.Dense(1, activation="sigmoid", name="michel", dtype=policy)(hidden)
    return keras.Model(patches, [classes, michel])


def test_the_program_of_a_model_can_be_read_by_itself() -> None:
    assert "benchmarks" not in model_source()
    compile(model_source(), "model.py", "exec")


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"no Triton: {MISSING}")
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_an_exported_model_answers_as_it_does_here(policy: str, tmp_path: Path) -> None:
    model = two_outputs(policy)
    served = ServedModel("small", (6, 6, 1), {"classes": 3, "michel": 1}, weights_sha256(model, np.asarray))
    write_repository(tmp_path / "models", served, Batching(32, (8,), 100), model, threads=1)
    patches = np.random.default_rng(1).random((10, 6, 6, 1), np.float32)
    expected = [np.asarray(values, np.float32) for values in model(patches, training=False)]

    with triton_server(tmp_path / "models", served, 32, tmp_path / "server.log") as server:
        assert weights_failure(server, served, 20.0) == ""
        connection = Connection(server.address)
        answers = connection.infer(served, patches, served.outputs, 20.0)
        connection.close()
    tolerance = 1e-5 if policy == "float32" else 0.02
    for name, values in zip(served.outputs, expected, strict=True):
        np.testing.assert_allclose(answers[name], values, atol=tolerance)


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"no Triton: {MISSING}")
def test_the_command_writes_a_repository_for_a_stock_triton(tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="models are written in Keras")
    settings = ("event_patches=100", "train_patches=64", "train_epochs=1", "batch_size=50", "other_batches=8")
    folder = tmp_path / "models"
    sets = [f"--set={setting}" for setting in settings]
    answer = hepbench("serve", "export", "emtrkmichelid", folder, *sets)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"{folder}\n"

    # The configuration has the hash, and the server answers with that of the weights which it has loaded.
    text = (folder / "emtrkmichelid" / "config.pbtxt").read_text(encoding="utf-8")
    (digest,) = re.findall(r'"weights_sha256" value \{ string_value: "(\w{64})"', text)
    outputs = {
        name: int(size)
        for name, size in re.findall(r'name: "(\w+)" data_type: TYPE_FP32 dims: \[ (\d+)', text)
    }
    served = ServedModel("emtrkmichelid", (48, 48, 1), outputs, digest)
    with triton_server(folder, served, 100, tmp_path / "server.log") as server:
        assert weights_failure(server, served, 20.0) == ""
        connection = Connection(server.address)
        answers = connection.infer(served, np.zeros((3, 48, 48, 1), np.float32), outputs, 20.0)
        connection.close()
    assert sorted(values.shape for values in answers.values()) == [(3, 1), (3, 3)]
    (classes,) = (values for values in answers.values() if values.shape == (3, 3))
    np.testing.assert_allclose(classes.sum(axis=1), 1, atol=1e-5)


def test_only_a_service_is_exported(tmp_path: Path) -> None:
    line = refused(hepbench("serve", "export", "mlpf", tmp_path / "models"), 2)
    assert line.startswith("serve export: expected")
    assert not (tmp_path / "models").exists()
