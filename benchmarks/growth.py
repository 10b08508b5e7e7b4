"""How time grows with steps, rows, hidden units, layers, and valid steps.

    python benchmarks/growth.py [--quick]

One thread; us for each unit of work, which must not rise where growth is linear.
"""

import argparse
from dataclasses import replace

from cases import Case, spread
from contest import Effort, contest, players
from tables import markdown_table

from crnn.measure import micros

ENGINES = ("crnn", "torch")
FULL, QUICK = Effort(7, 0.02), Effort(3, 0.002)


def series(values, make):
    return [(value, make(value)) for value in values]


# What grows: (what a unit is, its number in a case, cases by the size that grows).
AXES = {
    "T": (
        "step of B1 H64",
        lambda c: c.T,
        series((1, 10, 100, 1000, 10_000, 100_000), lambda T: Case("", T, 1, 64, 64)),
    ),
    "B": (
        "row and step of T16 H128",
        lambda c: c.T * c.B,
        series((1, 2, 4, 8, 16, 32, 128, 512), lambda B: Case("", 16, B, 128, 128)),
    ),
    "H": (
        "2^20 multiply-adds of T16 B8, I = H",
        lambda c: c.flop / 2**21,
        series(
            (16, 32, 64, 128, 256, 512, 1024, 2048), lambda H: Case("", 16, 8, H, H)
        ),
    ),
    "B, wide": (
        "2^20 multiply-adds of T4 H1024",
        lambda c: c.flop / 2**21,
        series((1, 2, 4, 8, 32), lambda B: Case("", 4, B, 1024, 1024)),
    ),
    "L": (
        "layer and step of T64 B8 H64",
        lambda c: c.T * c.L,
        series((1, 2, 4, 8, 16), lambda L: Case("", 64, 8, 64, 64, L)),
    ),
}

FULL_ROWS = Case("all rows end at 256", 256, 32, 256, 256, lengths=(256,) * 32)
RAGGED = (
    FULL_ROWS,
    replace(FULL_ROWS, name="lengths 1 to 256", lengths=spread(256, 32)),
    replace(FULL_ROWS, name="half end at 128", lengths=(256, 128) * 16),
    replace(FULL_ROWS, name="one at 256, 31 at 16", lengths=(256,) + (16,) * 31),
)


def measure(effort, engines=ENGINES):
    """{axis: [{value, units, seconds}]}, and with "ragged" [{name, steps, seconds}]."""
    found = {}
    with players(engines, 1) as playing:
        for axis, (_, count, cases) in AXES.items():
            found[axis] = [
                {
                    "value": value,
                    "units": count(case),
                    "seconds": contest(playing, "sequence", case, effort)[0],
                }
                for value, case in cases
            ]
        found["ragged"] = [
            {
                "name": case.name,
                "steps": sum(case.lengths),
                "seconds": contest(playing, "sequence", case, effort)[0],
            }
            for case in RAGGED
        ]
    return found


def names_in(rows):
    """The engines that did all of it."""
    return [n for n in rows[0]["seconds"] if all(n in row["seconds"] for row in rows)]


def axis_table(axis, rows):
    """us for each unit, the least of all rounds."""
    names = names_in(rows)
    return markdown_table(
        [axis, *names],
        [
            [f"{row['value']:,}"]
            + [micros(min(row["seconds"][name]) / row["units"]) for name in names]
            for row in rows
        ],
    )


def ragged_table(rows):
    """Valid steps and time, as shares of those of the full batch."""
    names = [name for name in ENGINES if name in names_in(rows)]

    def share(row, name):
        return min(row["seconds"][name]) / min(rows[0]["seconds"][name])

    return markdown_table(
        ["lengths of 32 rows", "valid steps", *(f"time, {name}" for name in names)],
        [
            [row["name"], f"{row['steps'] / rows[0]['steps']:.1%}"]
            + [f"{share(row, name):.1%}" for name in names]
            for row in rows
        ],
    )


def tables(found):
    """All of it in Markdown."""
    parts = [
        f"us per {AXES[axis][0]}:\n\n{axis_table(axis, found[axis])}" for axis in AXES
    ]
    parts.append(
        "Ragged batches of T256 B32 H256, against the full one; torch on packed "
        f"sequences:\n\n{ragged_table(found['ragged'])}"
    )
    return "\n\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    effort = QUICK if parser.parse_args().quick else FULL
    print(tables(measure(effort)))


if __name__ == "__main__":
    main()
