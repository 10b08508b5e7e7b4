"""What stands below and above a recurrent network: an embedding and a readout.

Each has torch's parameters (`Embedding` those of torch.nn.Embedding, `Readout` those of
torch.nn.Linear) and, like `crnn.RNN`, a vjp: a call with its backpropagation.
"""

import math
from operator import index

import numpy as np

from . import random
from ._core import DTypeError, ShapeError
from .activations import ACTIVATIONS
from .module import Parameters
from .operands import Operand, parse_dtype
from .products import product, rowwise_product, summed_product


class Layer(Parameters):
    """A layer without time: parameters of given shapes, made and filled."""

    training = True

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        raise NotImplementedError

    def _names(self) -> list[str]:
        return list(self._shapes())

    def _build(self, dtype: np.dtype) -> None:
        arrays = {n: np.zeros(shape, dtype) for n, shape in self._shapes().items()}
        self.__dict__["_dtype"] = dtype
        self.__dict__["_parameters"] = arrays

    def __call__(self, input):
        return self.forward(input)

    def forward(self, input):
        """What a call does; see the class for argument and result."""
        return self.vjp(input)[0]

    def _check_gradient(self, d_output, shape) -> np.ndarray:
        gradient = Operand(d_output, "d_output")
        if gradient.shape != shape:
            raise ShapeError(f"d_output must have shape {shape}, got {gradient.shape}")
        if not gradient.dtype_is(self._dtype):
            raise DTypeError(
                f"d_output must be {gradient.dtype_name(self._dtype)}, got "
                f"{gradient.dtype_name()}"
            )
        return gradient.array(self._dtype)


def _check_size(name: str, value) -> int:
    size = index(value)
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")
    return size


class Embedding(Layer):
    """A vector for each integer: torch.nn.Embedding on arrays.

    Args:
        num_embeddings: how many integers there are, from 0.
        embedding_dim: features of a vector.
        padding_idx: an integer whose vector begins as zeros and gets no gradient; a
            negative one counts from the end.
        dtype: float32 (the default) or float64.

    Input: integers of any shape in 0 .. num_embeddings - 1: an array, or lists of them.

    Output: the vectors, of the input's shape with embedding_dim at the end; new.

    Attributes:
        weight: (num_embeddings, embedding_dim), a live array, drawn from N(0, 1): equal
            to torch's for the same seed up to rounding.

    Raises:
        IndexError: an integer is out of range.
        DTypeError: (a TypeError, ValueError and RuntimeError) the input is no integers.

    Example:
        >>> embedding = Embedding(100, 8, padding_idx=0)
        >>> embedding(np.array([[1, 2, 3], [4, 5, 0]])).shape
        (2, 3, 8)
    """

    _FIXED = Layer._FIXED | {"num_embeddings", "embedding_dim", "padding_idx"}
    _ARGUMENTS = ("num_embeddings", "embedding_dim", "padding_idx")
    _LIVE = ("training",)

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx=None, *, dtype=None
    ):
        self._configure(num_embeddings, embedding_dim, padding_idx, dtype)
        self.reset_parameters()

    def _configure(self, num_embeddings, embedding_dim, padding_idx, dtype) -> None:
        self.num_embeddings = _check_size("num_embeddings", num_embeddings)
        self.embedding_dim = _check_size("embedding_dim", embedding_dim)
        if padding_idx is not None:
            padding_idx = index(padding_idx)
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError("Padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        self._build(parse_dtype(dtype))

    def _shapes(self):
        return {"weight": (self.num_embeddings, self.embedding_dim)}

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        return text

    def reset_parameters(self) -> None:
        """Draw the vectors from N(0, 1); that of padding_idx is zeros."""
        weight = self._check_initialised()["weight"]
        weight[...] = random.normal(weight.shape, weight.dtype)
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0

    def vjp(self, input):
        """A call that can be backpropagated.

        Returns:
            (output, pullback): pullback(d_output) is {"weight": gradient}, of weight's
            shape; later edits of weight do not reach it.
        """
        weight, ids = self._check_initialised()["weight"], self._ids(input)
        output = weight[ids]

        def pullback(d_output):
            rows = self._check_gradient(d_output, output.shape)
            return {"weight": self._summed(ids.ravel(), rows)}

        return output, pullback

    def _ids(self, input) -> np.ndarray:
        ids = np.asarray(input)
        if ids.dtype.kind not in "iu":
            raise DTypeError(f"an embedding takes integers, got {ids.dtype}")
        for wrong in ids[(ids < 0) | (ids >= self.num_embeddings)][:1]:
            raise IndexError(
                f"index out of range: {wrong} is not in 0 .. {self.num_embeddings - 1}"
            )
        return ids

    def _summed(self, ids, rows) -> np.ndarray:
        """The sum of the rows that belong to each id, in their order."""
        total = np.zeros(self._shapes()["weight"], rows.dtype)
        if len(ids):
            order = np.argsort(ids, kind="stable")
            found, starts = np.unique(ids[order], return_index=True)
            rows = rows.reshape(-1, self.embedding_dim)[order]
            total[found] = np.add.reduceat(rows, starts, axis=0)
        if self.padding_idx is not None:
            total[self.padding_idx] = 0
        return total


class Readout(Layer):
    """The output layer of a recurrent network: torch.nn.Linear and an activation.

        y = act(W_hy h + b_y)

    Args:
        hidden_size: features of the input.
        output_size: features of the output.
        activation: None, "softmax", "sigmoid", "tanh" or "relu".
        bias: whether there is a b_y.
        dtype: float32 (the default) or float64.

    Input: (..., hidden_size), of the kinds that `RNN` takes, of the parameters' dtype.

    Output: (..., output_size), of the input's kind.  One row's output has the same bits
    alone and in any batch.

    Attributes:
        weight: (output_size, hidden_size), a live array.
        bias: (output_size,), or None without bias.

        Both are drawn from U(-k, k) with k = 1 / sqrt(hidden_size): the same values as
        torch's for the same seed.

    Raises:
        ShapeError: (a RuntimeError and ValueError) the last size does not fit.
        DTypeError: (a TypeError, ValueError and RuntimeError) another dtype.

    Example:
        >>> readout = Readout(20, 3, activation="softmax")
        >>> readout(np.zeros((5, 20), np.float32)).sum(axis=1).round(6).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """

    _FIXED = Layer._FIXED | {"hidden_size", "output_size"}
    _ARGUMENTS = ("hidden_size", "output_size", "activation")
    _LIVE = ("training",)

    def __init__(
        self,
        hidden_size: int,
        output_size: int,
        activation: str | None = None,
        bias: bool = True,
        *,
        dtype=None,
    ):
        self._configure(hidden_size, output_size, activation, bias, dtype)
        self.reset_parameters()

    def _configure(self, hidden_size, output_size, activation, bias, dtype) -> None:
        if activation not in ACTIVATIONS:
            names = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"activation must be one of {names}, not {activation!r}")
        self.hidden_size = _check_size("hidden_size", hidden_size)
        self.output_size = _check_size("output_size", output_size)
        self.activation = activation
        self.__dict__["_has_bias"] = bool(bias)
        self._build(parse_dtype(dtype))
        if not bias:
            self.bias = None

    def _shapes(self):
        shapes = {"weight": (self.output_size, self.hidden_size)}
        return shapes | ({"bias": (self.output_size,)} if self._has_bias else {})

    def _arguments(self) -> dict:
        return super()._arguments() | {"bias": self._has_bias}

    def extra_repr(self) -> str:
        text = f"{self.hidden_size}, {self.output_size}"
        if self.activation is not None:
            text += f", activation={self.activation!r}"
        return text if self._has_bias else f"{text}, bias=False"

    def reset_parameters(self) -> None:
        """Draw from U(-k, k), k = 1 / sqrt(hidden_size), as torch.nn.Linear does."""
        # In torch's steps, of which the last digit of k depends.
        gain = math.sqrt(2 / (1 + math.sqrt(5) ** 2))
        k = math.sqrt(3) * (gain / math.sqrt(self.hidden_size))
        for name, array in self._check_initialised().items():
            if name == "bias":
                k = 1 / math.sqrt(self.hidden_size)
            array[...] = random.uniform_within(array.shape, array.dtype, k)

    def vjp(self, input):
        """A call that can be backpropagated.

        Returns:
            (output, pullback): pullback(d_output) is a dict of the gradients: "input",
            "weight" and, where there is one, "bias".  The input and the output are
            kept, not copied; later edits of the parameters do not reach it.
        """
        weight, operand = self._check_initialised()["weight"], Operand(input, "input")
        self._check_input(operand)
        x = operand.array(self._dtype)
        rows = x.reshape(-1, self.hidden_size)
        y = rowwise_product(rows, weight)
        if self._has_bias:
            y = y + self.bias
        activate, gradient = ACTIVATIONS[self.activation]
        y = activate(y).astype(self._dtype, copy=False)
        shape = (*x.shape[:-1], self.output_size)
        weight = weight.copy()

        def pullback(d_output):
            d_y = self._check_gradient(d_output, shape)
            d_a = gradient(y, d_y.reshape(y.shape))
            d_x = operand.like(product(d_a, weight).reshape(x.shape))
            gradients = {"input": d_x, "weight": summed_product(d_a, rows)}
            return gradients | ({"bias": d_a.sum(axis=0)} if self._has_bias else {})

        return operand.like(y.reshape(shape)), pullback

    def _check_input(self, x: Operand) -> None:
        if x.ndim < 1 or x.shape[-1] != self.hidden_size:
            raise ShapeError(
                f"input must have shape (..., {self.hidden_size}), got {x.shape}"
            )
        if not x.dtype_is(self._dtype):
            raise DTypeError(
                f"input must be {x.dtype_name(self._dtype)}, got {x.dtype_name()}"
            )
