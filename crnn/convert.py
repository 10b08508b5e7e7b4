"""Networks out of state dicts and torch modules, and torch modules out of networks.

Mixins of RNN and RNNCell.
"""

import importlib
import sys
from collections.abc import Mapping
from typing import Any, Self

from .state_dict import (
    check_mapping,
    common_dtype,
    infer_bias,
    infer_sizes,
    infer_suffixes,
    match,
    shapes_of,
)

NONLINEARITIES = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}


class Conversions:
    """What the two kinds of network have in common."""

    _KIND = ""  # torch's name of the class

    @staticmethod
    def _options_of(module) -> dict[str, Any]:
        """The arguments that make a network like module, which is crnn's or torch's."""
        raise NotImplementedError

    @staticmethod
    def _suffixes(options: Mapping) -> list[list[str]]:
        """How the parameters' names end, for each layer and direction."""
        raise NotImplementedError

    @classmethod
    def _from_values(cls, state_dict: Mapping, prefix: str, **options) -> Self:
        """A network that takes exactly the values under prefix; nothing is drawn."""
        suffixes = cls._suffixes(options)
        sizes = options["input_size"], options["hidden_size"]
        shapes = shapes_of(*sizes, suffixes, options["bias"])
        values, _ = match(cls.__name__, shapes, state_dict, prefix)
        net = cls.__new__(cls)
        net._configure(**options, dtype=common_dtype(values))
        for name, value in values.items():
            setattr(net, name, value)
        return net

    @classmethod
    def from_torch(cls, module) -> Self:
        """A network with the options and a copy of the weights of a torch module.

        Weights behind weight_norm or a parametrization count as their present values;
        float16 and bfloat16 become float32.

        Args:
            module: a torch.nn.RNN for RNN, a torch.nn.RNNCell for RNNCell, or of a
                class derived from it; on any device.

        Raises:
            TypeError: module is something else.
            ShapeError: (a RuntimeError and ValueError) a parameter has no real floats.
            DTypeError: (a TypeError and ValueError) some are float32, some float64.
        """
        torch_nn = sys.modules.get("torch.nn")
        kind = getattr(torch_nn, cls._KIND, ())
        if not isinstance(module, kind):
            raise TypeError(
                f"from_torch takes a torch.nn.{cls._KIND}, not {type(module).__name__}"
            )
        options = cls._options_of(module)
        names = shapes_of(0, 0, cls._suffixes(options), options["bias"])
        values = {name: getattr(module, name) for name in names}
        return cls._from_values(values, "", **options).train(module.training)

    def to_torch(self):
        """A torch module with the options and a copy of the weights of this network.

        A torch.nn.RNN for an RNN, a torch.nn.RNNCell for an RNNCell.  Nothing is drawn
        from torch's random generator.

        Raises:
            ImportError: torch is not installed.
        """
        parameters = self._check_initialised()
        # Not by an import statement: crnn itself does without torch.
        try:
            torch = importlib.import_module("torch")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "to_torch needs torch: pip install crnn[torch]", name=error.name
            ) from error
        kind = getattr(torch.nn, self._KIND)
        dtype = getattr(torch, self._dtype.name)
        options = self._options_of(self)
        module = kind(**options, dtype=dtype, device="meta").to_empty(device="cpu")
        module.load_state_dict({n: torch.from_numpy(a) for n, a in parameters.items()})
        return module.train(self.training)


class RNNConversions(Conversions):
    """The conversions of RNN."""

    _KIND = "RNN"

    @staticmethod
    def _options_of(module) -> dict[str, Any]:
        return {
            "input_size": module.input_size,
            "hidden_size": module.hidden_size,
            "num_layers": module.num_layers,
            "nonlinearity": NONLINEARITIES[module.mode],
            "bias": module.bias,
            "batch_first": module.batch_first,
            "dropout": module.dropout,
            "bidirectional": module.bidirectional,
        }

    @staticmethod
    def _suffixes(options: Mapping) -> list[list[str]]:
        directions = ["", "_reverse"] if options["bidirectional"] else [""]
        layers = range(options["num_layers"])
        return [[f"_l{layer}{end}" for end in directions] for layer in layers]

    @classmethod
    def from_state_dict(
        cls,
        state_dict: Mapping,
        prefix: str = "",
        *,
        nonlinearity: str = "tanh",
        batch_first: bool = False,
        dropout: float = 0.0,
    ) -> Self:
        """A network with the weights of a state dict, which also tell its sizes.

        The names and shapes tell input_size, hidden_size, num_layers, bidirectional and
        bias; the dtype is the values', or float32 for float16.  What they cannot tell
        is asked for.  A subclass is made without a call of its ``__init__``.

        Args:
            state_dict: from torch's names to arrays or tensors: of `crnn.load`, or of a
                torch module's state_dict().
            prefix: what stands before ``weight_ih_l0`` in the names, such as
                "encoder.rnn."; names without it are left alone.
            nonlinearity, batch_first, dropout: as for the constructor.

        Raises:
            ShapeError: (a RuntimeError and ValueError) names are missing or unexpected,
                or shapes do not fit; it lists them all.
            DTypeError: (a TypeError and ValueError) float32 and float64 are mixed.
            TypeError: state_dict is no mapping.

        Example:
            >>> net = RNN(3, 5, num_layers=2, bidirectional=True)
            >>> RNN.from_state_dict(net.state_dict())
            RNN(3, 5, num_layers=2, bidirectional=True)
        """
        check_mapping(state_dict)
        suffixes = infer_suffixes(state_dict, prefix)
        sizes = infer_sizes(cls.__name__, state_dict, prefix, "_l0")
        return cls._from_values(
            state_dict,
            prefix,
            input_size=sizes[0],
            hidden_size=sizes[1],
            num_layers=len(suffixes),
            nonlinearity=nonlinearity,
            bias=infer_bias(state_dict, prefix),
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=len(suffixes[0]) == 2,
        )


class CellConversions(Conversions):
    """The conversions of RNNCell."""

    _KIND = "RNNCell"

    @staticmethod
    def _options_of(module) -> dict[str, Any]:
        names = "input_size", "hidden_size", "bias", "nonlinearity"
        return {name: getattr(module, name) for name in names}

    @staticmethod
    def _suffixes(options: Mapping) -> list[list[str]]:
        return [[""]]

    @classmethod
    def from_state_dict(
        cls, state_dict: Mapping, prefix: str = "", *, nonlinearity: str = "tanh"
    ) -> Self:
        """A cell with the weights of a state dict, which also tell its sizes.

        Args:
            state_dict: from torch's names to arrays or tensors: of `crnn.load`, or of a
                torch module's state_dict().
            prefix: what stands before ``weight_ih`` in the names, such as "cell.";
                names without it are left alone.
            nonlinearity: as for the constructor.

        Raises:
            As `RNN.from_state_dict`.
        """
        check_mapping(state_dict)
        sizes = infer_sizes(cls.__name__, state_dict, prefix, "")
        return cls._from_values(
            state_dict,
            prefix,
            input_size=sizes[0],
            hidden_size=sizes[1],
            bias=infer_bias(state_dict, prefix),
            nonlinearity=nonlinearity,
        )
