"""A stand-in for an accelerator, as a model of Triton's: it takes its time, and computes nothing."""

import time

import triton_python_backend_utils as pb_utils

SECONDS = 0.02  # of a request


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        time.sleep(SECONDS)
        patches = pb_utils.get_input_tensor_by_name(request, "patches").as_numpy()
        first = patches.reshape(len(patches), -1)[:, :1]
        return pb_utils.InferenceResponse([pb_utils.Tensor("first", first)])
