"""TensorFlow's training step in float16, on a model small enough for a CPU, which has no such products."""

from types import SimpleNamespace

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="models are written in Keras")
pytest.importorskip("tensorflow", reason="this is TensorFlow's backend")

from benchmarks.backends import tensorflow as backend  # noqa: E402
from benchmarks.ranks.place import Place  # noqa: E402
from benchmarks.workload import Training  # noqa: E402


def test_a_process_opens_one_gpu(monkeypatch):
    """The first that it sees, or that of its local rank; the others stay without a context."""
    visible, grown = [], []
    devices = ["gpu 0", "gpu 1", "gpu 2"]
    monkeypatch.setattr(backend.tf.config, "list_physical_devices", lambda _: devices)
    monkeypatch.setattr(backend.tf.config, "set_visible_devices", lambda gpus, _: visible.append(gpus))
    monkeypatch.setattr(backend.tf.config.experimental, "set_memory_growth", lambda gpu, _: grown.append(gpu))
    monkeypatch.setattr(backend.tf.config.threading, "set_intra_op_parallelism_threads", lambda _: None)
    monkeypatch.setattr(backend.tf.config.threading, "set_inter_op_parallelism_threads", lambda _: None)
    config = SimpleNamespace(
        threads=1, seed=1, deterministic="off", precision="float32", xla="off", tf32="off"
    )
    backend.configure(config)
    backend.configure(config, Place(rank=2, size=4, local_rank=2, local_size=4))
    assert visible == [["gpu 0"], ["gpu 2"]]
    assert grown == ["gpu 0", "gpu 2"]


def test_float16_scales_the_loss_for_the_gradient_and_not_for_the_record():
    """One weight w = 0 towards y = 2x at x = 1: a loss of 4, and a step of 0.25 along 2 (y - w x) = 4.

    Scales of 2^15 and 2^14 take the gradient of 4 beyond float16's 65504: two steps are left out.
    """
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
        model.build((None, 1))
        training = Training(
            model=model,
            loss=lambda predictions, targets, _: keras.ops.mean(
                (keras.ops.cast(predictions, "float32") - targets) ** 2
            ),
            optimizer=keras.optimizers.SGD(0.25),
        )
        step = backend.train_step(training, xla=False)
    finally:
        keras.config.set_dtype_policy("float32")
    ones = np.ones((1, 1), np.float32)
    weights = []
    for _ in range(3):
        assert float(step(backend.put(ones), backend.put(2 * ones))) == 4.0
        weights.append(float(np.asarray(model.weights[0])[0, 0]))
    assert weights == [0.0, 0.0, 1.0]
