"""crnn against torch.nn.RNN and other engines, on the forward pass.

    python benchmarks/compare.py [--threads 1 2] [--peers torch,onnxruntime,...]

One process per engine, bound to the same CPUs; equal threads; outputs checked before
they are timed; rounds interleaved. Times are us a call: the least of all rounds, the
median in parentheses. limit is the least time that the machine allows, from its FMA
peak and read rates measured in the same run (limits.py says how).
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

import limits
from cases import ENTRIES
from contest import ENGINES, FULL, QUICK, contest, players
from tables import SPEED, absences, losses, markdown_line, speed_cells, text_line

from crnn.config import cpu_name


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N")
    parser.add_argument(
        "--peers",
        default="torch",
        help="comma-separated, or all: " + ",".join(ENGINES) + " (default: torch)",
    )
    parser.add_argument(
        "--cases", default="", metavar="SUBSTRING", help="only cases so named"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds")
    parser.add_argument("--markdown", action="store_true", help="as the README's table")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    options = parser.parse_args(argv)
    if options.peers == "all":
        options.peers = ",".join(ENGINES)
    options.peers = [name for name in options.peers.split(",") if name]
    for name in options.peers:
        if name not in ENGINES:
            parser.error(f"no such peer: {name}; there are {', '.join(ENGINES)}")
    options.entries = [e for e in ENTRIES if options.cases in e[1].name]
    if not options.entries:
        parser.error(f"no case has {options.cases!r} in its name")
    return options


def compare(entries, peers, threads, effort, machine):
    """Yield what the engines are, then a row for each entry as it is measured."""
    with players(("crnn", *peers), threads) as engines:
        if engines[0].reason:
            raise SystemExit(f"crnn does not run: {engines[0].reason}")
        yield {engine.name: engine.version for engine in engines if engine.version}
        for kind, case in entries:
            seconds, reasons = contest(engines, kind, case, effort)
            yield {
                "case": case.name,
                "kind": kind,
                "threads": threads,
                "flop": case.flop,
                "limit": machine.limit(case, threads),
                "seconds": seconds,
                "reasons": reasons,
            }


def run(entries, peers, threads, effort, show=lambda line: None, line_of=text_line):
    """Compare for each number of threads; {machine, versions, rows}, showing lines."""
    try:
        machines = [
            limits.measure(0.02 if effort == QUICK else 0.2, n) for n in threads
        ]
    except OSError as error:
        raise SystemExit(str(error)) from None
    results = {
        "cpu": cpu_name(),
        "load": os.getloadavg()[0],
        "effort": asdict(effort),
        "threads": list(threads),
        "machines": [asdict(machine) for machine in machines],
        "rows": [],
    }
    for n, machine in zip(threads, machines, strict=True):
        measured = compare(entries, peers, n, effort, machine)
        results["versions"] = next(measured)
        versions = (f"{name} {v}" for name, v in results["versions"].items())
        show(f"\nthreads: {n}; {', '.join(versions)}")
        show(f"{results['cpu']}; a core of {n}: {machine}\n")
        show(line_of(SPEED))
        if line_of is markdown_line:
            show(line_of(["---"] + ["---:"] * (len(SPEED) - 1)))
        for row in measured:
            results["rows"].append(row)
            show(line_of(speed_cells(row, machine)))
    return results


def main(argv=None):
    options = parse(argv)
    results = run(
        options.entries,
        options.peers,
        options.threads,
        QUICK if options.quick else FULL,
        show=lambda line: print(line, flush=True),
        line_of=markdown_line if options.markdown else text_line,
    )
    print("\ncrnn is slower than:", *(losses(results["rows"]) or ["none"]), sep="\n  ")
    for line in absences(results["rows"]):
        print(f"not run: {line}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
