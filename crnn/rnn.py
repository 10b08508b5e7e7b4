"""crnn.RNN: torch.nn.RNN on arrays."""

import numpy as np

from .arguments import check_arguments, check_nonlinearity
from .call import Call
from .convert import RNNConversions
from .module import MODES, Module
from .operands import check_device, parse_dtype
from .stream import Stream
from .vjp import Pullback


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
        return Call(self, input, hx, lengths).run()

    def stream(self, batch_size: int | None = None) -> Stream:
        """A `Stream` of this network: its input comes step by step.

        Args:
            batch_size: how many sequences go on side by side, or None for one.

        Raises:
            ValueError: the network is bidirectional, or batch_size negative.

        Example:
            >>> rnn = RNN(10, 20)
            >>> stream = rnn.stream()
            >>> stream.step(np.zeros(10, np.float32)).shape
            (20,)
        """
        return Stream(self, batch_size)

    def vjp(self, input, hx=None, *, lengths=None):
        """A call that can be backpropagated.

        Args:
            input, hx, lengths: as of a call.

        Returns:
            (output, h_n, pullback): the results of the call, and a `Pullback`, a
            function from their gradients to those of input, hx and the parameters.
            As long as it lives the states of all layers are kept, T * B * D*H numbers
            each; while it runs it takes, beside its results, as many between the
            layers, of two layers once and of more twice, and the matrices again.

        Example:
            >>> rnn = RNN(10, 20)
            >>> output, h_n, pullback = rnn.vjp(np.ones((5, 3, 10), np.float32))
            >>> gradients = pullback(np.ones_like(output))
            >>> gradients["weight_ih_l0"].shape, gradients["input"].shape
            ((20, 10), (5, 3, 10))
        """
        names = tuple(self._check_initialised())
        if lengths is None:
            results = self._record_directly(input, hx)
            if results is not None:
                output, h_n, tape = results
                return output, h_n, Pullback(names, tape)
        call = Call(self, input, hx, lengths)
        output, h_n, tape = call.record()
        return output, h_n, Pullback(names, tape, call)
