"""The arguments of a network's constructor: torch's checks, order and words."""

import numbers
import warnings
from operator import index

from .module import MODES


def check_type(name: str, value, kind: type) -> None:
    """TypeError unless value is of this kind."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} should be of type {kind.__name__}, got: {type(value).__name__}"
        )


def check_nonlinearity(nonlinearity) -> None:
    """ValueError unless it is "tanh" or "relu"."""
    if not isinstance(nonlinearity, str) or nonlinearity not in MODES:
        raise ValueError(
            f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
        )


def check_arguments(
    input_size, hidden_size, num_layers, bias, batch_first, dropout
) -> None:
    """Raise for the first argument, in torch's order, that cannot make a network."""
    check_dropout(dropout, num_layers)
    check_type("bias", bias, bool)
    check_type("batch_first", batch_first, bool)
    check_type("input_size", input_size, int)
    if input_size <= 0:
        raise ValueError("input_size must be greater than zero")
    check_type("hidden_size", hidden_size, int)
    if hidden_size <= 0:
        raise ValueError("hidden_size must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    index(num_layers)
    if isinstance(hidden_size, bool):
        raise TypeError("hidden_size should be of type int, got: bool")


def check_dropout(dropout, num_layers) -> None:
    """Refuse what is no probability; warn of one that has no effect."""
    float(dropout)
    if (
        not isinstance(dropout, numbers.Number)
        or isinstance(dropout, bool)
        or not 0 <= dropout <= 1
    ):
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the "
            "probability of an element being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so "
            "non-zero dropout expects num_layers greater than 1, but got "
            f"dropout={dropout} and num_layers={num_layers}",
            stacklevel=5,
        )
