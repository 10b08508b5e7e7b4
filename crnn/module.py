"""What networks and layers share: parameters that are live arrays, and their state.

The surface is that of torch.nn.Module as far as arrays allow it.
"""

import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import numpy as np

from . import random
from ._core import Network, ShapeError
from .operands import DTYPES, as_values, check_device, is_torch, parse_dtype
from .state_dict import _IncompatibleKeys, check_mapping, match
from .team import register_threadpoolctl

MODES = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}


class ReadOnlyError(AttributeError, RuntimeError):
    """The attribute is fixed when the network is made.

    An AttributeError, and also a RuntimeError, which torch raises at the next call.
    """


class Parameters:
    """A layer with named parameters.

    Each parameter is a NumPy array: an edit in place is seen by the next call.
    Assigning to a parameter's name copies the values into its array.
    """

    # Attributes that say what the parameters are: fixed once they exist.
    _FIXED = frozenset({"_parameters", "_dtype"})

    def _names(self) -> list[str]:
        """Names of the parameters in torch's order."""
        raise NotImplementedError

    def _configure(self, *args, **kwargs) -> None:
        """Check the constructor's arguments, set the attributes and build."""
        raise NotImplementedError

    def _build(self, dtype: np.dtype) -> None:
        """Make the parameters, uninitialised, that the attributes ask for."""
        raise NotImplementedError

    def _check_initialised(self) -> dict[str, np.ndarray]:
        try:
            return self.__dict__["_parameters"]
        except KeyError:
            raise RuntimeError(
                f"{type(self).__name__}.__init__() was not called"
            ) from None

    def __getattr__(self, name: str):
        parameters = self.__dict__.get("_parameters", {})
        if name in parameters:
            return parameters[name]
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}",
            name=name,
            obj=self,
        )

    def __setattr__(self, name: str, value) -> None:
        parameters = self.__dict__.get("_parameters", {})
        if name in parameters:
            array = as_values(value, name)
            if array.shape != parameters[name].shape:
                raise ShapeError(
                    f"{name} must have shape {parameters[name].shape}, not "
                    f"{array.shape}"
                )
            parameters[name][...] = array
        elif name in self._FIXED and parameters:
            raise ReadOnlyError(
                f"{name} cannot be changed: the parameters depend on it; "
                f"make a new {type(self).__name__}"
            )
        else:
            super().__setattr__(name, value)
            if name == "forward":
                self._is_direct = False

    def __delattr__(self, name: str) -> None:
        if name in self._FIXED or name in self.__dict__.get("_parameters", {}):
            raise ReadOnlyError(f"{name} cannot be deleted")
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.__dict__.get("_parameters", {})]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The part of the repr between the parentheses."""
        raise NotImplementedError

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
        """Pairs of name and live array, in torch's order."""
        prefix = f"{prefix}." if prefix else ""
        for name, array in self._check_initialised().items():
            yield prefix + name, array

    def parameters(self) -> Iterator[np.ndarray]:
        """The live arrays, in torch's order."""
        yield from self._check_initialised().values()

    def state_dict(self, prefix: str = "") -> OrderedDict[str, np.ndarray]:
        """The live arrays under torch's names; prefix is put before each name."""
        return OrderedDict(
            (prefix + name, array) for name, array in self._check_initialised().items()
        )

    def load_state_dict(
        self, state_dict: Mapping, strict: bool = True, prefix: str = ""
    ) -> _IncompatibleKeys:
        """Copy parameters from arrays or torch tensors of any strides.

        Args:
            state_dict: from torch's names to values; float16, float32 and float64
                are converted to the parameters' dtype.
            strict: whether missing and unexpected names are errors.
            prefix: what stands before each name; other names are then left alone.

        Returns:
            A named tuple of the missing and the unexpected keys.

        Raises:
            ShapeError: (a RuntimeError) a name is missing or unexpected, or a shape or
                dtype does not fit; it lists them all, and nothing has been copied.
            TypeError: state_dict is no mapping.
        """
        check_mapping(state_dict)
        parameters = self._check_initialised()
        shapes = {name: array.shape for name, array in parameters.items()}
        kind = type(self).__name__
        values, incompatible = match(kind, shapes, state_dict, prefix, strict)
        for name, value in values.items():
            parameters[name][...] = value
        return incompatible

    def train(self, mode: bool = True):
        """Let dropout act (or not); returns self."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        return self

    def eval(self):
        """Let dropout rest; returns self."""
        return self.train(False)

    def float(self):
        """Make the parameters float32; returns self."""
        return self.to(DTYPES["float32"])

    def double(self):
        """Make the parameters float64; returns self."""
        return self.to(DTYPES["float64"])

    def cpu(self):
        """Nothing: crnn computes on the CPU; returns self."""
        return self

    def to(self, *args, device=None, dtype=None):
        """Convert the parameters to a dtype; returns self.

        Takes what torch's ``to`` takes: a dtype, the device "cpu", both, or an array or
        tensor whose dtype counts.  A new dtype makes new parameter arrays.

        Raises:
            DTypeError: the dtype is neither float32 nor float64.
            RuntimeError: the device is not the CPU.
        """
        for arg in args:
            if isinstance(arg, np.ndarray) or is_torch(arg, "Tensor"):
                dtype = arg.dtype
            elif is_torch(arg, "device") or str(arg).partition(":")[0] in _DEVICES:
                device = arg
            elif arg is not None and not isinstance(arg, bool):
                dtype = arg
        check_device(device)
        old = self._check_initialised()
        if dtype is not None and (dtype := parse_dtype(dtype)) != self._dtype:
            self._build(dtype)
            for name, array in self.__dict__["_parameters"].items():
                array[...] = old[name]
        return self

    # Arguments that a copy is made with, and attributes that it takes over.
    _ARGUMENTS: tuple[str, ...] = ()
    _LIVE: tuple[str, ...] = ()

    def _arguments(self) -> dict:
        return {name: getattr(self, name) for name in self._ARGUMENTS}

    def __getstate__(self) -> dict:
        parameters = self._check_initialised()
        attributes = {k: v for k, v in self.__dict__.items() if k not in self._FIXED}
        attributes |= {name: getattr(self, name) for name in self._LIVE}
        return {
            "arguments": self._arguments(),
            "dtype": self._dtype.name,
            "attributes": attributes,
            "parameters": {name: array.copy("A") for name, array in parameters.items()},
        }

    def __setstate__(self, state: dict) -> None:
        """Take over a state; ValueError, and nothing changed, if it is none."""
        if "_parameters" in self.__dict__:
            raise RuntimeError(f"{type(self).__name__} already has parameters")
        try:
            type(self).__new__(type(self))._restore(**state)
        except (
            *(LookupError, TypeError, AttributeError, ArithmeticError),
            *(ValueError, RuntimeError),
        ) as error:
            raise ValueError(
                f"this is no state of a {type(self).__name__}: {error}"
            ) from error
        self._restore(**state)

    def _restore(self, arguments, dtype, attributes, parameters) -> None:
        self._configure(**arguments, dtype=dtype)
        Parameters.load_state_dict(self, parameters)
        for name, value in attributes.items():
            setattr(self, name, value)


class Module(Parameters, Network):
    """A network with named parameters.

    Each parameter is a NumPy array over the memory that the kernels read: an edit in
    place is seen by the next call.  Matrices are Fortran-ordered.  Assigning to a
    parameter's name copies the values into its array.
    """

    _FIXED = Parameters._FIXED | {
        *("input_size", "hidden_size", "num_layers"),
        *("bias", "bidirectional", "proj_size"),
    }

    # A cell has neither.
    num_layers = 1
    bidirectional = False

    def _build(self, dtype: np.dtype) -> None:
        """Make the parameters, uninitialised, that the attributes ask for."""
        sizes = (self.input_size, self.hidden_size, self.num_layers)
        if max(sizes) > sys.maxsize // 8:
            raise OverflowError(f"sizes {sizes} are too large to address")
        num_directions = 2 if self.bidirectional else 1
        register_threadpoolctl()  # once it has been imported
        arrays = self._allocate(dtype.itemsize, *sizes, num_directions, bool(self.bias))
        self.__dict__["_dtype"] = dtype
        self.__dict__["_parameters"] = dict(zip(self._names(), arrays, strict=True))

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-k, k), k = 1 / sqrt(hidden_size)."""
        for array in self._check_initialised().values():
            array[...] = random.uniform(array.shape, array.dtype, self.hidden_size)


_DEVICES = {"cpu", "cuda", "mps", "meta", "xpu", "hip"}
