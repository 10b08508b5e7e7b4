"""What this machine allows: its measured peaks, and the least time of a case.

python benchmarks/limits.py [CORES]
"""

import ctypes
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from native import library

LEVELS = ("L1", "L2", "L3", "DRAM")
DEFAULT_SIZES = (32 << 10, 512 << 10, 8 << 20)
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Machine:
    """One core, as many others may be at work as when it was measured: flop/s of fused
    multiply-adds; sizes in bytes of L1 to L3, and the bytes/s read from each of them
    and from DRAM."""

    peak: float
    sizes: tuple[int, ...]
    rates: tuple[float, ...]

    def level(self, size):
        """The index of the smallest memory that holds so many bytes and has room."""
        return sum(size >= own for own in self.sizes)

    def limit(self, case, threads=1):
        """The seconds that a case takes at least on so many cores.

        A step multiplies B rows by W_hh and reads W_hh once, of which each core holds
        its share; before the steps all inputs meet W_ih in one product.  Bounds are
        those of float32 and of a network whose layers run one after the other.
        """
        weights = 4 * case.H**2 / threads
        level = self.level(weights)
        cores = threads if LEVELS[level] != "DRAM" else 1
        reading = weights * threads / (self.rates[level] * cores)
        multiplying = 2 * rows(case) * case.H**2 / (self.peak * threads)
        steps = case.L * case.D * np.maximum(multiplying, reading).sum()
        recurrent = 2 * case.L * case.D * case.H**2 * rows(case).sum()
        return steps + (case.flop - recurrent) / (self.peak * threads)

    def training_limit(self, case, threads=1):
        """The same for a forward and a backward pass.

        Back through time a step multiplies by W_hh and reads it as forward, and inputs
        take as much as their projection; gradients of parameters meet no such bound.
        """
        return 2 * self.limit(case, threads) + case.flop / (self.peak * threads)

    def __str__(self):
        rates = zip(LEVELS, self.rates, strict=True)
        return f"FMA {self.peak / 1e9:.0f} GF/s, read GB/s " + ", ".join(
            f"{name} {rate / 1e9:.0f}" for name, rate in rates
        )


def rows(case):
    """The rows that take part in each step, (T,)."""
    if case.lengths is None:
        return np.full(case.T, case.B)
    return (np.arange(case.T)[:, None] < np.array(case.lengths)).sum(axis=1)


def cache_sizes():
    """Bytes of L1 to L3, as Linux tells them; usual ones where it does not."""
    sizes = dict(zip("123", DEFAULT_SIZES, strict=True))
    for cache in CACHES.glob("index*"):
        if (cache / "type").read_text().strip() != "Instruction":
            kib = (cache / "size").read_text().strip().removesuffix("K")
            sizes[(cache / "level").read_text().strip()] = int(kib) << 10
    return tuple(sizes[level] for level in "123")


def peaks():
    """The functions of peak.c."""
    lib = library(Path(__file__).with_name("peak.c"), "-ffp-contract=fast")
    lib.peak_flops.restype = lib.read_rate.restype = ctypes.c_double
    lib.peak_flops.argtypes = [ctypes.c_double]
    lib.read_rate.argtypes = [ctypes.c_size_t, ctypes.c_double]
    return lib


def block_rates(hidden_sizes, seconds=0.1):
    """Bytes/s at which blocks are read that are as large as W_hh of these sizes."""
    lib = peaks()
    return [lib.read_rate(4 * H * H, seconds) for H in hidden_sizes]


def in_company(rate, seconds, cores):
    """What rate(seconds) gives while as many cores in all are at the same."""
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(cores - 1):
            pool.submit(rate, 3 * seconds)
        if cores > 1:
            time.sleep(seconds)
        return rate(seconds)


def measure(seconds=0.1, cores=1):
    """The Machine where so many cores work at once, each of its numbers the best of
    trials over so many seconds."""
    lib, sizes = peaks(), cache_sizes()
    # Half of a level, so that nothing else drives the block out; DRAM: far from cached.
    blocks = [size // 2 for size in sizes] + [max(4 * sizes[-1], 64 << 20)]
    rates = tuple(
        in_company(partial(lib.read_rate, block), seconds, cores) for block in blocks
    )
    return Machine(in_company(lib.peak_flops, seconds, cores), sizes, rates)


if __name__ == "__main__":
    print(measure(cores=int(sys.argv[1]) if len(sys.argv) > 1 else 1))
