"""crnn.RNNCell: torch.nn.RNNCell on arrays."""

from operator import index

import numpy as np

from ._core import DTypeError, ShapeError
from .convert import CellConversions
from .module import MODES, Module
from .operands import Operand, check_device, check_gradients, parse_dtype
from .vjp import Pullback


class RNNCell(CellConversions, Module):
    r"""One step of an Elman RNN:

        h' = act(W_ih x + b_ih + W_hh h + b_hh)

    where act is tanh or relu.  Sizes: N rows, I input_size, H hidden_size.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        bias: whether the cell has the biases b_ih and b_hh.
        nonlinearity: "tanh" or "relu".
        device: None or "cpu".
        dtype: float32 (the default) or float64, as a NumPy or torch dtype or a name.

    Inputs: input, hx=None
        * input: (N, I) or (I,), of the kinds that `RNN` takes.
        * hx: (N, H) or (H,); None is zeros.

    Outputs: h'
        (N, H) or (H,): the next state, new, of the input's kind.

    Attributes:
        weight_ih: (H, I).
        weight_hh: (H, H).
        bias_ih, bias_hh: (H,), or None without bias.

        Each is a live array, drawn from U(-k, k) with k = 1 / sqrt(H): the same values
        as torch's for the same seed.

    Raises:
        ShapeError: (a RuntimeError and ValueError) sizes that do not fit.
        DTypeError: (a TypeError, ValueError and RuntimeError) a dtype other than the
            parameters'; nothing is converted in silence.
        TypeError: an input that is no array.

    Example:
        >>> cell = RNNCell(10, 20)
        >>> cell(np.zeros((3, 10), np.float32)).shape
        (3, 20)

    Differences from torch: no autograd, so a tensor that needs a gradient is refused;
    input and hx must have the same number of dimensions.
    """

    _ARGUMENTS = ("input_size", "hidden_size", "bias", "nonlinearity")
    _LIVE = ("training",)

    batch_first = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device=None,
        dtype=None,
    ):
        if "_parameters" in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}.__init__() was already called")
        self._configure(input_size, hidden_size, bias, nonlinearity, device, dtype)
        self.reset_parameters()

    def _configure(
        self,
        input_size,
        hidden_size,
        bias=True,
        nonlinearity="tanh",
        device=None,
        dtype=None,
    ) -> None:
        """Check what torch checks, which is little; then build."""
        dtype = parse_dtype(dtype)
        check_device(device)
        sizes = [index(hidden_size), index(input_size)]
        if min(sizes) < 0:
            raise ShapeError(
                f"Trying to create tensor with negative dimension {min(sizes)}: {sizes}"
            )
        self.input_size = index(input_size)
        self.hidden_size = index(hidden_size)
        self.bias = bias
        self.nonlinearity = nonlinearity
        self.training = True
        self._is_cell = True
        self._build(dtype)
        self._is_direct = type(self).forward is RNNCell.forward

    def _names(self) -> list[str]:
        return ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * bool(self.bias)

    @property
    def nonlinearity(self):
        """ "tanh" or "relu"; what a call computes follows it."""
        return self.__dict__["nonlinearity"]

    @nonlinearity.setter
    def nonlinearity(self, value):
        self.__dict__["nonlinearity"] = value
        self.mode = MODES.get(value) if isinstance(value, str) else None

    @property
    def bias_ih(self) -> np.ndarray | None:
        return self.__dict__.get("_parameters", {}).get("bias_ih")

    @property
    def bias_hh(self) -> np.ndarray | None:
        return self.__dict__.get("_parameters", {}).get("bias_hh")

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.nonlinearity != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def forward(self, input, hx=None):
        """What a call does; see the class for arguments and results."""
        self._check_initialised()
        call = CellCall(self, input, hx)
        return call.x.like(self._run(*call.arrays()))

    def vjp(self, input, hx=None):
        """A call that can be backpropagated.

        Returns:
            (h, pullback): the next state, and a `Pullback`, a function from its
            gradient to those of input, hx and the parameters.
        """
        names = tuple(self._check_initialised())
        results = self._record_directly(input, hx)
        if results is not None:
            h, tape = results
            return h, Pullback(names, tape)
        call = CellCall(self, input, hx)
        h, tape = self._record(*call.arrays())
        return call.x.like(h), Pullback(names, tape, call)


class CellCall:
    """The arguments of a cell's call, checked with torch's words."""

    def __init__(self, cell, input, hx):
        self.rnn = cell
        x = self.x = Operand(input, "input")
        h = self.h = None if hx is None else Operand(hx, "hx")
        for operand, name in (x, "input"), (h, "hidden"):
            if operand is not None and operand.ndim not in (1, 2):
                raise ShapeError(
                    f"RNNCell: Expected {name} to be 1D or 2D, got {operand.ndim}D "
                    "instead"
                )
        self._check_sizes()
        for operand in x, h:
            if operand is not None and not operand.dtype_is(cell._dtype):
                raise DTypeError(
                    "mat1 and mat2 must have the same dtype, but got "
                    f"{operand.dtype_name()} and {operand.dtype_name(cell._dtype)}"
                )
        if cell.mode is None:
            raise RuntimeError(f"Unknown nonlinearity: {cell.nonlinearity}")
        check_gradients(cell, x, h)

    def arrays(self):
        """x and hx (or None) as the core reads them."""
        dtype = self.rnn._dtype
        state = None
        if self.h is not None:
            state = np.ascontiguousarray(self.h.array(dtype))
        return self.x.array(dtype), state

    def unsorted(self, states: np.ndarray) -> np.ndarray:
        """The rows are as they come."""
        return states

    def _check_sizes(self) -> None:
        cell, x, h = self.rnn, self.x, self.h
        if x.shape[-1] != cell.input_size:
            raise ShapeError(
                f"input has inconsistent input_size: got {x.shape[-1]} expected "
                f"{cell.input_size}"
            )
        if h is None:
            return
        if x.ndim != h.ndim:
            raise ShapeError(
                f"RNNCell: for {x.ndim}D input, hidden should also be {x.ndim}D, got "
                f"{h.ndim}D"
            )
        if x.shape[:-1] != h.shape[:-1]:
            raise ShapeError(
                f"Input batch size {x.shape[0]} doesn't match hidden0 batch size "
                f"{h.shape[0]}"
            )
        if h.shape[-1] != cell.hidden_size:
            raise ShapeError(
                f"hidden0 has inconsistent hidden_size: got {h.shape[-1]}, expected "
                f"{cell.hidden_size}"
            )
