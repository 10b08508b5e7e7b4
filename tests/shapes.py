"""Sizes that the tests and the benchmarks share: nothing is timed that is not checked.

T time, B batch, I input, H hidden, L layers; all input is (T, B, I).
"""

from dataclasses import dataclass

import numpy as np

# One below, at and above the widths of vectors and of tiles of rows and columns.
EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)
ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 25)


def draw(*shape, dtype="float32", seed=0):
    """Normal numbers, the same for the same arguments."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@dataclass(frozen=True)
class Case:
    """One forward pass: a network and the sizes of its input."""

    name: str
    T: int
    B: int
    I: int  # noqa: E741
    H: int
    L: int = 1
    bidirectional: bool = False
    nonlinearity: str = "tanh"
    lengths: tuple[int, ...] | None = None

    @property
    def D(self):
        return 2 if self.bidirectional else 1

    @property
    def options(self):
        """Keyword arguments of RNN, crnn's or torch's."""
        return {
            "input_size": self.I,
            "hidden_size": self.H,
            "num_layers": self.L,
            "nonlinearity": self.nonlinearity,
            "bidirectional": self.bidirectional,
        }

    @property
    def flop(self):
        """Floating-point operations of the products: 2 for each multiply-add."""
        steps = self.T * self.B if self.lengths is None else sum(self.lengths)
        inputs = self.I + (self.L - 1) * self.D * self.H
        return 2 * steps * self.D * self.H * (inputs + self.L * self.H)

    def make(self, dtype="float32", seed=0):
        """x (T, B, I), hx (L*D, B, H) and lengths (B) or None."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((self.T, self.B, self.I)).astype(dtype)
        hx = rng.uniform(-1, 1, (self.L * self.D, self.B, self.H)).astype(dtype)
        lengths = None if self.lengths is None else np.array(self.lengths, np.int64)
        return x, hx, lengths


def spread(T, B):
    """B lengths from 1 to T, evenly spaced, in no order."""
    lengths = np.linspace(1, T, B).round().astype(int)
    return tuple(np.random.default_rng(B).permutation(lengths).tolist())


# What benchmarks/README.md times, then the shapes of real clients.
CASES = (
    Case("T1 B1 H64", 1, 1, 64, 64),
    Case("T16 B1 H64", 16, 1, 64, 64),
    Case("T128 B1 H128", 128, 1, 128, 128),
    Case("T128 B1 H256", 128, 1, 256, 256),
    Case("T1000 B1 H256", 1000, 1, 256, 256),
    Case("T128 B1 H1024", 128, 1, 1024, 1024),
    Case("T128 B8 H256", 128, 8, 256, 256),
    Case("T128 B32 H128", 128, 32, 128, 128),
    Case("T128 B32 H256", 128, 32, 256, 256),
    Case("T128 B32 H512", 128, 32, 512, 512),
    Case("T64 B128 H1024", 64, 128, 1024, 1024),
    Case("bidirectional T128 B32 H256", 128, 32, 256, 256, bidirectional=True),
    Case("4 layers T128 B32 H256", 128, 32, 256, 256, 4),
    Case("3 layers bidirectional T6 B4 I128 H256", 6, 4, 128, 256, 3, True),
    Case("relu T128 B32 H256", 128, 32, 256, 256, nonlinearity="relu"),
    Case("ragged T1..256 B32 H256", 256, 32, 256, 256, lengths=spread(256, 32)),
    Case("2 layers bidirectional T100 B8 I6 H32", 100, 8, 6, 32, 2, True),
    Case("2 layers T72 B32 I1 H32", 72, 32, 1, 32, 2),
    Case("2 layers T60 B32 I1 H64", 60, 32, 1, 64, 2),
    Case("relu T100 B16 I3 H64", 100, 16, 3, 64, nonlinearity="relu"),
    Case(
        "ragged 2 layers bidirectional T1..26 B30 I12 H64",
        *(26, 30, 12, 64, 2, True),
        lengths=spread(26, 30),
    ),
    Case("3 layers bidirectional T1000 B1 I266 H25", 1000, 1, 266, 25, 3, True),
    Case("3 layers T1000 B1 I236 H25", 1000, 1, 236, 25, 3),
    Case("2 layers bidirectional T1000 B1 I1 H4", 1000, 1, 1, 4, 2, True),
    Case("3 layers bidirectional T1000 B1 I482 H88", 1000, 1, 482, 88, 3, True),
)
