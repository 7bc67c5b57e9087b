"""PyTorch's side of a run: eager steps, draining, device memory, determinism, gradients written by hand."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

# PyTorch multiplies reproducibly on a GPU only with a workspace of fixed size, read when CUDA is loaded.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# PyTorch's compiler otherwise finds what an earlier run has compiled.
os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")

import keras
import numpy as np
import torch

from benchmarks import operations
from benchmarks.backends import optimizers
from benchmarks.config import RunConfig
from benchmarks.ranks.place import ALONE, Place
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.workload import Tensor, Training

RECOMPILE_LIMIT = 200  # shapes of arguments that a function is compiled for
OUT_OF_MEMORY: tuple[type[BaseException], ...] = (torch.OutOfMemoryError, MemoryError)


def configure(config: RunConfig, place: Place = ALONE) -> None:
    """Sets threads, determinism, precision, seeds and GPU, before anything touches the device."""
    torch.set_num_threads(config.threads)
    if device() == "gpu":
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    torch.backends.fp32_precision = "tf32" if config.tf32 == "on" else "ieee"
    keras.utils.set_random_seed(config.seed)
    if config.deterministic == "on":
        torch.use_deterministic_algorithms(True)
        # Nothing here reads what was not written, so there is no need to fill it.
        torch.utils.deterministic.fill_uninitialized_memory = False
    keras.config.set_dtype_policy(config.precision)


def device() -> str:
    """Returns where the model runs, ``gpu`` or ``cpu``."""
    return "gpu" if torch.cuda.is_available() else "cpu"


def versions() -> Mapping[str, str]:
    """Returns the versions of PyTorch, Keras and, in a CUDA build, the CUDA and cuDNN of the build."""
    result = {"torch": torch.__version__, "keras": keras.__version__}
    if torch.version.cuda:
        result |= {"cuda_version": torch.version.cuda, "cudnn_version": str(torch.backends.cudnn.version())}
    return result


def put(arrays: Any) -> Tensor:
    """Copies a numpy array, or a list, tuple or dictionary of such, to the device."""
    if device() == "cpu":
        return keras.tree.map_structure(torch.tensor, arrays)

    # On a stream of its own, a copy from pinned memory does not wait for the step that is under way. Only the
    # thread that prepares batches waits for the copy.
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        tensors = keras.tree.map_structure(
            lambda array: torch.tensor(array).pin_memory().to("cuda", non_blocking=True), arrays
        )
    stream.synchronize()
    # Memory that a step still reads must not become that of another copy.
    for tensor in keras.tree.flatten(tensors):
        tensor.record_stream(torch.cuda.default_stream())
    return tensors


def fetch(tensor: Tensor) -> np.ndarray:
    """Returns a tensor, or a variable of Keras, as a numpy array, once it is computed."""
    array: np.ndarray = keras.ops.convert_to_numpy(tensor)
    return array


def schedule(training: Training, factor: float, warmup_steps: int) -> None:
    """Scales the learning rate, and lets it rise in the first steps. Comes before ``train_step``."""
    optimizers.scale_learning_rate(training.optimizer, factor, warmup_steps)


def train_step(
    training: Training,
    xla: bool,  # noqa: ARG001 (restricted to False)
    world: World = LONE_WORLD,  # noqa: ARG001 (restricted to one rank)
    compression: str = "none",  # noqa: ARG001 (of several ranks)
) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns a function that updates the weights and returns the loss, see ``Backend``."""
    model, optimizer = training.model, optimizers.build_optimizer(training)
    parameters = [variable.value for variable in model.trainable_variables]

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        # Each step begins without gradients, because PyTorch adds to those that are there.
        for parameter in parameters:
            parameter.grad = None
        loss = torch.sum(training.loss(model(inputs, training=True), targets, inputs))
        optimizer.scale_loss(loss).backward()

        with torch.no_grad():
            gradients = [parameter.grad for parameter in parameters]
            optimizer.apply(gradients, model.trainable_variables)
        return loss.detach()

    return step


def exchange(world: World, compression: str) -> Callable[[Tensor], Tensor]:
    """Returns a function that sums arrays over the ranks, of which there is one."""
    return lambda arrays: world.all_reduce(arrays, compression)


def predict_step(model: Any, xla: bool) -> Callable[[Tensor], Tensor]:  # noqa: ARG001 (restricted to False)
    """Returns a function from inputs to predictions, which keeps nothing for a gradient."""

    def predict(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return model(inputs, training=False)

    return predict


def compile_function(
    function: Callable[..., Tensor],
    xla: bool,  # noqa: ARG001 (PyTorch has its own compiler)
) -> Callable[..., Tensor]:
    """Returns a function of tensors, compiled for each shape of its arguments."""
    # The compiler otherwise gives up on a function after a few shapes, and says that it finds nothing older.
    warnings.filterwarnings("ignore", message="dynamo_pgo force disabled")
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    compiled: Callable[..., Tensor] = torch.compile(function, fullgraph=True, dynamic=False)
    return compiled


def value_and_gradient(
    function: Callable[..., Tensor],
    xla: bool,  # noqa: ARG001 (restricted to False)
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Returns a function that gives a scalar and its gradient by the first argument."""

    def both(variable: Tensor, *constants: Tensor) -> tuple[Tensor, Tensor]:
        variable = variable.detach().requires_grad_(True)
        value = function(variable, *constants)
        (gradient,) = torch.autograd.grad(value, variable)
        return value.detach(), gradient

    return both


def drain() -> None:
    """Returns when everything that was handed to the device is done. On a CPU, every call returns then."""
    if device() == "gpu":
        torch.cuda.synchronize()


def device_memory_peak_bytes() -> int | None:
    """Returns the peak memory of the device since the start, in bytes. None if it is the host's."""
    return int(torch.cuda.max_memory_reserved()) if device() == "gpu" else None


def device_memory_total_bytes() -> int | None:
    """Returns the memory of the device, in bytes. None if it is the host's."""
    return int(torch.cuda.mem_get_info()[1]) if device() == "gpu" else None


class _WithGradient(torch.autograd.Function):  # type: ignore[misc]
    """A function with its own gradient, which may have several outputs."""

    @staticmethod
    def forward(context: Any, function: Callable[..., Any], *tensors: Tensor) -> Any:
        """Computes the outputs, and keeps the function that computes the gradients."""
        outputs, context.gradient = function(*tensors)
        return outputs

    @staticmethod
    def backward(context: Any, *upstream: Tensor) -> Any:
        """Computes the gradients of the arguments, of which the function itself has none."""
        # What the gradient reads is free as soon as nobody holds the function, which runs once.
        gradient = context.gradient
        del context.gradient
        gradients = gradient(*upstream)
        return (None, *(gradients if isinstance(gradients, tuple) else (gradients,)))


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function with its own gradient, see ``benchmarks.operations``."""
    return lambda *tensors: _WithGradient.apply(function, *tensors)


class _Remat(torch.autograd.Function):  # type: ignore[misc]
    """A function that keeps its arguments only, and runs again in the backward pass.

    PyTorch's own checkpoints keep what a function with its own gradient reads, unless they are reentrant,
    and those take neither structured outputs nor a function of which only the weights are trained.
    """

    @staticmethod
    def forward(context: Any, function: Callable[..., Any], trained: Tensor, *tensors: Tensor) -> Any:  # noqa: ARG004
        """Computes the outputs, a flat tuple of tensors."""
        context.function = function
        context.save_for_backward(*tensors)
        return function(*tensors)

    @staticmethod
    def backward(context: Any, *upstream: Tensor) -> Any:
        """Computes the gradients of the arguments, and adds those of the weights to the weights."""
        tensors = [
            tensor.detach().requires_grad_(needed)
            for tensor, needed in zip(context.saved_tensors, context.needs_input_grad[2:], strict=True)
        ]
        with torch.enable_grad():
            outputs = context.function(*tensors)
        pairs = [pair for pair in zip(outputs, upstream, strict=True) if pair[0].requires_grad]
        torch.autograd.backward(*zip(*pairs, strict=True))
        return (None, None, *(tensor.grad for tensor in tensors))


def remat(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function, whose intermediate results the backward pass computes again."""

    def computed_again(*tensors: Tensor) -> Any:
        structure = None

        def flat(*arguments: Tensor) -> tuple[Tensor, ...]:
            nonlocal structure
            structure = function(*arguments)
            return tuple(keras.tree.flatten(structure))

        # PyTorch leaves a function out of the backward pass of which no argument is trained.
        trained = torch.empty(0, requires_grad=True)
        outputs = _Remat.apply(flat, trained, *tensors)
        return keras.tree.pack_sequence_as(structure, outputs)

    return computed_again


def sine_and_cosine(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Returns sine and cosine, see ``benchmarks.operations``."""
    return torch.sin(tensor), torch.cos(tensor)


def reduce_segments(
    values: Tensor,
    ids: Tensor,
    count: int,
    how: str,
    fixed: bool,  # noqa: ARG001 (row pointers have their number)
) -> Tensor:
    """Returns the sum or the largest of the rows of each segment, see ``benchmarks.operations``.

    Each segment is summed on its own, from its first row to its last. A scatter would add rows in any order
    on a GPU, and Keras' own asks the device for the number of segments, for which it has to wait.
    """
    starts = torch.searchsorted(ids, torch.arange(count + 1, dtype=ids.dtype, device=ids.device))
    return torch.segment_reduce(values, how, offsets=starts, axis=0, unsafe=True)


operations.install(sys.modules[__name__])
