"""The figures, as small SVG files with their text as text."""

from pathlib import Path

import matplotlib
import numpy as np
from cases import CASES
from limits import LEVELS
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
COLOURS = {"crnn": "#0072b2", "torch": "#d55e00", "onnxruntime": "#009e73"}
COLOURS |= {"jax": "#cc79a7", "numba": "#e69f00", "openvino": "#56b4e9"}
COLOURS |= {"numpy": "#999999", "onednn": "#000000"}
matplotlib.rcParams.update(
    {"svg.fonttype": "none", "svg.hashsalt": "crnn", "font.size": 9, "axes.grid": True}
    | {"grid.color": "#dddddd", "axes.axisbelow": True}
)


def log_axes(figure):
    axes = figure.add_subplot(xscale="log", yscale="log")
    axes.minorticks_off()
    for axis in axes.xaxis, axes.yaxis:
        axis.set_major_formatter("{x:,g}")
    return axes


def save(figure, name):
    """Write FOLDER/name; equal numbers make equal files."""
    figure.savefig(FOLDER / name, metadata={"Date": None}, bbox_inches="tight")


def intensity(case):
    """flop for each byte of W_hh, all of which every step reads."""
    return case.flop / (4 * case.T * case.L * case.D * case.H**2)


def draw_roofs(axes, machine):
    """The FMA peak, and what each memory can feed."""
    x = np.geomspace(0.5, 256, 200)
    for level, rate in zip(LEVELS, machine.rates, strict=True):
        y = np.minimum(rate * x, machine.peak) / 1e9
        axes.plot(x, y, color="#999999", linewidth=1)
        axes.annotate(level, (x[0], y[0]), (2, 2), textcoords="offset points")
    axes.annotate(
        f"FMA peak, {machine.peak / 1e9:.0f} GF/s",
        (x[-1], machine.peak / 1e9),
        (-2, 3),
        textcoords="offset points",
        ha="right",
    )


def roofline(rows, machine):
    """GF/s over arithmetic intensity, of all cases on one thread, below the roofs."""
    figure = Figure(figsize=(7, 4.2))
    axes = log_axes(figure)
    draw_roofs(axes, machine)
    cases = {case.name: case for case in CASES}
    for engine, marker in (("torch", "s"), ("crnn", "o")):
        points = [
            (intensity(cases[row["case"]]), row["flop"] / min(row["seconds"][engine]))
            for row in rows
            if row["kind"] == "sequence" and row["threads"] == 1
            if engine in row["seconds"]
        ]
        x, rate = np.transpose(points)
        style = {"color": COLOURS[engine], "markersize": 4.5, "alpha": 0.8}
        axes.plot(x, rate / 1e9, marker, label=engine, **style)
    axes.set_xlabel("flop per byte of the recurrent weights (about the batch size)")
    axes.set_ylabel("GF/s on one core")
    axes.legend(loc="lower right")
    save(figure, "roofline.svg")


def latency(rows):
    """us a call over the number of steps, B = 1, H = 64, of every engine."""
    figure = Figure(figsize=(7, 4.2))
    axes = log_axes(figure)
    for name, colour in COLOURS.items():
        mine = [row for row in rows if name in row["seconds"]]
        if not mine:
            continue
        axes.plot(
            [row["value"] for row in mine],
            [min(row["seconds"][name]) * 1e6 for row in mine],
            marker="o",
            markersize=3,
            linewidth=2 if name == "crnn" else 1,
            color=colour,
            label=name,
        )
    axes.set_xlabel("steps T of one sequence, H = I = 64, one core")
    axes.set_ylabel("us a call")
    axes.legend(loc="upper left", fontsize=8)
    save(figure, "latency.svg")
