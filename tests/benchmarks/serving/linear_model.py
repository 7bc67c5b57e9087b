"""A linear map as a model of Triton's, for tests: it runs in the server and imports NumPy only."""

import hashlib
import time

import numpy as np
import triton_python_backend_utils as pb_utils

SECONDS = 0.0  # of a call
OFFSET = 0.0  # what is wrong with every value
LOADS = True
WEIGHTS = np.arange(36, dtype=np.float32).reshape(12, 3) / 36


class TritonPythonModel:
    def initialize(self, _args):
        if not LOADS:
            raise ValueError("these weights are of another model")

    def execute(self, requests):
        time.sleep(SECONDS)
        return [self.answer(request) for request in requests]

    def answer(self, request):
        patches = pb_utils.get_input_tensor_by_name(request, "patches").as_numpy()
        values = patches.reshape(len(patches), -1) @ WEIGHTS + np.float32(OFFSET)
        digest = np.frombuffer(hashlib.sha256(WEIGHTS.tobytes()).digest(), np.uint8)
        outputs = {
            "first": values[:, :1],
            "others": values[:, 1:],
            "weights_sha256": np.tile(digest, (len(patches), 1)),
        }
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, outputs[name]) for name in request.requested_output_names()]
        )
