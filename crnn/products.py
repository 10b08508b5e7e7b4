"""Products of matrices for a readout: by BLAS, in pieces too small for its threads.

NumPy's BLAS starts threads for what is not tiny and waits for them: on a machine with
other work that takes a hundred times the product itself, and a result may depend on how
many there are.  The pieces have fixed sizes, so results do not.
"""

import numpy as np

# Multiplications up to which OpenBLAS stays on the caller's thread.
VECTOR_LIMIT = 2304 * 4 - 1
MATRIX_LIMIT = 65536 * 4


def rowwise_product(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x @ weight.T of (N, K) and (M, K), where no row's bits depend on the others.

    One product for each row: what BLAS does to a row of a larger product depends on
    where in it the row is.
    """
    N, K = x.shape
    M = len(weight)
    step = max(1, VECTOR_LIMIT // K)
    if step >= M:
        return (x[:, None, :] @ weight.T)[:, 0]
    y = np.empty((N, M), x.dtype)
    for first in range(0, M, step):
        part = slice(first, first + step)
        y[:, part] = (x[:, None, :] @ weight[part].T)[:, 0]
    return y


def product(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """x @ matrix of (N, K) and (K, M)."""
    rows = _rows_at_a_time(len(x), matrix.size)
    whole = len(x) - len(x) % rows
    y = np.empty((len(x), matrix.shape[1]), x.dtype)
    blocks = np.ascontiguousarray(x[:whole]).reshape(-1, rows, x.shape[1])
    np.matmul(blocks, matrix, out=y[:whole].reshape(len(blocks), rows, y.shape[1]))
    np.matmul(x[whole:], matrix, out=y[whole:])
    return y


def summed_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a.T @ b of (N, K) and (N, M): the sum over the rows."""
    rows = _rows_at_a_time(len(a), a.shape[1] * b.shape[1])
    whole = len(a) - len(a) % rows
    total = a[whole:].T @ b[whole:]
    for first in range(0, whole, rows):
        part = slice(first, first + rows)
        total += a[part].T @ b[part]
    return total


def _rows_at_a_time(N: int, work: int) -> int:
    """How many rows of so much work each; all where BLAS's threads pay."""
    return MATRIX_LIMIT // work if 16 * work <= MATRIX_LIMIT else max(N, 1)
