"""TensorFlow's side of a run: compiled steps, draining, device memory, determinism."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from benchmarks import nvml
from benchmarks.config import RunConfig
from benchmarks.workload import Tensor, Training

OUT_OF_MEMORY: tuple[type[BaseException], ...] = (tf.errors.ResourceExhaustedError, MemoryError)


def configure(config: RunConfig) -> None:
    """Threads, determinism, precision and seeds; before anything touches the device."""
    tf.config.threading.set_intra_op_parallelism_threads(config.threads)
    # Kernels that run side by side on a CPU round differently from run to run (seen with oneDNN's
    # matrix products under load): one at a time, each on all threads, is what repeats to the bit.
    side_by_side = 1 if config.deterministic and device() == "cpu" else config.threads
    tf.config.threading.set_inter_op_parallelism_threads(side_by_side)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_floatx("float64" if config.precision == "float64" else "float32")
    keras.config.set_dtype_policy(config.precision)


def device() -> str:
    """``gpu`` or ``cpu``, where the model runs."""
    return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"


def versions() -> Mapping[str, str]:
    """TensorFlow, Keras and, in a CUDA build, the CUDA and cuDNN that it was built for.

    ``tensor_float_32``: whether float32 products on a GPU may round their inputs to 10 bits, which
    TensorFlow allows by default where the hardware can.
    """
    build = tf.sysconfig.get_build_info()
    found = {"tensorflow": tf.__version__, "keras": keras.__version__}
    if device() == "gpu":
        allowed = tf.config.experimental.tensor_float_32_execution_enabled()
        found["tensor_float_32"] = "allowed" if allowed else "off"
    for name in ("cuda_version", "cudnn_version"):
        if build.get(name):
            found[name] = str(build[name])
    return found


def put(arrays: Any) -> Tensor:
    """A numpy array, or a tuple or dictionary of such, to the device."""
    return tf.nest.map_structure(tf.convert_to_tensor, arrays)


def train_step(training: Training, xla: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """A compiled (inputs, targets) -> loss that updates the weights."""
    model, optimizer = training.model, training.optimizer
    if keras.config.dtype_policy().name == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function(jit_compile=xla)  # type: ignore[untyped-decorator]
    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            loss = training.loss(model(inputs, training=True), targets, inputs)
            scaled = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(scaled, variables), model.trainable_variables)
        return loss

    compiled: Callable[[Tensor, Tensor], Tensor] = step
    return compiled


def predict_step(model: Any, xla: bool) -> Callable[[Tensor], Tensor]:
    """A compiled inputs -> predictions."""

    @tf.function(jit_compile=xla)  # type: ignore[untyped-decorator]
    def step(inputs: Tensor) -> Tensor:
        return model(inputs, training=False)

    compiled: Callable[[Tensor], Tensor] = step
    return compiled


def drain() -> None:
    """Returns when everything that was handed to the device is done."""
    tf.test.experimental.sync_devices()


def device_memory_peak_bytes() -> int | None:
    """Peak memory of the device since the start; None where it is the host's."""
    if device() == "cpu":
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def device_memory_total_bytes() -> int | None:
    """Memory of the device; None where it is the host's, or the driver does not say."""
    if device() == "cpu":
        return None
    for handle in nvml.visible_handles().values():
        memory = nvml.read("nvmlDeviceGetMemoryInfo", handle)
        if memory is not None:
            return int(memory.total)
    return None
