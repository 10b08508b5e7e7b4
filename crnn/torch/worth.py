"""What pays: limits that were measured, on a core with AVX-512 and on one without.

The core reads a copy of the weights, made at each call.  Torch reads them in place, but
has more to do around a step, and falls behind the more the wider the core's vectors.
"""

from ..config import isa

HAS_AVX512 = isa() == "avx512"


def is_network_worth_it(call, rows: int) -> bool:
    """Whether the core is done sooner with a network for this many steps times rows.

    A step or two of a wide layer takes torch less than the copy does.
    """
    inputs = call.input_size + call.hidden_size
    if HAS_AVX512:
        return 512 * rows > inputs
    return 2**15 * call.num_steps >= call.hidden_size * inputs


def is_cell_worth_it(
    input_size: int, hidden_size: int, rows: int, trains: bool
) -> bool:
    """Whether the core is done sooner with one step of this many rows.

    Torch has less to do around a cell than around a network; and to train one the core
    copies the weights twice, forward and backward.
    """
    weights = hidden_size * (input_size + hidden_size)
    if not HAS_AVX512 and (trains or weights > 512 * rows):
        return False
    return rows >= 32 and rows * weights >= 2**19


def are_weights_light(call, rows: int) -> bool:
    """Whether a tape may well hold a copy of the weights beside the states of its rows.

    Else a loop of short calls, each with its tape, would hold as many copies.
    """
    D, H = call.num_directions, call.hidden_size
    inputs = call.input_size + (call.num_layers - 1) * D * H
    weights = D * H * (inputs + call.num_layers * H)
    return weights <= max(2**14, rows * D * H * call.num_layers)
