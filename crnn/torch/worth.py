"""What pays: limits that were measured, on one core.

The core reads a copy of the weights, made at each call; torch reads them in place.
"""


def is_network_worth_it(call, rows: int) -> bool:
    """Whether the core is done sooner with a network for this many steps times rows.

    A step or two of a wide layer takes torch less than the copy does.
    """
    return 512 * rows > call.input_size + call.hidden_size


def is_cell_worth_it(call, rows: int) -> bool:
    """Whether the core is done sooner with one step of this many rows.

    Torch has less to do around a cell than around a network.
    """
    weights = call.hidden_size * (call.input_size + call.hidden_size)
    return rows >= 32 and rows * weights >= 2**19


def are_weights_light(call, rows: int) -> bool:
    """Whether a tape may well hold a copy of the weights beside the states of its rows.

    Else a loop of short calls, each with its tape, would hold as many copies.
    """
    D, H = call.num_directions, call.hidden_size
    inputs = call.input_size + (call.num_layers - 1) * D * H
    weights = D * H * (inputs + call.num_layers * H)
    return weights <= max(2**14, rows * D * H * call.num_layers)
