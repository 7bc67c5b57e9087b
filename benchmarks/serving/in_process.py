"""A server in this process, for machines without Triton.

It speaks the same protocol, so clients measure it in the same way. It takes requests one after the other and
joins none, and is therefore no measure of a real service.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np

from benchmarks.serving.connection import OPTIONS
from benchmarks.serving.protocol import MESSAGES, SERVICE
from benchmarks.serving.repository import WEIGHTS, ServedModel
from benchmarks.serving.server import Server
from benchmarks.timing import clock

Predict = Callable[[np.ndarray], Mapping[str, np.ndarray]]
_WAITING_REQUESTS = 256  # threads that hold a request each
_END_SECONDS = 5.0


@contextmanager
def in_process_server(served: ServedModel, predict: Predict) -> Iterator[Server]:
    """Serves a model from this process in the ``with`` block.

    Args:
        served: The model.
        predict: From patches, float32[n, *served.patch_shape], to the outputs by name, [n, values] each.

    Yields:
        The server, which is ready.
    """
    model = _Model(served, predict)
    methods: dict[str, Callable[[Any], Mapping[str, Any]]] = {
        "ServerReady": lambda _request: {"ready": True},
        "ServerMetadata": lambda _request: {"name": "in-process", "version": ""},
        "ModelReady": lambda request: {"ready": request.name == served.name},
        "ModelStatistics": lambda _request: {"model_stats": [model.statistics()]},
        "ModelInfer": model.infer,
    }
    server = grpc.server(ThreadPoolExecutor(_WAITING_REQUESTS), options=OPTIONS)
    server.add_generic_rpc_handlers((_handlers(methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Server(f"127.0.0.1:{port}", "in-process", "in-process")
    finally:
        server.stop(_END_SECONDS).wait()


def _handlers(methods: Mapping[str, Callable[[Any], Mapping[str, Any]]]) -> Any:
    """Returns gRPC's handlers of methods that take a message and return the fields of another."""

    def handler(method: str, answer: Callable[[Any], Mapping[str, Any]]) -> Any:
        def handle(request: Any, context: Any) -> Any:
            try:
                return MESSAGES[f"{method}Response"](**answer(request))
            except ValueError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=MESSAGES[f"{method}Request"].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    return grpc.method_handlers_generic_handler(
        SERVICE, {method: handler(method, answer) for method, answer in methods.items()}
    )


class _Model:
    """A model that answers one request after the other, and counts as Triton does."""

    def __init__(self, served: ServedModel, predict: Predict) -> None:
        self._served, self._predict = served, predict
        self._turn = threading.Lock()
        self._requests = self._patches = 0
        self._queue_ns = self._compute_ns = 0

    def infer(self, request: Any) -> dict[str, Any]:
        """Answers a request.

        Args:
            request: ``ModelInferRequest``.

        Raises:
            ValueError: The request does not fit the model.
        """
        arrival = clock()
        if len(request.raw_input_contents) != 1 or len(request.inputs) != 1:
            raise ValueError(f"expected one input in raw bytes, got {len(request.raw_input_contents)}")
        patches = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(request.inputs[0].shape)
        with self._turn:
            start = clock()
            values = {name: np.asarray(array, np.float32) for name, array in self._predict(patches).items()}
            end = clock()
            self._count(len(patches), start - arrival, end - start)
        digest = np.frombuffer(bytes.fromhex(self._served.weights_sha256), np.uint8)
        values[WEIGHTS] = np.tile(digest, (len(patches), 1))
        names = [output.name for output in request.outputs]
        return {
            "model_name": self._served.name,
            "outputs": [
                {
                    "name": name,
                    "datatype": "UINT8" if name == WEIGHTS else "FP32",
                    "shape": values[name].shape,
                }
                for name in names
            ],
            "raw_output_contents": [values[name].tobytes() for name in names],
        }

    def _count(self, patches: int, queue_seconds: float, compute_seconds: float) -> None:
        self._requests += 1
        self._patches += patches
        self._queue_ns += round(1e9 * queue_seconds)
        self._compute_ns += round(1e9 * compute_seconds)

    def statistics(self) -> dict[str, Any]:
        """Returns the fields of ``ModelStatistics``."""
        with self._turn:
            compute = {"count": self._requests, "ns": self._compute_ns}
            return {
                "name": self._served.name,
                "inference_count": self._patches,
                "execution_count": self._requests,
                "inference_stats": {
                    "success": {"count": self._requests, "ns": self._queue_ns + self._compute_ns},
                    "queue": {"count": self._requests, "ns": self._queue_ns},
                    "compute_infer": compute,
                },
                "batch_stats": [{"batch_size": 1, "compute_infer": compute}],
            }
