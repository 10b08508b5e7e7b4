"""How a call is computed, in words: the schedule that the cost model chose."""

import numpy as np

from . import _core
from .team import checked_number, get_num_threads

_SCHEDULES = {
    "alone": "one thread",
    "rows": "{parts} parts of {part_rows} rows, each through the whole network",
    "directions": "the two directions of a layer at a time",
    "layers": "layers, each one span of steps behind the one below",
    "columns": "the hidden units of a step, with a barrier after it",
}


def explain(rnn, input_shape, *, threads=None, backward=False) -> None:
    """Print how a call with an input of this shape is divided among threads.

    Args:
        rnn: an `RNN` or `RNNCell`.
        input_shape: of the input, in the network's own layout.
        threads: how many; None is what a call of this thread may use now.
        backward: whether to explain the backward pass of `vjp` instead.

    Raises:
        ValueError: an input of this shape does not fit, or threads is less than 1.

    Example, on a processor with AVX-512:
        >>> crnn.explain(crnn.RNN(256, 256), (128, 32, 256), threads=2)
        RNN(256, 256) on (128, 32, 256), float32, 2 threads allowed
          schedule    rows: 4 parts of 8 rows, each through the whole network
          projection  16 steps at a time
          matrices    read where they are
          estimate    0.50 of one thread's time
    """
    dtype = next(rnn.parameters()).dtype
    x = np.broadcast_to(np.zeros((), dtype), input_shape)
    allowed = get_num_threads() if threads is None else checked_number(threads)
    schedule, _, parts, part_rows, span_steps, packed, share = _core.plan(
        rnn, x, allowed, backward
    )
    words = _SCHEDULES[schedule].format(parts=parts, part_rows=part_rows)
    print(f"{rnn} on {tuple(input_shape)}, {dtype}, {allowed} threads allowed")
    print(f"  schedule    {schedule}: {words}")
    print(f"  projection  {span_steps} steps at a time")
    print(f"  matrices    {'copied into panels' if packed else 'read where they are'}")
    print(f"  estimate    {share:.2f} of one thread's time")
