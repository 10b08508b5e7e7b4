"""Arrays against unreadable pages: one read beyond them kills the process.

As a program, ``guarded.py ISA DTYPE``, it makes calls of many sizes on such arrays.
"""

import ctypes
import itertools
import mmap
import sys

import numpy as np

PAGE = mmap.PAGESIZE
PROT_NONE = 0


class Guarded:
    """A copy of an array, with its last or its first byte at an unreadable page."""

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        self.maps = []

    def place(self, a, where):
        """A C-contiguous copy of a, at the end or the start of its memory."""
        size = (a.nbytes // PAGE + 1) * PAGE
        memory = mmap.mmap(-1, size + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for address in start, start + PAGE + size:
            if self.libc.mprotect(address, PAGE, PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")
        offset = PAGE + (size - a.nbytes if where == "end" else 0)
        copy = np.ndarray(a.shape, a.dtype, memory, offset)
        copy[...] = a
        self.maps.append(memory)
        return copy

    def variants(self, a):
        """Arrays equal to a in layouts that reach the edge from all sides."""
        backwards = (slice(None, None, -1),) * a.ndim
        for where in "end", "start":
            yield self.place(a, where)
            yield self.place(a[backwards], where)[backwards]
            yield self.place(a.T, where).T
        spread = np.repeat(a, 3, -1)
        yield self.place(spread[..., 2:], "end")[..., ::3]
        yield self.place(spread, "start")[..., ::3]


def same(results, expected):
    if isinstance(results, np.ndarray):
        results, expected = (results,), (expected,)
    pairs = zip(results, expected, strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def check(net, x, h0, lengths=None):
    guard, options = Guarded(), {}
    expected = net(x, h0), net(x)
    for gx, gh0 in zip(guard.variants(x), guard.variants(h0), strict=True):
        assert same(net(gx, gh0), expected[0]) and same(net(gx), expected[1])
    if lengths is not None:
        expected = net(x, h0, lengths=lengths)
        for gx, gh0 in zip(guard.variants(x), guard.variants(h0), strict=True):
            options["lengths"] = guard.place(lengths, "end")
            assert same(net(gx, gh0, **options), expected)


def check_stream(net, x):
    """One step, with and without an array for the result."""
    guard, expected = Guarded(), net(x[None])[0][0]
    for gx in guard.variants(x):
        stream = net.stream(len(x))
        assert same(stream.step(gx), expected)
        for where in "end", "start":
            out = guard.place(np.zeros_like(expected), where)
            stream.reset()
            assert same(stream.step(gx, out), expected)


def main(isa, dtype):
    import crnn

    crnn._core.set_isa(isa)
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    hidden_sizes, row_counts = (1, 7, 8, 9, 16, 17, 33, 64, 65), (1, 2, 5, 8, 9)
    for hidden, rows in itertools.product(hidden_sizes, row_counts):
        inputs, steps = (1, 3, 8, 17)[rows % 4], (1, 3)[hidden % 2]
        print("I", inputs, "H", hidden, "B", rows, "T", steps, flush=True)
        lengths = rng.integers(1, steps, rows, endpoint=True)
        for layers, directions in (1, 1), (2, 2):
            net = crnn.RNN(
                inputs, hidden, layers, bidirectional=directions == 2, dtype=dtype
            )
            h0 = draw(layers * directions, rows, hidden)
            check(net, draw(steps, rows, inputs), h0, lengths)
            check(net, draw(steps, inputs), h0[:, 0])
        check_stream(crnn.RNN(inputs, hidden, 2, dtype=dtype), draw(rows, inputs))
        cell = crnn.RNNCell(inputs, hidden, dtype=dtype)
        check(cell, draw(rows, inputs), draw(rows, hidden))
        check(cell, draw(inputs), draw(hidden))
    guard = Guarded()
    for n in range(1, 70):
        a = draw(n)
        assert same(crnn._core.tanh(guard.place(a, "end")), crnn._core.tanh(a))
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
