"""Pullbacks: from the gradients of a loss by a call's results to those by its inputs.

vjp stands for vector-Jacobian product: backpropagation through one call, as a function.
"""

import numpy as np

from ._core import DTypeError, ShapeError
from .operands import Operand


class Pullback:
    """From the gradients by the results of a call to those by its arguments, by name.

    Called as ``pullback(d_output=None, d_h_n=None)``, a cell's as ``pullback(d_h)``,
    with arrays of the shapes and dtype of the results; None is zeros.  Returns a dict:
    "input", "hx" where hx was given, and every parameter under its name.  A gradient
    has the shape of what it belongs to; where the input was a tensor so are "input" and
    "hx".

    It is a pure function of the call: it may be called any number of times, from any
    thread, and later edits of the parameters do not reach it.  The input and hx are
    kept, not copied: leave them as they were until the last pullback.

    Raises:
        ShapeError: a gradient has not the shape of its result.
        DTypeError: nor its dtype.
    """

    def __init__(self, names, tape, call=None):
        self._names = names
        self._tape = tape
        self._call = call  # None: of plain arrays alone

    def __call__(self, *gradients, **by_name):
        if self._call is None and not by_name:
            found = self._tape.gradients(self._names, *gradients)
            if found is not None:
                return found
        found = self._tape.gradients(self._names, *self._arrays(gradients, by_name))
        return found if self._call is None else self._restored(found)

    def _restored(self, found: dict) -> dict:
        """The gradients as what the caller's arguments were."""
        call = self._call
        found["input"] = call.x.like(found["input"])
        if "hx" in found:
            found["hx"] = call.h.like(call.unsorted(found["hx"]))
        return found

    def _arrays(self, gradients, by_name):
        """The incoming gradients as the core reads them, one or None for a result."""
        shapes = self._tape.shapes
        names = ("d_h",) if len(shapes) == 1 else ("d_output", "d_h_n")
        if len(gradients) > len(names):
            raise TypeError(
                f"pullback takes at most {len(names)} gradients, got {len(gradients)}"
            )
        given = dict(zip(names, gradients, strict=False))
        for name, value in by_name.items():
            if name not in names or name in given:
                raise TypeError(f"pullback got an unexpected gradient {name!r}")
            given[name] = value
        arrays = [
            self._array(name, shape, given.get(name))
            for name, shape in zip(names, shapes, strict=True)
        ]
        if self._call is not None and arrays[-1] is not None and len(arrays) == 2:
            arrays[1] = self._call.sorted(arrays[1])
        return arrays

    def _array(self, name, shape, value):
        if value is None:
            return None
        value = getattr(value, "data", value) if self._is_packed(value) else value
        gradient, dtype = Operand(value, name), self._tape.dtype
        if gradient.shape != shape:
            raise ShapeError(f"{name} must have shape {shape}, got {gradient.shape}")
        if not gradient.dtype_is(dtype):
            raise DTypeError(
                f"{name} must be {gradient.dtype_name(dtype)}, got "
                f"{gradient.dtype_name()}"
            )
        return np.ascontiguousarray(gradient.array(dtype))

    def _is_packed(self, value) -> bool:
        return hasattr(value, "batch_sizes")
