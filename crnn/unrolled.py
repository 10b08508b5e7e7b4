"""Drawings of unrolled networks, of circles and arrows, for crnn.plot.unrolled."""

from dataclasses import dataclass, field
from operator import index

COLOURS = {"x": "#d9ead3", "h": "#cfe2f3", "s": "#fce5cd", "y": "#f4cccc"}
RADIUS = 0.3
RISE = 1.2  # from one row of circles to the next
LEAN = 0.6  # of a reverse state to the right, clear of the arrows of the forward one


@dataclass
class Plan:
    """What is drawn: times count from 0, their labels from 1."""

    steps: int
    inputs: range
    outputs: range
    layers: int = 1
    directions: int = 1
    decoder: int | None = None  # the step from which states are the decoder's
    feedback: bool = False  # every output is the next step's input
    top: float = field(init=False)
    pitch: float = field(init=False)  # from one step to the next

    def __post_init__(self):
        self.pitch = 1.0 if self.directions == 1 else 1.8
        self.top = RISE * (self.layers * self.directions + 1)

    def place(self, t, layer, direction):
        """Where a state stands."""
        row = layer * self.directions + direction
        return self.pitch * t + LEAN * direction, RISE * (row + 1)

    def middle(self, t):
        """Where x_t and y_t stand: below and above the states of their step."""
        return self.pitch * t + LEAN * (self.directions - 1) / 2


def plan_of(network, steps) -> Plan:
    """The Plan of a network or of the name of an architecture."""
    steps = index(steps)
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    every = range(steps)
    if hasattr(network, "num_layers"):
        D = 2 if network.bidirectional else 1
        return Plan(steps, every, every, network.num_layers, D)
    decoded = max(steps - 1, 1)  # a length of its own
    total = range(steps + decoded)
    plans = {
        "one-to-many": Plan(steps, range(1), every, feedback=True),
        "many-to-one": Plan(steps, every, range(steps - 1, steps)),
        "many-to-many": Plan(steps, every, every),
        "encoder-decoder": Plan(
            len(total), every, total[steps:], decoder=steps, feedback=True
        ),
        "bidirectional": Plan(steps, every, every, directions=2),
        "stacked": Plan(steps, every, every, layers=2),
    }
    if network not in plans:
        raise ValueError(
            f"network must be a crnn.RNN or one of {', '.join(plans)}, got {network!r}"
        )
    return plans[network]


def draw_unrolled(network, steps, axes):
    """Draw into the Axes that axes() returns once the arguments have been checked."""
    plan = plan_of(network, steps)
    ax = axes()
    right = plan.place(plan.steps - 1, plan.layers - 1, plan.directions - 1)[0]
    ax.set(xlim=(-1.3, right + 1.3), ylim=(-0.5, plan.top + 0.5), aspect="equal")
    ax.set_axis_off()
    pen = Pen(ax)
    draw_states(pen, plan)
    draw_ends(pen, plan)
    draw_inputs(pen, plan)
    draw_outputs(pen, plan)
    return ax


class Pen:
    """Circles, arrows and words of one scale, that of the Axes."""

    def __init__(self, ax):
        self.ax = ax
        box = ax.get_window_extent()
        width, height = abs(ax.viewLim.width), abs(ax.viewLim.height)
        unit = min(box.width / width, box.height / height) * 72 / ax.figure.dpi
        self.font = min(0.21 * unit, 13)
        self.head = min(0.25 * unit, 12)

    def circle(self, place, kind, label):
        from matplotlib.patches import Circle

        style = {"facecolor": COLOURS[kind], "edgecolor": "black", "zorder": 2}
        self.ax.add_patch(Circle(place, RADIUS, **style))
        self.word(place, label, ha="center", fontsize=self.font, zorder=3)

    def word(self, place, label, **style):
        self.ax.text(*place, f"${label}$", va="center", **style)

    def line(self, start, end, **style):
        style = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0} | style
        style = {"mutation_scale": self.head, "color": "black"} | style
        self.ax.annotate("", end, start, arrowprops=style, zorder=1)

    def arrow(self, start, end, **style):
        """From circle to circle, edge to edge."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        share = RADIUS / (dx * dx + dy * dy) ** 0.5
        dx, dy = share * dx, share * dy
        tail, head = (start[0] + dx, start[1] + dy), (end[0] - dx, end[1] - dy)
        self.line(tail, head, **style)


def draw_states(pen, plan):
    """The states of all layers, each with an arrow to the next of its direction."""
    for layer in range(plan.layers):
        for direction in range(plan.directions):
            for t in range(plan.steps):
                place = plan.place(t, layer, direction)
                pen.circle(place, *name_of_state(plan, t, layer, direction))
                after = t - 1 if direction else t + 1
                if 0 <= after < plan.steps:
                    pen.arrow(place, plan.place(after, layer, direction))


def name_of_state(plan, t, layer, direction):
    if plan.decoder is not None and t >= plan.decoder:
        return "s", f"s_{{{t - plan.decoder + 1}}}"
    name = "h"
    if plan.directions > 1:
        name = rf"\over{'left' if direction else 'right'}arrow{{h}}"
    return "h", f"{name}_{{{t + 1}}}" + f"^{{({layer})}}" * (plan.layers > 1)


def draw_ends(pen, plan):
    """hx into the first state of each row, h_n out of the last."""
    style = {"fontsize": pen.font, "color": "grey"}
    for layer in range(plan.layers):
        for direction in range(plan.directions):
            sign = -1 if direction else 1
            before, after = ("right", "left")[::sign]
            first, last = (0, plan.steps - 1)[::sign]
            x, y = plan.place(first, layer, direction)
            pen.line((x - sign * 0.7, y), (x - sign * RADIUS, y), color="grey")
            pen.word((x - sign * 0.75, y), "h_0", ha=before, **style)
            x, y = plan.place(last, layer, direction)
            pen.line((x + sign * RADIUS, y), (x + sign * 0.7, y), color="grey")
            pen.word((x + sign * 0.75, y), "h_n", ha=after, **style)


def draw_inputs(pen, plan):
    """x_t below, and arrows up through the layers."""
    for t in plan.inputs:
        place = (plan.middle(t), 0)
        pen.circle(place, "x", f"x_{{{t + 1}}}")
        for direction in range(plan.directions):
            pen.arrow(place, plan.place(t, 0, direction))
    for t in range(plan.steps):
        for layer in range(1, plan.layers):
            for below in range(plan.directions):
                for direction in range(plan.directions):
                    start = plan.place(t, layer - 1, below)
                    pen.arrow(start, plan.place(t, layer, direction))


def draw_outputs(pen, plan):
    """y_t above, and where it is fed back a dashed arrow into the next step."""
    for t in plan.outputs:
        place = (plan.middle(t), plan.top)
        number = t + 1 - (plan.decoder or 0)
        pen.circle(place, "y", f"y_{{{number}}}" if len(plan.outputs) > 1 else "y")
        for direction in range(plan.directions):
            pen.arrow(plan.place(t, plan.layers - 1, direction), place)
        if plan.feedback and t + 1 < plan.steps:
            following = plan.place(t + 1, 0, 0)
            pen.arrow(place, following, linestyle="dashed", color="grey")
