"""One call of an RNN: its arguments, checked with torch's words, and its results."""

import numpy as np

from . import packed, random
from ._core import DTypeError, ShapeError
from .arguments import check_type
from .module import MODES
from .operands import Operand, check_gradients, parse_lengths


class Call:
    """What a call hands to the core, and how its results go back.

    The kind of input decides: an array or tensor, or a packed sequence, whose rows the
    core sees in the order of the pack and whose states the caller sees in his own.
    """

    def __init__(self, rnn, input, hx=None, lengths=None):
        self.rnn = rnn
        self.packed = input if packed.is_packed(input) else None
        self.order = None  # that sorts the rows of the states
        self.ragged = {}
        self.h = None if hx is None else Operand(hx, "hx")
        if self.packed is None:
            self.x = Operand(input, "input")
            self._check_dense(lengths)
        else:
            if lengths is not None:
                raise TypeError("a packed sequence has its own lengths")
            self.x = Operand(input.data, "input")
            self._check_packed()
        self.masks = self._draw_masks()
        check_gradients(rnn, self.x, self.h)

    def run(self):
        """(output, h_n)."""
        return self._results(*self.rnn._run(**self._arrays()))

    def record(self):
        """(output, h_n, tape)."""
        *results, tape = self.rnn._record(**self._arrays())
        return *self._results(*results), tape

    def _arrays(self) -> dict:
        dtype = self.rnn._dtype
        state = None
        if self.h is not None:
            state = self.sorted(np.ascontiguousarray(self.h.array(dtype)))
        x = self.x.array(dtype)
        return {"x": x, "hx": state, "masks": self.masks, **self.ragged}

    def sorted(self, states: np.ndarray) -> np.ndarray:
        """States (L*D, B, H) of the caller's rows in the order of the core's."""
        return states if self.order is None else states.take(self.order, axis=1)

    def unsorted(self, states: np.ndarray) -> np.ndarray:
        if self.order is None:
            return states
        return states.take(np.argsort(self.order), axis=1)

    def _results(self, output, h_n):
        output, h_n = self.x.like(output), self.x.like(self.unsorted(h_n))
        if self.packed is not None:
            output = packed.replace_data(self.packed, output)
        return output, h_n

    def _check_dense(self, lengths) -> None:
        x, h, batch_first = self.x, self.h, self.rnn.batch_first
        if x.ndim not in (2, 3):
            raise ShapeError(
                f"RNN: Expected input to be 2D or 3D, got {x.ndim}D {x.word} instead"
            )
        if h is not None and h.ndim != x.ndim:
            case = "batched 3-D" if x.ndim == 3 else "unbatched 2-D"
            raise ShapeError(
                f"For {case} input, hx should also be {x.ndim}-D but got {h.ndim}-D "
                f"{h.word}"
            )
        self._check_input()
        batched = x.ndim == 3
        B = x.shape[0 if batch_first else 1] if batched else 1
        T = x.shape[1 if batched and batch_first else 0]
        self._check_hx(B)
        if T == 0:
            raise ShapeError("Expected sequence length to be larger than 0 in RNN")
        self._check_hx_dtype()
        if lengths is not None:
            if not batched:
                raise ShapeError("lengths goes with batched 3-D input only")
            self.ragged = {"lengths": parse_lengths(lengths, B, T)}
        self._check_attributes()

    def _check_packed(self) -> None:
        x, sizes = self.x, packed.batch_sizes(self.packed)
        B = int(sizes[0])
        self.order = packed.order(self.packed, B)
        self._check_hx(B)
        if x.dtype_is(self.rnn._dtype) and x.ndim != 2:
            raise ShapeError(f"input must have 2 dimensions, got {x.ndim}")
        self._check_input()
        if sizes.sum() != x.shape[0]:
            raise ShapeError(
                f"batch_sizes add up to {sizes.sum()} rows, but data has {x.shape[0]}"
            )
        self._check_hx_dtype()
        self.ragged = {"batch_sizes": sizes}
        self._check_attributes()

    def _check_input(self) -> None:
        x, rnn = self.x, self.rnn
        if not x.dtype_is(rnn._dtype):
            own = x.dtype_name(rnn._dtype)
            raise DTypeError(
                f"RNN input dtype ({x.dtype_name()}) does not match weight dtype "
                f"({own}). Convert input: input.{x.cast}({own}), or convert model: "
                f"model.to({x.dtype_name()})"
            )
        if x.shape[-1] != rnn.input_size:
            raise ShapeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{rnn.input_size}, got {x.shape[-1]}"
            )

    def _check_hx(self, B: int) -> None:
        rnn, h = self.rnn, self.h
        if h is None:
            return
        D = 2 if rnn.bidirectional else 1
        expected = (rnn.num_layers * D, B, rnn.hidden_size)
        got = list(h.shape) if h.ndim != 2 else [h.shape[0], 1, h.shape[1]]
        if got != list(expected):
            raise ShapeError(f"Expected hidden size {expected}, got {got}")

    def _check_hx_dtype(self) -> None:
        h, own = self.h, self.rnn._dtype
        if h is not None and not h.dtype_is(own):
            raise DTypeError(
                "mat1 and mat2 must have the same dtype, but got "
                f"{h.dtype_name()} and {h.dtype_name(own)}"
            )

    def _check_attributes(self) -> None:
        """What a user may have set since the constructor."""
        rnn = self.rnn
        if rnn.mode not in MODES.values():
            raise AssertionError(f"mode must be RNN_TANH or RNN_RELU, got {rnn.mode}")
        check_type("batch_first", rnn.batch_first, bool)
        check_type("bidirectional", rnn.bidirectional, bool)
        if isinstance(rnn.num_layers, bool):
            raise TypeError("num_layers should be of type int, got: bool")

    def _draw_masks(self) -> tuple[np.ndarray, ...] | None:
        rnn = self.rnn
        if not rnn.training or rnn.dropout == 0 or rnn.num_layers == 1:
            return None
        width = rnn.hidden_size * (2 if rnn.bidirectional else 1)
        shape = (*self.x.shape[:-1], width)
        return random.dropout_masks(rnn.num_layers - 1, shape, rnn._dtype, rnn.dropout)
