"""What pays: limits that were measured, on a core with AVX-512 and on one without.

The core copies the weights at each call, transposed.  Torch reads them in place, but
has more to do around a step, and falls behind the more the wider the core's vectors.
"""

from .. import _core

HAS_AVX512 = _core.isa() == "avx512"


def is_network_worth_it(call, rows: int, trains: bool) -> bool:
    """Whether the core is done sooner with a network for this many steps times rows.

    A step or two of a wide layer takes torch less than the copy does; of one row, some
    more, and without gradients yet more.
    """
    inputs = call.input_size + call.hidden_size
    if HAS_AVX512:
        return 512 * rows > inputs
    weights = call.hidden_size * inputs
    step = 2**18 if rows > call.num_steps else 2**17 if trains else 2**15
    return step * call.num_steps >= weights


def is_cell_worth_it(
    input_size: int, hidden_size: int, rows: int, trains: bool
) -> bool:
    """Whether the core is done sooner with one step of this many rows.

    Torch has less to do around a cell than around a network, least for one that is
    trained.
    """
    weights = hidden_size * (input_size + hidden_size)
    if not HAS_AVX512 and (trains or weights > 2**13 * rows):
        return False
    return rows >= 32 and rows * weights >= 2**19
