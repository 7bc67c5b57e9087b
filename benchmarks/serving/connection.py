"""A connection to an inference server: what clients and the run ask it, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from benchmarks.errors import RunFailedError
from benchmarks.serving.protocol import MESSAGES, SERVICE
from benchmarks.serving.repository import INPUT, WEIGHTS, WEIGHTS_BYTES, ServedModel

# A request has no size limit of its own, because presets bound it. A proxy is for other networks.
OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)
ANSWER_SECONDS = 10.0  # for questions that need no model
_TYPES: dict[str, Any] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1")}


class NotOfferedError(RunFailedError):
    """A question that the server does not know, because it is an extension of the protocol."""


class Connection:
    """A connection to a server.

    Args:
        address: ``HOST:PORT``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        # Bytes go in and out, so that making and reading messages can be timed on its own.
        self._infer = self._channel.unary_unary(f"/{SERVICE}/ModelInfer")

    def close(self) -> None:
        """Closes the connection. Requests under way are cancelled."""
        self._channel.close()

    def ask(self, method: str, seconds: float = ANSWER_SECONDS, **fields: Any) -> Any:
        """Returns the answer to a question that needs no model.

        Args:
            method: Of the protocol, such as ``ModelReady``.
            seconds: How long the server has.
            fields: Of the request.

        Raises:
            NotOfferedError: The server does not know the question.
            RunFailedError: There was no answer.
        """
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=MESSAGES[f"{method}Response"].FromString,
        )
        try:
            return call(MESSAGES[f"{method}Request"](**fields), timeout=seconds)
        except grpc.RpcError as error:
            unknown = error.code() is grpc.StatusCode.UNIMPLEMENTED
            kind = NotOfferedError if unknown else RunFailedError
            raise kind(failure(self.address, error, seconds)) from None

    def is_ready(self, model: str) -> bool:
        """Says whether the server answers and has loaded a model."""
        try:
            return bool(self.ask("ModelReady", 2.0, name=model).ready)
        except RunFailedError:
            return False

    def send(self, message: bytes, seconds: float) -> Any:
        """Sends a request and returns the ``grpc.Future`` of its answer, which are bytes.

        Args:
            message: From ``request_message``.
            seconds: After which the answer counts as lost.
        """
        return self._infer.future(message, timeout=seconds)

    def infer(
        self, served: ServedModel, patches: np.ndarray, outputs: Mapping[str, int], seconds: float
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of a model for some patches.

        Args:
            served: The model.
            patches: float32[n, *served.patch_shape].
            outputs: How many values each output that is asked for has for a patch.
            seconds: How long the server has.

        Raises:
            RunFailedError: There was no answer, or it is none.
        """
        try:
            answer = self.send(request_message(served, patches, list(outputs)), seconds).result()
        except grpc.RpcError as error:
            raise RunFailedError(failure(self.address, error, seconds)) from None
        return read_answer(answer, len(patches), outputs)

    def weights_sha256(self, served: ServedModel, seconds: float) -> str:
        """Returns the hash of the weights that answer, as the server says it.

        Raises:
            RunFailedError: The server does not say it.
        """
        patches = np.zeros((1, *served.patch_shape), np.float32)
        answer = self.infer(served, patches, {WEIGHTS: WEIGHTS_BYTES}, seconds)
        return answer[WEIGHTS].astype(np.uint8).tobytes().hex()


def request_message(served: ServedModel, patches: np.ndarray, outputs: Sequence[str]) -> bytes:
    """Returns a request as it goes over the network.

    Args:
        served: The model.
        patches: float32[n, *served.patch_shape].
        outputs: What is to be answered.
    """
    message = MESSAGES["ModelInferRequest"](model_name=served.name)
    message.inputs.add(name=INPUT, datatype="FP32", shape=patches.shape)
    for name in outputs:
        message.outputs.add(name=name)
    message.raw_input_contents.append(np.ascontiguousarray(patches, _TYPES["FP32"]).tobytes())
    data: bytes = message.SerializeToString()
    return data


def read_answer(answer: bytes, patches: int, outputs: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Returns the arrays of an answer, [patches, values] each.

    Args:
        answer: As it came over the network.
        patches: How many patches were sent.
        outputs: How many values each output has for a patch.

    Raises:
        RunFailedError: The answer is not what was asked for.
    """
    try:
        message = MESSAGES["ModelInferResponse"].FromString(answer)
    except Exception as error:  # each implementation of Protocol Buffers has its own
        raise RunFailedError(f"an answer of the server cannot be read: {type(error).__name__}") from None
    arrays = {}
    for index, tensor in enumerate(message.outputs):
        if tensor.datatype not in _TYPES:
            continue
        # Triton answers in raw bytes, and a server of another make may answer in typed fields.
        values: np.ndarray
        if message.raw_output_contents:
            raw = message.raw_output_contents[index] if index < len(message.raw_output_contents) else b""
            if len(raw) % _TYPES[tensor.datatype].itemsize:
                raise RunFailedError(f"wrong answer: output {tensor.name} has {len(raw)} bytes")
            values = np.frombuffer(raw, _TYPES[tensor.datatype])
        elif tensor.datatype == "FP32":
            values = np.array(tensor.contents.fp32_contents, np.float32)
        else:
            values = np.array(tensor.contents.uint_contents, np.uint8)
        arrays[tensor.name] = values

    # The sizes are compared before anything is read into the arrays.
    for name, size in outputs.items():
        if name not in arrays:
            raise RunFailedError(
                f"wrong answer: expected the output {name}, got {', '.join(arrays) or 'none'}"
            )
        if arrays[name].size != patches * size:
            raise RunFailedError(
                f"wrong answer: expected {patches * size} values in the output {name}, "
                f"got {arrays[name].size}"
            )
    return {name: arrays[name].reshape(patches, size) for name, size in outputs.items()}


def failure(address: str, error: grpc.RpcError, seconds: float) -> str:
    """Says in one line why a server did not answer.

    Args:
        address: Of the server.
        error: From gRPC.
        seconds: How long the server had.
    """
    code, details = error.code(), " ".join(str(error.details()).split())
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the inference server at {address} did not answer within {seconds:g} s"
    if "maximum queue size" in details:
        return f"the inference server at {address} refused a request because its queue is full: {details}"
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"the inference server at {address} cannot be reached: {details[:200]}"
    return f"the inference server at {address} refused a request: {code.name}: {details[:200]}"
