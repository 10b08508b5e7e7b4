"""crnn.RNN: torch.nn.RNN on arrays."""

import numpy as np

from . import packed, random
from ._core import DTypeError, ShapeError
from .arguments import check_arguments, check_nonlinearity, check_type
from .convert import RNNConversions
from .module import MODES, Module
from .operands import (
    Operand,
    check_device,
    check_gradients,
    parse_dtype,
    parse_lengths,
)


class RNN(RNNConversions, Module):
    r"""An Elman RNN of one or more layers, in one or two directions.

    For every element of the input sequence each layer computes

        h_t = act(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)

    where act is tanh or relu, x_t is the input at time t or the output of the layer
    below, and h_0 is hx or zero.  Sizes: T time, B batch, I input_size, H hidden_size,
    L num_layers, D directions (2 if bidirectional, else 1).

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        num_layers: layers, each reading the outputs of the one below.
        nonlinearity: "tanh" or "relu".
        bias: whether the layers have the biases b_ih and b_hh.
        batch_first: whether input and output are (B, T, features) instead of
            (T, B, features); hx and h_n are not affected.
        dropout: in training, the probability with which each element of every layer's
            output but the last one's is zeroed; the others are scaled by
            1 / (1 - dropout).  The masks come from a stream of crnn's own, seeded by
            `manual_seed`.
        bidirectional: whether each layer also reads its input from the end.
        device: None or "cpu".
        dtype: float32 (the default) or float64, as a NumPy or torch dtype or a name.

    Inputs: input, hx=None, \*, lengths=None
        * input: (T, B, I), with batch_first (B, T, I), or unbatched (T, I): a NumPy
          array of any strides, a torch CPU tensor, an object that exports DLPack or the
          buffer protocol, or a torch PackedSequence.  Of the parameters' dtype.
        * hx: (L*D, B, H), for unbatched input (L*D, H); None is zeros.
        * lengths: B integers in 1 .. T, in any order: row b ends after lengths[b]
          steps.  Equal, in bits, to running each row alone.

    Outputs: output, h_n
        * output: (T, B, D*H), (B, T, D*H) or (T, D*H), contiguous: the states of the
          last layer, forward then reverse; zero where a row has ended.
        * h_n: (L*D, B, H) or (L*D, H): the last state of every layer and direction, at
          index layer * D + direction.

        Both are new, of the input's kind: tensors for a tensor.

    Attributes:
        weight_ih_l[k]: (H, I) for k = 0, (H, D*H) above.
        weight_hh_l[k]: (H, H).
        bias_ih_l[k], bias_hh_l[k]: (H,).

        With the suffix ``_reverse`` for the reverse direction.  Each is a live array,
        drawn from U(-k, k) with k = 1 / sqrt(H): the same values as torch's for the
        same seed.

    Raises:
        ShapeError: (a RuntimeError and ValueError) sizes that do not fit, T = 0.
        DTypeError: (a TypeError, ValueError and RuntimeError) a dtype other than the
            parameters'; nothing is converted in silence.
        TypeError: an input that is no array.

    Example:
        >>> rnn = RNN(10, 20, 2)
        >>> output, h_n = rnn(np.zeros((5, 3, 10), np.float32))
        >>> output.shape
        (5, 3, 20)

    Differences from torch: no autograd, so a tensor that needs a gradient is refused;
    output is contiguous also with batch_first; the sizes are read-only; copies share
    nothing; one row's result has the same bits alone and in any batch.
    """

    _ARGUMENTS = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional")
    _LIVE = ("training", "mode", "batch_first", "dropout")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        device=None,
        dtype=None,
        **unsupported,
    ):
        if "_parameters" in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}.__init__() was already called")
        if "proj_size" in unsupported:
            raise ValueError(
                "proj_size argument is only supported for LSTM, not RNN or GRU"
            )
        self._configure(
            input_size,
            hidden_size,
            num_layers,
            nonlinearity,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            **unsupported,
        )
        self.reset_parameters()

    def _configure(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        nonlinearity="tanh",
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        device=None,
        dtype=None,
        **unknown,
    ) -> None:
        """Check everything in torch's order, with torch's words; then build."""
        check_nonlinearity(nonlinearity)
        if unknown:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                f"{next(iter(unknown))!r}"
            )
        check_arguments(input_size, hidden_size, num_layers, bias, batch_first, dropout)
        dtype = parse_dtype(dtype)
        check_device(device)

        self.mode = MODES[nonlinearity]
        self.nonlinearity = nonlinearity
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = 0
        self.training = True
        self._build(dtype)
        self._is_direct = (
            type(self).forward is RNN.forward
            and isinstance(bidirectional, bool)
            and not isinstance(num_layers, bool)
        )

    def _names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _all_weights(self) -> list[list[str]]:
        kinds = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * self.bias
        suffixes = ["", "_reverse"] if self.bidirectional else [""]
        return [
            [f"{kind}_l{layer}{suffix}" for kind in kinds]
            for layer in range(self.num_layers)
            for suffix in suffixes
        ]

    @property
    def all_weights(self) -> list[list[np.ndarray]]:
        """The live arrays, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self) -> list[np.ndarray]:
        return list(self.parameters())

    @property
    def _flat_weights_names(self) -> list[str]:
        return self._names()

    def flatten_parameters(self) -> None:
        """Nothing: the parameters always lie in one block."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    def forward(self, input, hx=None, *, lengths=None):
        """What a call does; see the class for arguments and results."""
        self._check_initialised()
        if packed.is_packed(input):
            if lengths is not None:
                raise TypeError("a packed sequence has its own lengths")
            return packed.forward(self, input, hx)
        x = Operand(input, "input")
        if x.ndim not in (2, 3):
            raise ShapeError(
                f"RNN: Expected input to be 2D or 3D, got {x.ndim}D {x.word} instead"
            )
        h = None if hx is None else Operand(hx, "hx")
        if h is not None and h.ndim != x.ndim:
            case = "batched 3-D" if x.ndim == 3 else "unbatched 2-D"
            raise ShapeError(
                f"For {case} input, hx should also be {x.ndim}-D but got {h.ndim}-D "
                f"{h.word}"
            )
        self._check_input(x)
        batched = x.ndim == 3
        B = x.shape[0 if self.batch_first else 1] if batched else 1
        T = x.shape[1 if batched and self.batch_first else 0]
        self._check_hx(h, B)
        if T == 0:
            raise ShapeError("Expected sequence length to be larger than 0 in RNN")
        self._check_hx_dtype(h)
        if lengths is not None:
            if not batched:
                raise ShapeError("lengths goes with batched 3-D input only")
            lengths = parse_lengths(lengths, B, T)
        return self._compute(x, h, lengths=lengths)

    def _check_input(self, x: Operand) -> None:
        if not x.dtype_is(self._dtype):
            own = x.dtype_name(self._dtype)
            raise DTypeError(
                f"RNN input dtype ({x.dtype_name()}) does not match weight dtype "
                f"({own}). Convert input: input.{x.cast}({own}), or convert model: "
                f"model.to({x.dtype_name()})"
            )
        if x.shape[-1] != self.input_size:
            raise ShapeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {x.shape[-1]}"
            )

    def _check_hx(self, h: Operand | None, B: int) -> None:
        if h is None:
            return
        D = 2 if self.bidirectional else 1
        expected = (self.num_layers * D, B, self.hidden_size)
        got = list(h.shape) if h.ndim != 2 else [h.shape[0], 1, h.shape[1]]
        if got != list(expected):
            raise ShapeError(f"Expected hidden size {expected}, got {got}")

    def _check_hx_dtype(self, h: Operand | None) -> None:
        if h is not None and not h.dtype_is(self._dtype):
            raise DTypeError(
                "mat1 and mat2 must have the same dtype, but got "
                f"{h.dtype_name()} and {h.dtype_name(self._dtype)}"
            )

    def _compute(self, x: Operand, h: Operand | None, order=None, **ragged):
        """Run checked operands; order sorts the rows of the states, if given."""
        if self.mode not in MODES.values():
            raise AssertionError(f"mode must be RNN_TANH or RNN_RELU, got {self.mode}")
        check_type("batch_first", self.batch_first, bool)
        check_type("bidirectional", self.bidirectional, bool)
        if isinstance(self.num_layers, bool):
            raise TypeError("num_layers should be of type int, got: bool")
        masks = None
        if self.training and self.dropout != 0 and self.num_layers > 1:
            width = self.hidden_size * (2 if self.bidirectional else 1)
            masks = random.dropout_masks(
                self.num_layers - 1,
                (*x.shape[:-1], width),
                self._dtype,
                self.dropout,
            )
        check_gradients(self, x, h)
        state = None if h is None else np.ascontiguousarray(h.array(self._dtype))
        if order is not None and state is not None:
            state = state.take(order, axis=1)
        output, h_n = self._run(x.array(self._dtype), state, masks=masks, **ragged)
        if order is not None:
            h_n = h_n.take(np.argsort(order), axis=1)
        return x.like(output), x.like(h_n)
