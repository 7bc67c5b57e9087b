"""TensorFlow's side of a run: compiled steps, draining, device memory, determinism."""

from __future__ import annotations

import functools
import operator
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow would look for another Keras.
os.environ.pop("TF_USE_LEGACY_KERAS", None)

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import backprop

from benchmarks import operations
from benchmarks.backends import optimizers
from benchmarks.backends.devices import gpu_memory_bytes
from benchmarks.backends.flags import try_flags
from benchmarks.config import RunConfig
from benchmarks.ranks.place import ALONE, Place
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.workload import Tensor, Training

F = TypeVar("F", bound=Callable[..., Any])
OUT_OF_MEMORY: tuple[type[BaseException], ...] = (tf.errors.ResourceExhaustedError, MemoryError)


def configure(config: RunConfig, place: Place = ALONE) -> None:
    """Sets threads, determinism, precision, seeds and GPU, before anything touches the device.

    Raises:
        UsageError: XLA is on, and does not know a flag of ``XLA_FLAGS``.
    """
    if config.xla == "on":
        _check_flags("XLA_FLAGS", xla=True)
    tf.config.threading.set_intra_op_parallelism_threads(config.threads)
    tf.config.threading.set_inter_op_parallelism_threads(config.threads)
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:  # a process trains on one, and a context on another would take its memory
        gpus = [gpus[place.local_rank % len(gpus)]]
        tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_tensor_float_32_execution(config.tf32 == "on")
    keras.utils.set_random_seed(config.seed)
    if config.deterministic == "on":
        tf.config.experimental.enable_op_determinism()
        _fix_order_of_sums()
    keras.config.set_floatx("float64" if config.precision == "float64" else "float32")
    keras.config.set_dtype_policy(config.precision)


def _check_flags(variable: str, xla: bool) -> None:
    """Refuses flags of a variable that would abort the process.

    Args:
        variable: Name of the variable.
        xla: Whether the process compiles with XLA.

    Raises:
        UsageError: There is such a flag.
    """
    try_flags(
        variable,
        "TensorFlow",
        "import tensorflow as tf; tf.config.list_physical_devices(); "
        f"tf.function(lambda: tf.zeros(1), jit_compile={xla})()",
    )


def _fix_order_of_sums() -> None:
    """Makes TensorFlow take every sum of more than two arrays in pairs, one after the other.

    TensorFlow's ``AddN`` adds into the buffer of the first input that nobody else needs any more, and begins
    the sum with that input. Which one it is depends on the kernels that have run by then, and so on their
    measured times, even on one thread. With two inputs, the order does not matter. ``AddN`` of more inputs
    has two origins: gradient tapes, where an array is used several times, and the arithmetic stage of the
    graph optimiser, which merges sums of sums. Op determinism changes neither, and TensorFlow has no switch
    for a part of that stage.
    """
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    pywrap_tfe.TFE_Py_RegisterVSpace(backprop._default_vspace._replace(aggregate_fn=_sum_in_pairs))


def _sum_in_pairs(gradients: Sequence[Tensor]) -> Tensor:
    """Adds the gradients that a tape has for one array, in the order of the tape."""
    if all(isinstance(gradient, tf.Tensor) for gradient in gradients):
        return functools.reduce(operator.add, gradients)
    # Gradients of a table's rows are joined and not added.
    return backprop._aggregate_grads(gradients)


def device() -> str:
    """Returns where the model runs, ``gpu`` or ``cpu``."""
    return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"


def versions() -> Mapping[str, str]:
    """Returns the versions of TensorFlow, Keras and, in a CUDA build, the CUDA and cuDNN of the build.

    ``tensor_float_32`` says whether float32 products on a GPU may round their inputs to 10 bits, which
    TensorFlow allows by default where the hardware can do it.
    """
    build = tf.sysconfig.get_build_info()
    result = {"tensorflow": tf.__version__, "keras": keras.__version__}
    if device() == "gpu":
        allowed = tf.config.experimental.tensor_float_32_execution_enabled()
        result["tensor_float_32"] = "allowed" if allowed else "off"
    for name in ("cuda_version", "cudnn_version"):
        if build.get(name):
            result[name] = str(build[name])
    return result


def put(arrays: Any) -> Tensor:
    """Copies a numpy array, or a list, tuple or dictionary of such, to the device."""
    return tf.nest.map_structure(tf.convert_to_tensor, arrays)


def fetch(tensor: Tensor) -> np.ndarray:
    """Returns a tensor, or a variable of Keras, as a numpy array, once it is computed."""
    return np.asarray(tensor)


def schedule(training: Training, factor: float, warmup_steps: int) -> None:
    """Scales the learning rate, and lets it rise in the first steps. Comes before ``train_step``."""
    optimizers.scale_learning_rate(training.optimizer, factor, warmup_steps)


def train_step(
    training: Training, xla: bool, world: World = LONE_WORLD, compression: str = "none"
) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns a compiled function that updates the weights and returns the loss, see ``Backend``."""
    model, optimizer = training.model, optimizers.build_optimizer(training)
    variables = [variable.value for variable in model.trainable_variables]

    def gradients(inputs: Tensor, targets: Tensor, shares: Tensor) -> tuple[Tensor, list[Tensor]]:
        with tf.GradientTape() as tape:
            terms = training.loss(model(inputs, training=True), targets, inputs)
            loss = tf.reduce_sum(terms if shares is None else terms * tf.cast(shares, terms.dtype))
            scaled = optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, variables)

    def update(computed: Sequence[Tensor]) -> None:
        optimizer.apply(computed, model.trainable_variables)

    # One rank has one compiled function for the whole step.
    if world.size == 1:

        def step(inputs: Tensor, targets: Tensor) -> Tensor:
            loss, computed = gradients(inputs, targets, None)
            update(computed)
            return loss

        return compile_function(step, xla)

    # Several ranks start from the weights of rank 0, and exchange gradients outside what XLA compiles,
    # which knows nothing of other ranks.
    world.broadcast([variable.value for variable in model.variables])
    gradients, update = compile_function(gradients, xla), compile_function(update, xla)

    def step_of_ranks(inputs: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
        loss, computed = gradients(inputs, *targets)
        sums = world.all_reduce(computed, compression)

        # Horovod joins messages that are ready at once, and then sums three ranks or more in another order.
        # So the loss waits for the gradients.
        with tf.control_dependencies(list(sums)):
            loss = tf.identity(loss)
        total = world.all_reduce([loss], name="loss")[0]
        update(sums)
        return total

    return compile_function(step_of_ranks, xla=False)


def exchange(world: World, compression: str) -> Callable[[Tensor], Tensor]:
    """Returns a compiled function that sums arrays over the ranks as a step does its gradients."""
    return compile_function(lambda arrays: world.all_reduce(arrays, compression), xla=False)


def predict_step(model: Any, xla: bool) -> Callable[[Tensor], Tensor]:
    """Returns a compiled function from inputs to predictions."""
    return compile_function(lambda inputs: model(inputs, training=False), xla)


def compile_function(function: F, xla: bool) -> F:
    """Returns a function of tensors, compiled."""
    compiled: F = tf.function(function, jit_compile=xla)
    return compiled


def value_and_gradient(function: Callable[..., Tensor], xla: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    """Returns a compiled function that gives a scalar and its gradient by the first argument."""

    def both(variable: Tensor, *constants: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(variable)
            value = function(variable, *constants)
        return value, tape.gradient(value, variable)

    return compile_function(both, xla)


def drain() -> None:
    """Returns when everything that was handed to the device is done."""
    tf.test.experimental.sync_devices()


def device_memory_peak_bytes() -> int | None:
    """Returns the peak memory of the device since the start, in bytes. None if it is the host's."""
    if device() == "cpu":
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def device_memory_total_bytes() -> int | None:
    """Returns the memory of the device, in bytes. None if it is the host's or the driver does not say."""
    if device() == "cpu":
        return None
    return gpu_memory_bytes()


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function with its own gradient, see ``benchmarks.operations``."""
    result: Callable[..., Any] = tf.custom_gradient(function)
    return result


def remat(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function, whose intermediate results the backward pass computes again."""
    result: Callable[..., Any] = tf.recompute_grad(function)
    return result


def sine_and_cosine(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Returns sine and cosine, see ``benchmarks.operations``."""
    return tf.sin(tensor), tf.cos(tensor)


def reduce_segments(values: Tensor, ids: Tensor, count: int, how: str, fixed: bool) -> Tensor:
    """Returns the sum or the largest of the rows of each segment, see ``benchmarks.operations``."""
    if fixed:
        unsorted = {"sum": tf.math.unsorted_segment_sum, "max": tf.math.unsorted_segment_max}
        return unsorted[how](values, ids, count)
    return {"sum": tf.math.segment_sum, "max": tf.math.segment_max}[how](values, ids)


operations.install(sys.modules[__name__])
# TensorFlow reads this variable when it is first asked for devices.
_check_flags("TF_XLA_FLAGS", xla=False)
