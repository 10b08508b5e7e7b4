from typing import Any

import numpy as np
import numpy.typing as npt

class ShapeError(RuntimeError, ValueError): ...
class DTypeError(TypeError, ValueError, RuntimeError): ...

class Network:
    training: bool
    dropout: float
    mode: str
    batch_first: bool
    _is_cell: bool
    _is_direct: bool
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def _allocate(
        self,
        element: int,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        num_directions: int,
        bias: bool,
        /,
    ) -> list[npt.NDArray[np.floating]]: ...
    def _run(
        self,
        x: npt.NDArray[np.floating],
        hx: npt.NDArray[np.floating] | None = None,
        lengths: npt.NDArray[np.int64] | None = None,
        batch_sizes: npt.NDArray[np.int64] | None = None,
        masks: tuple[npt.NDArray[np.floating], ...] | None = None,
    ) -> Any: ...

def isas() -> tuple[str, ...]: ...
def set_isa(name: str, /) -> str: ...
def tanh(x: npt.NDArray[np.floating], /) -> npt.NDArray[np.floating]: ...
def fill_uniform(
    raw: npt.NDArray[np.uint32], k: float, out: npt.NDArray[np.floating], /
) -> None: ...
def fail_allocation(n: int, forever: bool = False) -> None: ...
def allocations() -> int: ...
