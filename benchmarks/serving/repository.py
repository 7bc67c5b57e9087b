"""A model as a server keeps it: a folder that a stock Triton loads with its Python backend."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.files import write_text

INPUT, WEIGHTS = "patches", "weights_sha256"
WEIGHTS_BYTES = 32  # of a SHA-256


@dataclass(frozen=True)
class ServedModel:
    """What server and clients must know of a model.

    Attributes:
        name: What requests call it.
        patch_shape: Shape of one patch of the input ``patches``, which is float32.
        outputs: How many values each output has for a patch, by name, float32, in the model's order.
        weights_sha256: SHA-256 of all weights in the model's order, little endian, in hexadecimal.
    """

    name: str
    patch_shape: tuple[int, ...]
    outputs: Mapping[str, int]
    weights_sha256: str

    @property
    def patch_bytes(self) -> int:
        """Returns how many bytes of a request one patch takes."""
        size = 4
        for length in self.patch_shape:
            size *= length
        return size


@dataclass(frozen=True)
class Batching:
    """How a server joins requests.

    Attributes:
        max_batch: Patches that the model takes at once.
        preferred: Numbers of patches that the server tries to collect.
        delay_microseconds: How long a request may wait for others.
        queue_size: Waiting requests beyond which the server refuses more; 0 for any number.
    """

    max_batch: int
    preferred: tuple[int, ...] = ()
    delay_microseconds: int = 0
    queue_size: int = 0

    def __post_init__(self) -> None:
        too_large = [size for size in self.preferred if size > self.max_batch]
        if too_large:
            raise UsageError(
                f"preferred batch sizes: expected at most the largest batch {self.max_batch}, "
                f"got {too_large[0]}"
            )


def model_source() -> str:
    """Returns the program that serves a Keras model in Triton's Python backend."""
    return Path(__file__).with_name("triton_model.py").read_text(encoding="utf-8")


def write_repository(
    folder: Path,
    served: ServedModel,
    batching: Batching,
    model: Any,
    threads: int,
    source: str | None = None,
) -> Path:
    """Writes a model repository.

    Args:
        folder: Where it goes. It is made, and may hold other models.
        served: What the model is called, takes and returns.
        batching: How the server joins requests.
        model: keras.Model of layers that Keras itself has, with one input and the outputs of ``served``. None
            where ``source`` needs no file beside it.
        threads: CPU threads of the model.
        source: Program of a model that is not Keras's.

    Returns:
        ``folder``.
    """
    version = folder / served.name / "1"
    version.mkdir(parents=True, exist_ok=True)
    if model is not None:
        # NumPy 2 warns of the way in which Keras takes arrays out of TensorFlow's variables.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            model.save(version / "model.keras")
    write_text(version / "model.py", model_source() if source is None else source)

    # The configuration comes last, because a server takes a folder with one for a model.
    write_text(folder / served.name / "config.pbtxt", configuration(served, batching, threads))
    return folder


def configuration(served: ServedModel, batching: Batching, threads: int) -> str:
    """Returns the text of ``config.pbtxt``."""
    outputs = {name: ("TYPE_FP32", size) for name, size in served.outputs.items()}
    outputs[WEIGHTS] = ("TYPE_UINT8", WEIGHTS_BYTES)
    lines = [
        f"name: {json.dumps(served.name)}",
        'backend: "python"',
        f"max_batch_size: {batching.max_batch}",
        f'input [ {{ name: "{INPUT}" data_type: TYPE_FP32 dims: {list(served.patch_shape)} }} ]',
        *(
            f"output [ {{ name: {json.dumps(name)} data_type: {kind} dims: [ {size} ] }} ]"
            for name, (kind, size) in outputs.items()
        ),
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        "dynamic_batching {",
        f"  preferred_batch_size: {list(batching.preferred)}" if batching.preferred else "",
        f"  max_queue_delay_microseconds: {batching.delay_microseconds}",
        f"  default_queue_policy {{ max_queue_size: {batching.queue_size} }}",
        "}",
        *(
            f"parameters {{ key: {json.dumps(key)} value {{ string_value: {json.dumps(value)} }} }}"
            for key, value in (("threads", str(threads)), (WEIGHTS, served.weights_sha256))
        ),
    ]
    return "\n".join(line for line in lines if line) + "\n"
