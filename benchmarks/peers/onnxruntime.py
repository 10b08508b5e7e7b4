"""onnxruntime: the RNN operator of ONNX, inputs and outputs bound beforehand."""

import numpy as np
import onnxruntime

from peers import Engine
from peers.onnx_model import model_bytes

VERSION = onnxruntime.__version__


def make_session(job, **kwargs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model_bytes(job, **kwargs), options, providers=["CPUExecutionProvider"]
    )


def sequence(job):
    session = make_session(job)
    binding = session.io_binding()
    binding.bind_cpu_input("x", job.x)
    if job.lengths is not None:
        binding.bind_cpu_input("lengths", job.lengths.astype(np.int32))
    for name in "y", "h_n":
        binding.bind_output(name, "cpu")

    def run():
        session.run_with_iobinding(binding)

    return Engine(run, lambda _: binding.copy_outputs_to_cpu())


def stream(job):
    session = make_session(job, with_state=True)
    h = np.zeros((1, job.case.B, job.case.H), np.float32)

    def run():
        nonlocal h
        [h] = session.run(["h_n"], {"x": job.x, "h_0": h})
        return h

    return Engine(run, lambda h: (h, None))
