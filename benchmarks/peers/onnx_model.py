"""A network as a model of ONNX, for the engines that read it; no engine itself."""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper


def model_bytes(job, with_state=False):
    """The serialized model: x (T, B, I), with lengths (B,) if the job has any, or with
    a state h_0 (D, B, H) of its one layer, to y (T, B, D*H) and h_n (L*D, B, H)."""
    optional = ["lengths" if job.lengths is not None else "", "h_0" * with_state]
    case = job.case
    nodes, constants, states, x = [], [constant("rows", [0, 0, -1])], [], "x"
    for layer, directions in enumerate(job.layers):
        y = f"y{layer}" if layer < case.L - 1 else "y"
        constants += [
            constant(f"w{layer}", [w_ih.T for w_ih, _, _ in directions]),
            constant(f"r{layer}", [w_hh.T for _, w_hh, _ in directions]),
            constant(f"b{layer}", [[*b, *np.zeros_like(b)] for _, _, b in directions]),
        ]
        nodes += [
            helper.make_node(
                "RNN",
                [x, f"w{layer}", f"r{layer}", f"b{layer}", *optional],
                [f"all{layer}", f"last{layer}"],
                activations=[case.nonlinearity.capitalize()] * case.D,
                direction="bidirectional" if case.D == 2 else "forward",
                hidden_size=case.H,
            ),
            helper.make_node(
                "Transpose", [f"all{layer}"], [f"turned{layer}"], perm=[0, 2, 1, 3]
            ),
            helper.make_node("Reshape", [f"turned{layer}", "rows"], [y]),
        ]
        states.append(f"last{layer}")
        x = y
    nodes.append(helper.make_node("Concat", states, ["h_n"], axis=0))
    return serialize(case, nodes, constants, optional)


def constant(name, values):
    array = np.array(values)
    return numpy_helper.from_array(
        array.astype(np.int64 if array.dtype.kind == "i" else np.float32), name
    )


def serialize(case, nodes, constants, optional):
    def floats(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [floats("x", case.T, case.B, case.I)]
    if "h_0" in optional:
        inputs.append(floats("h_0", case.D, case.B, case.H))
    if "lengths" in optional:
        inputs.append(
            helper.make_tensor_value_info("lengths", TensorProto.INT32, [case.B])
        )
    outputs = [
        floats("y", case.T, case.B, case.D * case.H),
        floats("h_n", case.L * case.D, case.B, case.H),
    ]
    graph = helper.make_graph(nodes, "rnn", inputs, outputs, constants)
    opset = helper.make_opsetid("", 14)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()
