"""Rows of measurements as tables, for a terminal or in Markdown, and who lost."""

from statistics import median

from crnn.measure import micros

SPEED = ("case", "torch", "best peer", "limit", "crnn", "crnn / limit")
SPEED += ("torch / crnn", "best / crnn", "GF/s", "% of peak")
TRAINING = ("case", "torch", "jax", "limit", "crnn.torch", "rnn.vjp")
TRAINING += ("torch / crnn.torch", "torch / vjp", "vjp / limit")
WIDTHS = (48, 19, 19, 7, 19, 12, 12, 11, 6, 9)


def text_line(cells):
    """One line of a table for a terminal: the first cell to the left, others right."""
    pairs = list(zip(cells, WIDTHS, strict=True))
    return f"{cells[0]:{WIDTHS[0]}}" + "".join(f" {c:>{w}}" for c, w in pairs[1:])


def markdown_line(cells):
    return f"| {' | '.join(cells)} |"


def markdown_table(header, rows):
    """A table of Markdown, all columns but the first aligned to the right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join(markdown_line(cells) for cells in (header, rule, *rows))


def least_and_median(seconds):
    return f"{micros(min(seconds))} ({micros(median(seconds))})"


def best_peer(row):
    """Name and seconds of the fastest engine that is not crnn; None where none ran."""
    peers = [(min(s), name) for name, s in row["seconds"].items() if name != "crnn"]
    return min(peers)[::-1] if peers else None


def speed_cells(row, machine):
    """A row of the table SPEED: us a call, the least of all rounds (and the median)."""
    seconds, limit = row["seconds"], row["limit"]
    torch, crnn, best = seconds.get("torch"), seconds.get("crnn"), best_peer(row)
    cells = [row["case"], *["-"] * (len(SPEED) - 1)]
    cells[3] = micros(limit)
    if torch:
        cells[1] = least_and_median(torch)
    if best:
        cells[2] = f"{micros(best[1])} {best[0]}"
    if crnn:
        cells[4] = least_and_median(crnn)
        cells[5] = f"{min(crnn) / limit:.2f}"
        rate = row["flop"] / min(crnn)
        cells[8] = f"{rate / 1e9:.1f}"
        cells[9] = f"{rate / (machine.peak * row['threads']):.0%}"
    if crnn and torch:
        cells[6] = f"{min(torch) / min(crnn):.2f}"
    if crnn and best:
        cells[7] = f"{best[1] / min(crnn):.2f}"
    return cells


def thread_table(rows, names=("crnn", "torch")):
    """How many times faster each engine is on the most threads than on one."""
    most = max(row["threads"] for row in rows)
    alone = {row["case"]: row["seconds"] for row in rows if row["threads"] == 1}

    def gain(row, name):
        one = alone.get(row["case"], {}).get(name)
        many = row["seconds"].get(name)
        return f"{min(one) / min(many):.2f}" if one and many else "-"

    return markdown_table(
        ["case", *(f"{name}, 1 to {most} threads" for name in names)],
        [
            [row["case"], *(gain(row, name) for name in names)]
            for row in rows
            if row["threads"] == most
        ],
    )


def losses(rows):
    """A line for each case and engine that was faster than crnn."""
    lines = []
    for row in rows:
        crnn = row["seconds"].get("crnn")
        for name, seconds in row["seconds"].items():
            if crnn and min(seconds) < min(crnn):
                lines.append(
                    f"{row['case']}, threads {row['threads']}: {name} by "
                    f"{min(crnn) / min(seconds):.2f} times"
                )
    return lines


def absences(rows):
    """A line for each reason not to run: which engines, in how many cases."""
    counts = {}
    for row in rows:
        for name, reason in row["reasons"].items():
            engines = counts.setdefault(reason, {})
            engines[name] = engines.get(name, 0) + 1
    return [
        f"{reason}: " + ", ".join(f"{name} ({n} cases)" for name, n in engines.items())
        for reason, engines in counts.items()
    ]


def loop_cells(row):
    plain, ours = (row["seconds"][name] for name in ("torch", "crnn"))
    shown = [f"{median(times) * 1e3:.1f}" for times in (plain, ours)]
    return [row["loop"], *shown, f"{min(plain) / min(ours):.2f}"]


def training_cells(row):
    """us a step, the least of all rounds."""
    least = {name: min(times) for name, times in row["seconds"].items()}
    limit = row["limit"]
    shown = [micros(least[n]) if n in least else "-" for n in ("torch", "jax")]
    shown += [micros(limit), micros(least["crnn.torch"]), micros(least["rnn.vjp"])]
    ratios = (
        least["torch"] / least["crnn.torch"],
        least["torch"] / least["rnn.vjp"],
        least["rnn.vjp"] / limit,
    )
    return [row["case"], *shown, *(f"{ratio:.2f}" for ratio in ratios)]


def training_tables(found):
    """Both tables in Markdown."""
    rows = [training_cells(row) for row in found["cases"]]
    loops = [loop_cells(row) for row in found["loops"]]
    return "\n\n".join(
        (
            f"us a step, forward and backward, threads: {found['threads']}; `limit` is "
            "three times the forward flop at the FMA peak, or where that takes longer "
            "two readings of W_hh a step.",
            markdown_table(TRAINING, rows),
            "Whole training loops, ms, median; the ratio is that of the least times.",
            markdown_table(("loop", "torch", "crnn", "torch / crnn"), loops),
        )
    )
