"""Measure everything, and write it down: README.md's numbers, this folder's, figures.

    python benchmarks/report.py                 measures; takes a quarter of an hour
    python benchmarks/report.py --keep          writes again what was measured before

What was measured is kept in build/benchmarks/results.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import footprint
import growth
import plots
from cases import ENTRIES, ROOT
from compare import run
from contest import ENGINES, FULL, QUICK
from limits import LEVELS, Machine, block_rates
from tables import (
    SPEED,
    absences,
    losses,
    markdown_table,
    speed_cells,
    thread_table,
    training_tables,
)

FOLDER = Path(__file__).parent
RESULTS = ROOT / "build" / "benchmarks" / "results.json"
BLOCKS = (128, 256, 512, 1024)  # hidden sizes
START, END = "<!-- speed -->", "<!-- /speed -->"

LEGEND = """\
us a call, the least of all rounds and in parentheses the median. One process for each
engine, bound to the same CPUs, with equal threads; outputs checked before timing;
rounds interleaved. `limit` is the least time that this machine allows, from its FMA
peak and read rates measured in the same run, for several threads while as many cores
are at it; `% of peak` is that of the FMA peak. T steps, B rows, I inputs, H units
(I = H unless said)."""

PAGE = """\
# Benchmarks

Everything here is written by `python benchmarks/report.py`, which needs
`pip install -e '.[bench,peers]'` and, for oneDNN, a C++ compiler and `libdnnl-dev`.
For one table: `python benchmarks/compare.py --help`.

{setting}

{legend}

{speed}

## Verdict

{verdict}

![GF/s of all cases below the roofs of one core](roofline.svg)

## Between crnn and the limit

{between}

## From one thread to several

{threads}

## Training

{training}

## Growth

One thread. Where time grows linearly, columns stay level or fall.

{growth}

![us a call over the number of steps](latency.svg)

## Import, disk, memory

{footprint}
"""

BETWEEN = """\
- The activation: T128 B32 H256 with relu takes {share:.0%} less. tanh takes as long for
  every number of the state, {ns:.2f} ns here, and a number takes 4H flop: beside the
  limit of T128 B32 that is {parts}.
- One row reads W_hh at every step. The limit takes the best rate of the cache level
  that has room for it; blocks of its very size are read, in GB/s, at
  {rates}:
  they lie in pages as they come, and some sets of the cache are full before others.
  A level's rate is that of half of it. Of a third cache that others use too so much is
  slower than one matrix, and H = 1024 may stay below its limit.
- The peak is that of multiply-adds in registers alone, at the clock that they allow.
- With few inputs or units a vector's 16 lanes and a tile's registers are partly empty.
- Cores at work together share the third cache and the power. Of what one has alone it
  has beside a second one
  {company}.
- On several threads, one row meets at a barrier after every step. That takes 0.1 us
  where processors are near to each other, ten times that where a hypervisor has parted
  them; crnn times it, and goes by it in choosing between one thread and several."""

README = """\
{setting}

{legend}

{speed}

![GF/s of all cases below the roofs of one core](benchmarks/roofline.svg)
![us a call over the number of steps](benchmarks/latency.svg)
"""


def show(line):
    print(line, flush=True)


def measure_training(threads, quick):
    """What training.py finds in a process of its own, which keeps to so many CPUs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "training.json")
        command = [sys.executable, FOLDER / "training.py", f"--threads={threads}"]
        command += ["--json", path, *(["--quick"] if quick else [])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(path.read_text())


def measure(effort, peers):
    """All that the page shows; growth in fewer rounds."""
    found = run(
        ENTRIES, peers, (1, 2), effort, show=lambda line: print(line, flush=True)
    )
    quick = effort == QUICK
    print("\ngrowth", flush=True)
    engines = ("crnn", *peers)
    found["growth"] = growth.measure(growth.QUICK if quick else growth.FULL, engines)
    found["blocks"] = block_rates(BLOCKS)
    print("footprint", flush=True)
    found["footprint"] = footprint.measure()
    print("training", flush=True)
    found["training"] = [measure_training(n, quick) for n in (1, 2)]
    return found


def machine_of(found, threads):
    return Machine(**found["machines"][found["threads"].index(threads)])


def setting(found, machine):
    versions = ", ".join(f"{name} {v}" for name, v in found["versions"].items())
    effort = found["effort"]
    return (
        f"{found['cpu']}; a core: {machine}. {versions}. {effort['rounds']} rounds of "
        f"{effort['seconds'] * 1e3:g} ms, or of one call where that takes longer. Load "
        f"of the machine when it began: {found['load']:.1f}."
    )


def speed_table(found, threads):
    machine = machine_of(found, threads)
    rows = [row for row in found["rows"] if row["threads"] == threads]
    return markdown_table(SPEED, [speed_cells(row, machine) for row in rows])


def bullets(lines):
    return "\n".join(f"- {line}" for line in lines) or "- none"


def verdict(rows):
    return (
        "Where crnn is slower than an engine, of the cases above:\n\n"
        f"{bullets(losses(rows))}\n\n"
        f"What did not run:\n\n{bullets(absences(rows))}"
    )


def between(found):
    """What the limit leaves out, in this run's numbers."""
    best = {
        row["case"]: min(row["seconds"]["crnn"])
        for row in found["rows"]
        if row["threads"] == 1
    }
    plain, tanh = best["relu T128 B32 H256"], best["T128 B32 H256"]
    ns = (tanh - plain) / (128 * 32 * 256) * 1e9
    one, two = machine_of(found, 1), machine_of(found, 2)
    parts = ", ".join(f"{ns * 1e-9 * one.peak / (4 * H):.0%} (H = {H})" for H in BLOCKS)
    company = ", ".join(
        f"{of_two / of_one:.0%} ({name})"
        for name, of_two, of_one in zip(
            ("FMA", *LEVELS),
            (two.peak, *two.rates),
            (one.peak, *one.rates),
            strict=True,
        )
    )
    rates = ", ".join(
        f"{rate / 1e9:.0f} (H = {H})"
        for H, rate in zip(BLOCKS, found["blocks"], strict=True)
    )
    return BETWEEN.format(
        share=1 - plain / tanh, ns=ns, parts=parts, company=company, rates=rates
    )


def write(found):
    """The figures and both pages."""
    machine = machine_of(found, 1)
    plots.roofline(found["rows"], machine)
    plots.latency(found["growth"]["T"])
    counts = sorted({row["threads"] for row in found["rows"]})
    speeds = [
        f"## On {n} thread{'s' * (n > 1)}\n\n"
        f"A core of {n}: {machine_of(found, n)}.\n\n{speed_table(found, n)}"
        for n in counts
    ]
    shared = {"setting": setting(found, machine), "legend": LEGEND}
    page = PAGE.format(
        **shared,
        speed="\n\n".join(speeds),
        verdict=verdict(found["rows"]),
        between=between(found),
        threads=thread_table(found["rows"]),
        training="\n\n".join(training_tables(part) for part in found["training"]),
        growth=growth.tables(found["growth"]),
        footprint=footprint.tables(found["footprint"]),
    )
    (FOLDER / "README.md").write_text(page)
    replace_marked(
        ROOT / "README.md",
        README.format(**shared, speed=speed_table(found, 1)),
    )


def replace_marked(path, text):
    """Put text between the two markers of a file; one without them is left alone."""
    old = path.read_text() if path.exists() else ""
    before, start, rest = old.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        print(f"{path.name} has no {START} and {END}: left as it is")
        return
    path.write_text(f"{before}{START}\n{text}{END}{after}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="measure nothing")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--peers", default=",".join(ENGINES), help="comma-separated")
    options = parser.parse_args()
    if not options.keep:
        effort = QUICK if options.quick else FULL
        found = measure(effort, options.peers.split(","))
        RESULTS.write_text(json.dumps(found) + "\n")
    write(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
