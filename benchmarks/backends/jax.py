"""JAX's side of a run: compiled steps, draining, device memory, determinism."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

# JAX otherwise takes three quarters of a GPU at once and never more.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95")

import jax
import jax.extend
import keras
import numpy as np

from benchmarks import operations
from benchmarks.backends import optimizers
from benchmarks.backends.devices import gpu_memory_bytes
from benchmarks.backends.flags import try_flags
from benchmarks.config import RunConfig
from benchmarks.machine.provenance import package_version
from benchmarks.ranks.place import ALONE, Place
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.workload import Tensor, Training

OUT_OF_MEMORY: tuple[type[BaseException], ...] = (MemoryError,)

# Options of the compiler, and results that may not be there yet.
_compiler_options: dict[str, bool] = {}
_under_way: list[Tensor] = []


def configure(config: RunConfig, place: Place = ALONE) -> None:
    """Sets threads, determinism, precision, seeds and GPU, before anything touches the device."""
    if device() == "cpu":
        # XLA starts its threads with the client, and asks only this variable for their number.
        os.environ["NPROC"] = str(config.threads)
        jax.extend.backend.clear_backends()
    devices = jax.local_devices()
    jax.config.update("jax_default_device", devices[place.local_rank % len(devices)])
    precision = "tensorfloat32" if config.tf32 == "on" else "highest"
    jax.config.update("jax_default_matmul_precision", precision)
    keras.utils.set_random_seed(config.seed)
    _compiler_options.clear()
    if config.deterministic == "on" and device() == "gpu":
        _compiler_options["xla_gpu_deterministic_ops"] = True
    # JAX otherwise turns float64 and complex128 into numbers of half the size, without a word.
    jax.config.update("jax_enable_x64", config.precision == "float64")
    keras.config.set_dtype_policy(config.precision)


def device() -> str:
    """Returns where the model runs, ``gpu`` or ``cpu``."""
    return "cpu" if jax.default_backend() == "cpu" else "gpu"


def versions() -> Mapping[str, str]:
    """Returns the versions of JAX, Keras and the plugin for a GPU, if there is one."""
    names = ("jax", "jaxlib", "keras", "jax-cuda12-plugin", "jax-cuda13-plugin", "jax-rocm7-plugin")
    return {name: version for name in names if (version := package_version(name)) is not None}


def put(arrays: Any) -> Tensor:
    """Copies a numpy array, or a list, tuple or dictionary of such, to the device."""
    return jax.tree.map(jax.numpy.asarray, arrays)


def fetch(tensor: Tensor) -> np.ndarray:
    """Returns a tensor, or a variable of Keras, as a numpy array, once it is computed."""
    return np.asarray(tensor)


def schedule(training: Training, factor: float, warmup_steps: int) -> None:
    """Scales the learning rate, and lets it rise in the first steps. Comes before ``train_step``."""
    optimizers.scale_learning_rate(training.optimizer, factor, warmup_steps)


def train_step(
    training: Training,
    xla: bool,  # noqa: ARG001 (restricted to True)
    world: World = LONE_WORLD,  # noqa: ARG001 (restricted to one rank)
    compression: str = "none",  # noqa: ARG001 (of several ranks)
) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns a compiled function that updates the weights and returns the loss, see ``Backend``."""
    model, optimizer = training.model, optimizers.build_optimizer(training)
    trained, state = model.trainable_variables, optimizer.variables
    fixed = model.non_trainable_variables

    def scaled_loss(
        weights: list[Tensor], constants: list[Tensor], states: list[Tensor], inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        predictions, _ = model.stateless_call(weights, constants, inputs, training=True)
        loss = jax.numpy.sum(training.loss(predictions, targets, inputs))
        with keras.StatelessScope(state_mapping=list(zip(state, states, strict=True))):
            return optimizer.scale_loss(loss), loss

    def compute(
        weights: list[Tensor], states: list[Tensor], constants: list[Tensor], inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        gradient = jax.grad(scaled_loss, has_aux=True)
        gradients, loss = gradient(weights, constants, states, inputs, targets)
        return loss, *optimizer.stateless_apply(states, gradients, weights)

    # The new weights take the place of the old ones, and need no memory of their own.
    compiled = jax.jit(compute, donate_argnums=(0, 1), compiler_options=_compiler_options)

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        arguments = ([variable.value for variable in variables] for variables in (trained, state, fixed))
        loss, weights, states = compiled(*arguments, inputs, targets)
        for variable, value in zip((*trained, *state), (*weights, *states), strict=True):
            variable.assign(value)
        return _remember(loss)

    return step


def exchange(world: World, compression: str) -> Callable[[Tensor], Tensor]:
    """Returns a function that sums arrays over the ranks, of which there is one."""
    return lambda arrays: world.all_reduce(arrays, compression)


def predict_step(model: Any, xla: bool) -> Callable[[Tensor], Tensor]:  # noqa: ARG001 (restricted to True)
    """Returns a compiled function from inputs to predictions."""

    def compute(weights: list[Tensor], constants: list[Tensor], inputs: Tensor) -> Tensor:
        return model.stateless_call(weights, constants, inputs, training=False)[0]

    compiled = jax.jit(compute, compiler_options=_compiler_options)

    def predict(inputs: Tensor) -> Tensor:
        variables = model.trainable_variables, model.non_trainable_variables
        return _remember(compiled(*([variable.value for variable in part] for part in variables), inputs))

    return predict


def compile_function(
    function: Callable[..., Tensor],
    xla: bool,  # noqa: ARG001 (JAX has no other compiler)
) -> Callable[..., Tensor]:
    """Returns a function of tensors, compiled."""
    compiled = jax.jit(function, compiler_options=_compiler_options)
    return lambda *tensors: _remember(compiled(*tensors))


def value_and_gradient(
    function: Callable[..., Tensor],
    xla: bool,  # noqa: ARG001 (restricted to True)
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Returns a compiled function that gives a scalar and its gradient by the first argument."""
    compiled = jax.jit(jax.value_and_grad(function), compiler_options=_compiler_options)

    def both(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = compiled(*tensors)
        return value, _remember(gradient)

    return both


def _remember(result: Tensor) -> Tensor:
    """Notes a result for ``drain``, because JAX has no barrier, and forgets those that are computed."""
    _under_way[:] = [*(other for other in _under_way if not other.is_ready()), *jax.tree.leaves(result)]
    return result


def drain() -> None:
    """Returns when everything that was handed to the device is done."""
    jax.block_until_ready(_under_way)
    _under_way.clear()


def device_memory_peak_bytes() -> int | None:
    """Returns the peak memory of the device since the start, in bytes. None if it is the host's."""
    if device() == "cpu":
        return None
    return int(jax.config.jax_default_device.memory_stats()["peak_bytes_in_use"])


def device_memory_total_bytes() -> int | None:
    """Returns the memory of the device, in bytes. None if it is the host's or the driver does not say."""
    return None if device() == "cpu" else gpu_memory_bytes()


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function with its own gradient, see ``benchmarks.operations``."""

    def with_one_upstream(*tensors: Tensor) -> tuple[Any, Callable[[Any], Any]]:
        # JAX hands over the gradients of several outputs in one tuple.
        outputs, gradient = function(*tensors)
        if isinstance(outputs, tuple):
            return outputs, lambda upstream: gradient(*upstream)
        return outputs, gradient

    result: Callable[..., Any] = jax.custom_gradient(with_one_upstream)
    return result


def remat(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function, whose intermediate results the backward pass computes again."""
    # JAX remembers what it traced of a function, and with it the weights of that time. It gets a new one.
    result: Callable[..., Any] = jax.checkpoint(lambda *tensors: function(*tensors))
    return result


def sine_and_cosine(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Returns sine and cosine, see ``benchmarks.operations``."""
    return jax.numpy.sin(tensor), jax.numpy.cos(tensor)


def reduce_segments(
    values: Tensor,
    ids: Tensor,
    count: int,
    how: str,
    fixed: bool,  # noqa: ARG001 (JAX always compiles)
) -> Tensor:
    """Returns the sum or the largest of the rows of each segment, see ``benchmarks.operations``."""
    reduce = {"sum": jax.ops.segment_sum, "max": jax.ops.segment_max}[how]
    return reduce(values, ids, count, indices_are_sorted=True)


operations.install(sys.modules[__name__])
# XLA reads this variable when it first compiles.
try_flags("XLA_FLAGS", "JAX", "import jax; jax.jit(lambda: jax.numpy.zeros(1))()")
