"""What crnn costs beside time: import, disk, memory; torch and NumPy beside it.

    python benchmarks/footprint.py

Each number is taken in a fresh process; times are the least of several.
"""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from cases import ROOT
from contest import environment
from tables import markdown_table

ROUNDS = 5
PACKAGES = ("numpy", "crnn", "torch", "onnxruntime", "openvino")
MIB = 2**20

IMPORT = """
import time
start = time.perf_counter()
import {package}
print(time.perf_counter() - start)
"""

# The most memory that the process has had, in bytes; RSS of a parent does not count.
PEAK = """
import re
def peak():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1]) * 1024
"""

FORWARD = {
    "numpy": """
import numpy as np
np.ones((128, 32, 256), np.float32)
""",
    "crnn": """
import crnn, numpy as np
crnn.RNN(256, 256)(np.ones((128, 32, 256), np.float32))
""",
    "torch": """
import torch
with torch.inference_mode():
    torch.nn.RNN(256, 256)(torch.ones(128, 32, 256))
""",
}

# Two layers over T steps of 8 rows: bytes beyond the input and the two outputs.
BEYOND = """
import crnn, numpy as np
x = np.ones(({T}, 8, 64), np.float32)
rnn = crnn.RNN(64, 64, 2, bidirectional={bidirectional})
rnn(x[:1])
before = peak()
output, h_n = rnn(x)
print(peak() - before - output.nbytes - h_n.nbytes)
"""
LENGTHS = (1000, 10_000, 100_000)


def fresh(code):
    """The number that this code prints, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment(1) | {"PYTHONPATH": str(ROOT)},
    )
    return json.loads(done.stdout)


def installed(package):
    """Bytes of a package's own files, without those that it depends on."""
    folder = Path(importlib.util.find_spec(package).origin).parent
    if package == "crnn":  # may be a checkout, which its distribution does not list
        kinds = {".py", ".pyi", ".typed", ".so", ".npz", ".md"}
        files = [file for file in folder.rglob("*") if file.suffix in kinds]
    else:
        listed = importlib.metadata.files(package) or []
        files = [Path(file.locate()) for file in listed]
    return sum(file.stat().st_size for file in files if file.is_file())


def measure():
    """{imports: {package: s}, installed: {package: bytes}, peaks: {engine: bytes},
    beyond: [[T, bytes in one direction, bytes in two]]}; the last two on Linux only."""
    packages = [p for p in PACKAGES if importlib.util.find_spec(p)]
    times = {package: [] for package in packages}
    for _ in range(ROUNDS):
        for package in packages:
            times[package].append(fresh(IMPORT.format(package=package)))
    found = {
        "imports": {package: min(own) for package, own in times.items()},
        "installed": {package: installed(package) for package in packages},
    }
    if sys.platform != "linux":
        return found
    found["peaks"] = {
        name: fresh(PEAK + code + "print(peak())")
        for name, code in FORWARD.items()
        if name in packages
    }
    found["beyond"] = [
        [T] + [fresh(PEAK + BEYOND.format(T=T, bidirectional=d)) for d in (False, True)]
        for T in LENGTHS
    ]
    return found


def tables(found):
    """All of it in Markdown."""
    peaks = found.get("peaks", {})

    def mib(size):
        return "-" if size is None else f"{size / MIB:,.1f}"

    packages = markdown_table(
        ["package", "import, s", "installed, MiB", "peak of one forward, MiB"],
        [
            [name, f"{s:.3f}", mib(found["installed"][name]), mib(peaks.get(name))]
            for name, s in found["imports"].items()
        ],
    )
    text = (
        "Import alone, in a fresh process (crnn's and torch's include NumPy's); the "
        "package's own files; the memory of a process that imports and runs T128 B32 "
        f"H256 once (NumPy's only makes the input):\n\n{packages}"
    )
    if "beyond" not in found:
        return text
    beyond = markdown_table(
        ["T", "one direction, MiB", "two, MiB"],
        [[f"{T:,}", mib(one), mib(two)] for T, one, two in found["beyond"]],
    )
    return text + (
        "\n\nMemory of a call beyond its input and outputs, two layers, B8 H64. One "
        "direction climbs both layers a span of steps at a time; two directions need "
        "the whole output of the layer below, T * B * 2H numbers. Up to 64 MiB of it "
        f"are kept for the next call:\n\n{beyond}"
    )


if __name__ == "__main__":
    print(tables(measure()))
