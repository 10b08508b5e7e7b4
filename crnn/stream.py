"""crnn.Stream: a network that reads its input step by step."""

from operator import index

import numpy as np

from . import _core
from ._core import DTypeError, Network, ShapeError
from .module import MODES
from .operands import Operand, check_gradients, is_torch, refuse_masked


class Stream(_core.Stream):
    """An RNN of one direction that goes on where its last step ended.

    `rnn.stream(batch_size)` makes one.  Sizes: B batch_size, I input_size, H
    hidden_size, L num_layers.

    Args:
        network: the RNN.  Its parameters are live: an edit in place is seen by the next
            step.
        batch_size: how many sequences go on side by side, or None for one without an
            axis of its own.  batch_first is of no concern: steps have no time axis.

    Attributes:
        network: the RNN.
        batch_size: B, or None.
        state: (L, B, H), or (L, H): a copy of what the layers hand to the next step.
            `copy.copy(stream)` goes on from it by itself, and so does a pickle.

    Raises:
        ValueError: the network is bidirectional, or batch_size negative.
        TypeError: network is no RNN, or batch_size no integer.
        MemoryError: nothing has changed.

    Example:
        >>> rnn = RNN(10, 20, num_layers=2)
        >>> stream = rnn.stream(batch_size=1000)
        >>> stream.step(np.zeros((1000, 10), np.float32)).shape
        (1000, 20)
        >>> stream.reset(rows=[3, 17])  # two new sequences in place of ended ones
        >>> stream.state.shape
        (2, 1000, 20)

    A step computes the network's own equations: an overridden forward() is not called,
    and dropout never acts, so that a network which would draw masks must be in eval()
    mode.  After `rnn.double()` or `rnn.float()` steps raise RuntimeError until the
    parameters have the stream's dtype again.  One thread at a time may step a stream;
    any number of streams may run at once.
    """

    __slots__ = ("__weakref__", "_dtype")

    def __init__(self, network, batch_size: int | None = None):
        if not isinstance(network, Network) or network._is_cell:
            raise TypeError(f"network must be an RNN, not {type(network).__name__}")
        network._check_initialised()
        if network.bidirectional:
            raise ValueError(
                "a bidirectional network cannot be streamed: its reverse direction "
                "begins at the end of the sequence"
            )
        if isinstance(batch_size, bool):
            raise TypeError("batch_size should be of type int, got: bool")
        if batch_size is not None and index(batch_size) < 0:
            raise ValueError(f"batch_size must not be negative, got {batch_size}")
        self._allocate(network, batch_size if batch_size is None else index(batch_size))
        self._dtype = network._dtype

    def reset(self, h_0=None, rows=None) -> None:
        """Begin anew.

        Args:
            h_0: the state to begin with, of any kind that RNN takes and of the stream's
                dtype: (L, B, H), without a batch (L, H), with rows (L, len(rows), H);
                None is zeros.
            rows: which rows of the batch begin anew, the others go on: integers from
                -B to B - 1, or B booleans; None is all.

        Raises:
            ShapeError, DTypeError, TypeError: an argument does not fit.
            IndexError: there is no such row.
            RuntimeError: a step is under way.

            Nothing has changed then.
        """
        B = self.batch_size
        if rows is not None:
            rows = self._row_numbers(rows)
            B = len(rows)
        h = None
        if h_0 is not None:
            operand = Operand(h_0, "h_0")
            L, H = self.network.num_layers, self.network.hidden_size
            expected = (L, H) if B is None else (L, B, H)
            if operand.shape != expected:
                raise ShapeError(
                    f"Expected hidden size {expected}, got {list(operand.shape)}"
                )
            self._check_dtype(operand)
            h = np.ascontiguousarray(operand.array(self._dtype))
        self._set_state(h, rows)

    def _row_numbers(self, rows) -> np.ndarray:
        """rows as int64 in 0 .. B-1."""
        B = self.batch_size
        if B is None:
            raise ShapeError("rows goes with a batch_size only")
        if is_torch(rows, "Tensor"):
            rows = rows.tolist()
        refuse_masked(rows, "rows")
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != (B,):
                raise ShapeError(
                    f"a mask of rows must have shape {(B,)}, got {rows.shape}"
                )
            return np.flatnonzero(rows).astype(np.int64)
        if rows.size and rows.dtype.kind not in "iu":
            raise DTypeError(f"rows must be integers or booleans, got {rows.dtype}")
        if rows.ndim > 1:
            raise ShapeError(f"rows must have one dimension, got {rows.ndim}")
        rows = np.atleast_1d(rows)
        for row in rows[(rows < -B) | (rows >= B)][:1]:
            raise IndexError(f"row {row} is out of bounds for a batch of {B}")
        return np.where(rows < 0, rows + B, rows).astype(np.int64)

    def _check_dtype(self, operand: Operand) -> None:
        if not operand.dtype_is(self._dtype):
            raise DTypeError(
                f"{operand.name} must be of {operand.dtype_name(self._dtype)}, got "
                f"{operand.dtype_name()}"
            )

    def _step(self, x_t, out=None):
        """A step whose arguments step() cannot hand to the core as they are."""
        self._check_network()
        x, y = self._operands(x_t, out)
        array = x.array(self._dtype)
        if y is None:
            return x.like(self._advance(array, None))
        target = self._target(y)
        if np.may_share_memory(array, target):
            array = array.copy()
        self._advance(array, target)
        return out

    _step.__qualname__ = "Stream.step"  # in the messages of wrong calls

    def _check_network(self) -> None:
        """What may have been set since the stream was made."""
        network = self.network
        if network._dtype != self._dtype:
            raise RuntimeError(
                f"the network has become {network._dtype} since this stream of "
                f"{self._dtype} was made: make a new one"
            )
        if network.mode not in MODES.values():
            raise AssertionError(
                f"mode must be RNN_TANH or RNN_RELU, got {network.mode}"
            )
        if network.training and network.dropout != 0 and network.num_layers > 1:
            raise RuntimeError(
                "dropout does not act in a stream: call eval() of the network first"
            )

    def _operands(self, x_t, out) -> tuple[Operand, Operand | None]:
        x = Operand(x_t, "x_t")
        y = None if out is None else Operand(out, "out")
        self._check_shape(x, self.network.input_size)
        self._check_dtype(x)
        if y is not None:
            self._check_shape(y, self.network.hidden_size)
            self._check_dtype(y)
        check_gradients(self.network, x, y)
        return x, y

    def _check_shape(self, operand: Operand, features: int) -> None:
        B = self.batch_size
        expected = (features,) if B is None else (B, features)
        if operand.shape != expected:
            raise ShapeError(
                f"Stream: Expected {operand.name} of shape {expected}, got "
                f"{operand.shape}"
            )

    def _target(self, y: Operand) -> np.ndarray:
        """The memory of out, if a step may write it."""
        array = y.value.detach().numpy() if y.is_tensor else y.value
        if array.dtype != self._dtype or not array.flags.aligned:
            raise ValueError("out must be aligned and of native byte order")
        if not array.flags.writeable:
            raise ValueError("out is read-only")
        element, B = array.itemsize, self.batch_size
        rows = 1 if B is None else B
        width = array.shape[-1] * element
        if (width > element and array.strides[-1] != element and rows) or (
            rows > 1 and abs(array.strides[0]) < width
        ):
            raise ValueError("the rows of out must be contiguous and apart")
        for parameter in self.network.parameters():
            if np.may_share_memory(array, parameter):
                raise ValueError("out must not share memory with the parameters")
        return array

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.network}, batch_size={self.batch_size})"

    def __reduce__(self):
        return type(self), (self.network, self.batch_size), self.state

    def __setstate__(self, state: np.ndarray) -> None:
        self.reset(state)
