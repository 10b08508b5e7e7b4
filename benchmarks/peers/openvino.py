"""OpenVINO, for latency, on the model of ONNX."""

import io

import numpy as np
import openvino

from peers import Engine
from peers.onnx_model import model_bytes

VERSION = openvino.__version__.split("-")[0]


def sequence(job):
    core = openvino.Core()
    model = core.read_model(io.BytesIO(model_bytes(job)))
    options = {
        "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(model, "CPU", options).create_infer_request()
    request.set_tensor("x", openvino.Tensor(job.x))
    if job.lengths is not None:
        lengths = openvino.Tensor(job.lengths.astype(np.int32))
        request.set_tensor("lengths", lengths)
    return Engine(
        request.infer, lambda _: [request.get_tensor(n).data for n in ("y", "h_n")]
    )
