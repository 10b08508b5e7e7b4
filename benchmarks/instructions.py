"""Instructions that a call executes, counted by callgrind: a guard that needs no clock.

    python benchmarks/instructions.py            counts, and compares with the record
    python benchmarks/instructions.py --record   keeps the counts in instructions.json

Valgrind knows no AVX-512, so the kernels are those of avx2, on one thread. The count of
a case is that of 2 N calls less that of N, over N: Python's part of a call is in it,
what comes before it is not.
"""

import argparse
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import ROOT, Case, spread
from contest import environment

CASES = (
    Case("T1 B1 H64", 1, 1, 64, 64),
    Case("T16 B1 H64", 16, 1, 64, 64),
    Case("relu T16 B8 H128", 16, 8, 128, 128, nonlinearity="relu"),
    Case("3 layers bidirectional T6 B4 I32 H64", 6, 4, 32, 64, 3, True),
    Case("ragged 2 layers T20 B5 I3 H33", 20, 5, 3, 33, 2, lengths=spread(20, 5)),
)
WARM_UP, N = 20, 10
HEADROOM = 1.05  # compilers and versions of Python and NumPy differ a little
RECORD = Path(__file__).with_name("instructions.json")


def call_all():
    """What callgrind watches: N and 2 N calls of each case, each between two marks."""
    import crnn

    gc.disable()
    for case in CASES:
        rnn = crnn.RNN(**case.options).eval()
        x, _, lengths = case.make()
        ragged = {} if lengths is None else {"lengths": lengths}
        for calls in WARM_UP, N, 2 * N:
            os.getppid()  # the mark: callgrind dumps its counts when it is entered
            for _ in range(calls):
                rnn(x, **ragged)
            os.getppid()


def count():
    """{name: instructions of one call}.

    Raises:
        OSError: valgrind is missing or fails.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise OSError("valgrind is not installed")
    child = [sys.executable, str(Path(__file__).resolve()), "--call"]
    settings = {"CRNN_ISA": "avx2", "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        watch = [valgrind, "--tool=callgrind", f"--callgrind-out-file={out}"]
        done = subprocess.run(
            [*watch, "--dump-before=getppid", *child],
            capture_output=True,
            text=True,
            env=environment(1) | settings,
        )
        if done.returncode:
            raise OSError(f"valgrind failed:\n{done.stderr}")
        dumps = len(CASES) * 3 * 2
        totals = [total(out.with_suffix(f".{i}")) for i in range(1, dumps + 1)]
    # Each other dump is of what lies between two marks; the first of a case warms up.
    loops = totals[1::2]
    pairs = zip(loops[1::3], loops[2::3], strict=True)
    return {
        case.name: (twice - once) // N
        for case, (once, twice) in zip(CASES, pairs, strict=True)
    }


def total(dump):
    return int(re.search(r"^totals: (\d+)", dump.read_text(), re.M)[1])


def excesses(counts):
    """A line for each case that executes more than its record allows."""
    record = json.loads(RECORD.read_text())
    return [
        f"{name}: {n:,} instructions, {n / record[name]:.3f} times the record"
        for name, n in counts.items()
        if n > HEADROOM * record[name]
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="keep these counts")
    parser.add_argument("--call", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        call_all()
        return
    counts = count()
    for name, instructions in counts.items():
        print(f"{name:40} {instructions:11,}")
    if options.record:
        RECORD.write_text(json.dumps(counts, indent=1) + "\n")
    elif lines := excesses(counts):
        raise SystemExit("\n".join(lines))


if __name__ == "__main__":
    main()
