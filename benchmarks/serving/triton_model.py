"""Serves an exported Keras model in Triton's Python backend.

``hepbench serve export`` copies this file into the model repository. It runs in the server's environment, so
it imports nothing of this project. It reads everything that it must know from the model's configuration.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import triton_python_backend_utils as pb_utils

WEIGHTS = "weights_sha256"  # the output that says which weights answer


class TritonPythonModel:
    """A model as Triton calls it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model and compiles it for any number of patches.

        Args:
            args: From Triton: ``model_config`` as JSON, and where this version of the model is.
        """
        config = json.loads(args["model_config"])
        threads = int(config["parameters"]["threads"]["string_value"])
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        path = Path(args["model_repository"], args["model_version"], "model.keras")
        model = keras.saving.load_model(path, compile=False)

        # The hash is that of the weights which were loaded, and not of those which somebody promised.
        digest = hashlib.sha256()
        for variable in model.weights:
            array = np.ascontiguousarray(variable)
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        self.digest = np.frombuffer(digest.digest(), np.uint8)
        self.outputs = [output["name"] for output in config["output"] if output["name"] != WEIGHTS]

        # One compiled function takes any number of patches, because the server joins requests.
        shape = tuple(int(size) for size in config["input"][0]["dims"])

        def predict(patches: Any) -> list[Any]:
            return [tf.cast(values, tf.float32) for values in tf.nest.flatten(model(patches, training=False))]

        self.predict = tf.function(predict, input_signature=[tf.TensorSpec((None, *shape), tf.float32)])
        self.predict(np.zeros((1, *shape), np.float32))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers requests, whose patches the model takes as one batch.

        Args:
            requests: From Triton.
        """
        inputs = [pb_utils.get_input_tensor_by_name(request, "patches").as_numpy() for request in requests]
        batch = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        predictions = [np.asarray(values) for values in self.predict(batch)]

        # Each request gets its own rows back, and only the outputs that it asked for.
        responses, start = [], 0
        for request, patches in zip(requests, inputs, strict=True):
            rows = slice(start, start := start + len(patches))
            values = {name: array[rows] for name, array in zip(self.outputs, predictions, strict=True)}
            values[WEIGHTS] = np.tile(self.digest, (len(patches), 1))
            tensors = [pb_utils.Tensor(name, values[name]) for name in request.requested_output_names()]
            responses.append(pb_utils.InferenceResponse(output_tensors=tensors))
        return responses
