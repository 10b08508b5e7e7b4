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
    _most_threads: int
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
    def _borrow(
        self,
        element: int,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        num_directions: int,
        bias: bool,
        arrays: list[npt.NDArray[np.floating]],
        /,
    ) -> None: ...
    def _record_directly(self, x: Any, hx: Any, /) -> Any: ...
    def _record(
        self,
        x: npt.NDArray[np.floating],
        hx: npt.NDArray[np.floating] | None = None,
        lengths: npt.NDArray[np.int64] | None = None,
        batch_sizes: npt.NDArray[np.int64] | None = None,
        masks: tuple[npt.NDArray[np.floating], ...] | None = None,
    ) -> Any: ...

class Tape:
    def pullback(
        self,
        d_output: npt.NDArray[np.floating] | None,
        d_h_n: npt.NDArray[np.floating] | None,
        needs: tuple[bool, ...],
        network: Network | None = None,
        /,
    ) -> list[Any]: ...
    def gradients(
        self,
        names: tuple[str, ...],
        d_output: Any = None,
        d_h_n: Any = None,
        /,
    ) -> dict[str, npt.NDArray[np.floating]] | None: ...
    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]: ...
    @property
    def dtype(self) -> np.dtype[np.floating]: ...

class Stream:
    @property
    def network(self) -> Any: ...
    @property
    def batch_size(self) -> int | None: ...
    @property
    def state(self) -> npt.NDArray[np.floating]: ...
    def step(self, x_t: Any, out: Any = None) -> Any: ...
    def _advance(
        self,
        x_t: npt.NDArray[np.floating],
        out: npt.NDArray[np.floating] | None,
        /,
    ) -> npt.NDArray[np.floating]: ...
    def _allocate(self, network: Network, batch_size: int | None, /) -> None: ...
    def _set_state(
        self,
        h_0: npt.NDArray[np.floating] | None,
        rows: npt.NDArray[np.int64] | None,
        /,
    ) -> None: ...

def isa() -> str: ...
def isas() -> tuple[str, ...]: ...
def set_isa(name: str, /) -> str: ...
def as_array(
    capsule: Any, storage_bytes: int, storage_offset: int, /
) -> npt.NDArray[np.floating]: ...
def tanh(x: npt.NDArray[np.floating], /) -> npt.NDArray[np.floating]: ...
def fill_uniform(
    raw: npt.NDArray[np.uint32], k: float, out: npt.NDArray[np.floating], /
) -> None: ...
def fail_allocation(n: int, forever: bool = False) -> None: ...
def allocations() -> int: ...
def set_num_threads(n: int, /) -> int: ...
def get_num_threads() -> int: ...
def fail_thread(n: int, /) -> None: ...
def assume_cpus(n: int, /) -> None: ...
def cpu_quota(root: str, /) -> int | None: ...
def stop_team() -> bool: ...
def prefer_schedule(name: str, /) -> None: ...
def plan(
    network: Network,
    x: npt.NDArray[np.floating],
    threads: int,
    backward: bool,
    /,
) -> tuple[str, int, int, int, int, bool, float]: ...
def set_main_thread(ident: int, /) -> None: ...
def run_team(n: int, rounds: int, /) -> tuple[tuple[int, int], ...]: ...
