"""Plots of recurrent networks: states, gradients, eigenvalues, unrolled drawings.

Needs matplotlib (``pip install 'crnn[plot]'``), imported by the first plot.  Every
function draws into ``ax``, the current Axes of pyplot by default, and returns it.
Sizes: T time, B batch, I input, H hidden, L layers, D directions.
"""

import copy

import numpy as np

from ._core import ShapeError
from .unrolled import draw_unrolled

__all__ = [
    "eigenvalues",
    "gradient_flow",
    "gradient_norms",
    "hidden_states",
    "unrolled",
]


def _axes(ax):
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "crnn.plot needs matplotlib: pip install crnn[plot]"
        ) from error
    return pyplot.gca()


def _count_steps(ax):
    """Ticks at whole time steps alone."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def hidden_states(output, lengths=None, ax=None, *, batch_first=False, **image):
    """A heat map of states, the units upwards and time to the right.

    Args:
        output: what a network returned: (T, F), or a batch (T, B, F), whose rows are
            drawn one after the other with a line between them.
        lengths: B integers in 1 .. T: each row ends after its own last step.
        ax: the matplotlib Axes to draw into.
        batch_first: whether a batch is (B, T, F).
        image: further arguments of ``ax.imshow``, such as ``cmap``.

    Returns:
        The Axes, with a colour bar beside it; 0 has the colour in the middle.

    Raises:
        ShapeError: output has neither 2 nor 3 dimensions, or lengths do not fit it.
    """
    rows = _rows(np.asarray(output), lengths, batch_first)
    states, ends = np.concatenate(rows), np.cumsum([len(row) for row in rows])
    ax = _axes(ax)
    limit = np.abs(states[np.isfinite(states)]).max(initial=0) or 1
    image = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "aspect": "auto"} | image
    image = {"interpolation": "nearest", "origin": "lower"} | image
    ax.figure.colorbar(ax.imshow(states.T, **image), ax=ax)
    for end in ends[:-1]:
        ax.axvline(end - 0.5, color="black", linewidth=1)
    ax.set(xlabel="time step", ylabel="unit")
    _count_steps(ax)
    return ax


def _rows(output, lengths, batch_first) -> list[np.ndarray]:
    """The sequences of a call's output, (T_b, F) each, without their padding."""
    if output.ndim == 2 and lengths is None:
        return [output]
    if output.ndim != 3:
        shape = "(T, F) or (T, B, F)" if lengths is None else "(T, B, F) with lengths"
        raise ShapeError(f"output must have shape {shape}, got {output.shape}")
    rows = output if batch_first else output.swapaxes(0, 1)
    B, T = rows.shape[:2]
    lengths = np.full(B, T) if lengths is None else np.asarray(lengths)
    if lengths.shape != (B,) or lengths.dtype.kind not in "iu":
        raise ShapeError(f"lengths must be {B} integers, got {lengths!r}")
    if lengths.min(initial=1) < 1 or lengths.max(initial=1) > T:
        raise ShapeError(f"lengths must lie in 1 .. {T}, got {lengths.tolist()}")
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def gradient_norms(rnn, input, *, by="state", clip=None) -> np.ndarray:
    """How strongly the last state depends on the states, or inputs, at each time.

    The spectral norms (largest stretches) of the Jacobians d h_(T-1) / d h_t, or
    d h_(T-1) / d x_t, of the top layer's last state h_(T-1) by all layers' states h_t
    at time t.  Chained by `RNN.vjp` one step after the other and rescaled on the way,
    so that neither vanishing nor exploding ends at the dtype's range.  Dropout rests.

    Args:
        rnn: a crnn.RNN.  A bidirectional one knows `by="input"` only, and its last
            state is that of both directions: the reverse one has it at time 0.
        input: (T, I), one sequence.
        by: "state" or "input".
        clip: a norm to which the gradient is scaled down, in each step back, when it is
            longer; None is never.

    Returns:
        (T,) float64.  Of states the last is 1.

    Raises:
        ShapeError: input is no single sequence, or does not fit rnn.
        ValueError: by or clip is none of the above; states of a bidirectional network;
            a gradient that holds NaN or infinity.
    """
    if by not in ("state", "input"):
        raise ValueError(f'by must be "state" or "input", got {by!r}')
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be positive, got {clip!r}")
    x = np.asarray(input)
    if x.ndim != 2 or not len(x):
        raise ShapeError(
            f"input must be one sequence (T, I) with T at least 1, got {x.shape}"
        )
    rnn = copy.deepcopy(rnn).eval()
    rnn.batch_first = False
    if not rnn.bidirectional:
        return _walk_back(rnn, x, clip)[by]
    if by == "state" or clip is not None:
        raise ValueError(
            'a bidirectional network knows by="input" without clip only: its states '
            "at one time do not follow from each other step by step"
        )
    return _norms_at_once(rnn, x)


def _walk_back(rnn, x, clip) -> dict[str, np.ndarray]:
    """Norms of the Jacobians by state and input, from the last step to the first."""
    T, L, H = len(x), rnn.num_layers, rnn.hidden_size
    states = [np.zeros((L, H), x.dtype)]
    for t in range(T):
        states.append(rnn(x[t : t + 1], states[-1])[1])
    # One row of a batch for each unit of the last state: a row is a row of the Jacobian
    jacobian = np.zeros((L, H, H), x.dtype)
    jacobian[-1] = np.eye(H)
    norm, norms = 1.0, {"state": np.zeros(T), "input": np.zeros(T)}
    for t in reversed(range(T)):
        norms["state"][t] = norm
        x_t = np.broadcast_to(x[t], (1, H, x.shape[1]))
        h_t = np.broadcast_to(states[t][:, None], (L, H, H))
        gradients = rnn.vjp(x_t, h_t)[2](None, jacobian)
        norms["input"][t] = norm * _stretch(gradients["input"])
        jacobian = gradients["hx"]
        stretch = _stretch(jacobian)
        if not stretch:
            break
        jacobian = jacobian / x.dtype.type(stretch)
        norm = min(norm * stretch, norm * stretch if clip is None else clip)
    return norms


def _stretch(jacobian) -> float:
    """The spectral norm of (n, rows, features), n * features being what varies."""
    rows = _finite(np.concatenate(jacobian, axis=1), "the gradient")
    return float(np.linalg.norm(rows, 2))


def _finite(array, name) -> np.ndarray:
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return array


def _norms_at_once(rnn, x) -> np.ndarray:
    """Norms of the Jacobians of both last states of the top layer by the inputs."""
    H = rnn.hidden_size
    _, h_n, pullback = rnn.vjp(np.broadcast_to(x[:, None], (len(x), 2 * H, x.shape[1])))
    d_h_n = np.zeros_like(h_n)
    d_h_n[-2, :H] = d_h_n[-1, H:] = np.eye(H)
    jacobians = _finite(pullback(None, d_h_n)["input"].astype(float), "the gradient")
    return np.linalg.norm(jacobians, 2, axis=(1, 2))


def gradient_flow(rnn, input, *, by="state", clip=None, ax=None, **line):
    """A line of `gradient_norms` over time, on a logarithmic scale.

    Falling towards the past it shows gradients that vanish, rising ones that explode.

    Args:
        rnn, input, by, clip: as of `gradient_norms`.
        ax: the matplotlib Axes to draw into; call again with it for another line.
        line: further arguments of ``ax.plot``, such as ``label``.

    Returns:
        The Axes.
    """
    norms = gradient_norms(rnn, input, by=by, clip=clip)
    ax = _axes(ax)
    ax.plot(np.arange(len(norms)), np.where(norms > 0, norms, np.nan), **line)
    ax.set_yscale("log")
    _count_steps(ax)
    symbol = "h" if by == "state" else "x"
    ax.set(xlabel="time step t", ylabel=rf"$\|\partial h_T / \partial {symbol}_t\|$")
    if "label" in line:
        ax.legend()
    return ax


def eigenvalues(rnn_or_weight_hh, ax=None, **points):
    """The eigenvalues of recurrent weights in the complex plane, and the unit circle.

    Near a state of zeros a step multiplies by W_hh: what lies inside the circle fades,
    what lies outside grows.

    Args:
        rnn_or_weight_hh: a network, every weight_hh of which is drawn in a colour of
            its own, or an array (H, H).
        ax: the matplotlib Axes to draw into.
        points: further arguments of ``ax.plot``.

    Returns:
        The Axes, with the spectral radii in its legend.

    Raises:
        ShapeError: an array is not square.
        ValueError: weights hold NaN or infinity.
    """
    if hasattr(rnn_or_weight_hh, "named_parameters"):
        named = rnn_or_weight_hh.named_parameters()
        weights = {n: np.asarray(w) for n, w in named if n.startswith("weight_hh")}
    else:
        weights = {"weight_hh": np.asarray(rnn_or_weight_hh)}
    for name, weight in weights.items():
        if weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
            raise ShapeError(f"{name} must be square, got {weight.shape}")
        _finite(weight, name)
    ax = _axes(ax)
    circle = np.exp(2j * np.pi * np.linspace(0, 1, 181))
    ax.plot(circle.real, circle.imag, color="grey", linewidth=1)
    points = {"marker": ".", "linestyle": "none"} | points
    for name, weight in weights.items():
        values = np.linalg.eigvals(weight.astype(float))
        radius = np.abs(values).max(initial=0)
        label = rf"{name}: $\rho$ = {radius:.3g}"
        ax.plot(values.real, values.imag, **{"label": label} | points)
    ax.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    return ax


def unrolled(network, steps=4, ax=None):
    """A drawing of a network unrolled over time, from x below to y above.

    Args:
        network: a crnn.RNN, drawn with all its layers and directions, or the name of
            an architecture: "one-to-many", "many-to-one", "many-to-many",
            "encoder-decoder", "bidirectional", "stacked".
        steps: time steps, at least 1; of an encoder-decoder those of the encoder.
        ax: the matplotlib Axes to draw into.

    Returns:
        The Axes, without ticks and frame.

    Raises:
        ValueError: an unknown name, or steps below 1.
    """
    return draw_unrolled(network, steps, lambda: _axes(ax))
