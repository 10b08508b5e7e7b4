"""crnn.plot: what is drawn, and the gradients behind it against torch."""

import subprocess
import sys

import numpy as np
import pytest
from faults import network

import crnn
from crnn import plot

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib draws the plots")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

ARCHITECTURES = (
    *("one-to-many", "many-to-one", "many-to-many"),
    *("encoder-decoder", "bidirectional", "stacked"),
)


@pytest.fixture
def ax():
    """Axes of a figure of their own, rendered at the end as a file would be."""
    figure, ax = pyplot.subplots()
    yield ax
    figure.canvas.draw()
    pyplot.close("all")


def make(**options):
    """A network of 3 inputs and 5 units, and a sequence for it."""
    crnn.manual_seed(0)
    rnn = crnn.RNN(3, 5, **options)
    return rnn, np.random.default_rng(0).standard_normal((9, 3)).astype(rnn._dtype)


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_hidden_states_of_a_sequence(ax):
    rnn, x = make()
    output, _ = rnn(x)
    assert plot.hidden_states(output, ax=ax) is ax
    (image,) = ax.images
    assert np.array_equal(image.get_array(), output.T)
    assert image.get_clim() == (-abs(output).max(), abs(output).max())
    assert len(ax.figure.axes) == 2  # and the colour bar


@pytest.mark.parametrize("batch_first", [False, True])
def test_hidden_states_of_a_batch_end_with_the_rows(ax, batch_first):
    output = np.arange(1, 25.0).reshape(4, 3, 2)
    given = output.swapaxes(0, 1) if batch_first else output
    plot.hidden_states(given, [4, 1, 2], ax, batch_first=batch_first)
    drawn = np.concatenate([output[:4, 0], output[:1, 1], output[:2, 2]])
    assert np.array_equal(ax.images[0].get_array(), drawn.T)
    assert [line.get_xdata()[0] for line in ax.lines] == [3.5, 4.5]


def test_hidden_states_of_zeros_of_not_a_number_and_with_options(ax):
    plot.hidden_states(np.zeros((2, 3)), ax=ax)
    plot.hidden_states(np.full((2, 3), np.nan), ax=ax, cmap="gray", vmin=0)
    assert ax.images[1].cmap.name == "gray" and ax.images[1].get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("shape", "lengths"),
    [
        ((3,), None),
        ((4, 3), [4]),
        *(((4, 3, 2), wrong) for wrong in ([4, 1], [4, 0, 1], [5, 1, 1])),
        ((4, 3, 2), [1.0, 1.0, 1.0]),
    ],
)
def test_hidden_states_refuses(ax, shape, lengths):
    with pytest.raises(crnn.ShapeError, match=r"(output|lengths) must"):
        plot.hidden_states(np.zeros(shape), lengths, ax)
    assert not ax.images


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("layers", [1, 3])
def test_norms_are_those_of_the_jacobians(torch, nonlinearity, layers):
    rnn, x = make(num_layers=layers, nonlinearity=nonlinearity, dtype="float64")
    twin = rnn.to_torch()

    def last(state, rest):
        return twin(rest, state)[1][-1]

    sequence = torch.from_numpy(x)
    whole = torch.autograd.functional.jacobian(
        lambda rest: last(torch.zeros(layers, 5, dtype=torch.float64), rest), sequence
    )
    by_input = np.linalg.norm(whole.numpy().swapaxes(0, 1), 2, axis=(1, 2))
    norms = plot.gradient_norms(rnn, x, by="input")
    np.testing.assert_allclose(norms, by_input, rtol=1e-10)
    norms = plot.gradient_norms(rnn, x)
    assert norms[-1] == 1 and norms.shape == (9,)
    for t in range(8):
        state = twin(sequence[: t + 1])[1]
        by_state = torch.autograd.functional.jacobian(
            lambda h, t=t: last(h, sequence[t + 1 :]), state
        )
        by_state = np.linalg.norm(by_state.reshape(5, -1).numpy(), 2)
        np.testing.assert_allclose(norms[t], by_state, rtol=1e-10)


def test_norms_of_both_directions(torch):
    rnn, x = make(num_layers=2, bidirectional=True, dtype="float64")
    twin = rnn.to_torch()
    jacobian = torch.autograd.functional.jacobian(
        lambda x: torch.cat([*twin(x)[1][-2:]]), torch.from_numpy(x)
    )
    expected = np.linalg.norm(jacobian.numpy().swapaxes(0, 1), 2, axis=(1, 2))
    norms = plot.gradient_norms(rnn, x, by="input")
    np.testing.assert_allclose(norms, expected, rtol=1e-10)


def test_norms_leave_the_network_alone_and_rest_its_dropout():
    rnn, x = make(num_layers=2, dropout=0.5, batch_first=True)
    norms = plot.gradient_norms(rnn, x)
    assert rnn.training and rnn.batch_first
    assert np.array_equal(norms, plot.gradient_norms(rnn.eval(), x))


def doubling(factor):
    """A float32 network whose every state is 1, and its Jacobians factor times I."""
    rnn = crnn.RNN(1, 4, nonlinearity="relu")
    rnn.weight_ih_l0[:] = factor
    rnn.weight_hh_l0[:] = factor * np.eye(4)
    rnn.bias_ih_l0[:], rnn.bias_hh_l0[:] = 1 - factor, 0
    return rnn, np.eye(300, 1, dtype=np.float32)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_norms_outlive_the_range_of_the_dtype(factor):
    norms = plot.gradient_norms(*doubling(factor))
    assert np.array_equal(np.log2(norms), np.arange(299, -1, -1) * np.log2(factor))


def test_clipped_norms():
    norms = plot.gradient_norms(*doubling(2), clip=10.0)
    assert np.array_equal(norms, [10.0] * 296 + [8, 4, 2, 1])
    norms = plot.gradient_norms(*doubling(0.5), clip=10.0)
    assert np.array_equal(norms, plot.gradient_norms(*doubling(0.5)))


def test_gradient_flow(ax):
    rnn, x = make()
    assert plot.gradient_flow(rnn, x, ax=ax, label="tanh") is ax
    plot.gradient_flow(rnn, x, ax=ax, by="input", clip=1.0, color="red")
    assert ax.get_yscale() == "log" and len(ax.lines) == 2
    assert np.array_equal(ax.lines[0].get_ydata(), plot.gradient_norms(rnn, x))
    assert ax.get_legend() is not None and "x_t" in ax.get_ylabel()


def test_gradient_flow_of_dead_units(ax):
    rnn, x = make(nonlinearity="relu")
    rnn.bias_ih_l0[:] = -100
    plot.gradient_flow(rnn, x, ax=ax)
    assert np.isnan(ax.lines[0].get_ydata()).sum() == 8


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"by": "output"}, ValueError, "by must be"),
        ({"clip": 0}, ValueError, "clip must be positive"),
        ({"clip": float("nan")}, ValueError, "clip must be positive"),
        ({"input": np.zeros((4, 2, 3), np.float32)}, crnn.ShapeError, "one sequence"),
        ({"input": np.zeros((4, 2), np.float32)}, crnn.ShapeError, "input_size"),
        ({"input": np.zeros((0, 3), np.float32)}, crnn.ShapeError, "one sequence"),
        ({"input": np.zeros((4, 3))}, crnn.DTypeError, "dtype"),
    ],
    ids=str,
)
def test_gradient_flow_refuses(ax, options, error, words):
    rnn, x = make()
    with pytest.raises(error, match=words):
        plot.gradient_flow(rnn, ax=ax, **{"input": x} | options)
    assert not ax.lines
    plot.gradient_flow(rnn, x, ax=ax)


def test_states_of_both_directions_are_refused():
    rnn, x = make(bidirectional=True)
    for options in {}, {"by": "input", "clip": 1.0}:
        with pytest.raises(ValueError, match="bidirectional network knows"):
            plot.gradient_norms(rnn, x, **options)


def test_eigenvalues(ax):
    rnn, _ = make(num_layers=2, bidirectional=True)
    assert plot.eigenvalues(rnn, ax) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [label.partition(":")[0] for label in labels] == [
        f"weight_hh_l{layer}{suffix}" for layer in (0, 1) for suffix in ("", "_reverse")
    ]
    assert len(ax.lines) == 5  # the circle first


def test_eigenvalues_of_an_array_and_a_cell(ax):
    turn = [[0, -2], [2, 0]]
    points = plot.eigenvalues(turn, ax, label="turn").lines[1]
    np.testing.assert_allclose(sorted(points.get_ydata()), [-2, 2])
    np.testing.assert_allclose(points.get_xdata(), 0, atol=1e-12)
    plot.eigenvalues(crnn.RNNCell(3, 5), ax)
    assert len(ax.lines[3].get_xdata()) == 5
    with pytest.raises(crnn.ShapeError, match="square"):
        plot.eigenvalues(np.zeros((2, 3)), ax)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_weights_that_are_not_finite_are_named(ax, bidirectional):
    rnn, x = make(bidirectional=bidirectional)
    rnn.weight_hh_l0[0, 0] = np.nan
    with pytest.raises(ValueError, match="the gradient holds NaN"):
        plot.gradient_flow(rnn, x, ax=ax, by="input")
    with pytest.raises(ValueError, match="weight_hh_l0 holds NaN"):
        plot.eigenvalues(rnn, ax)
    assert not ax.lines


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_unrolled_architectures(ax, name, steps):
    assert plot.unrolled(name, steps, ax) is ax
    drawn = words(ax)
    inputs = 1 if name == "one-to-many" else steps
    outputs = {"many-to-one": 1, "encoder-decoder": max(steps - 1, 1)}.get(name, steps)
    assert sum(w.startswith("$x") for w in drawn) == inputs
    assert sum(w.startswith("$y") for w in drawn) == outputs
    fed = outputs - 1 if name in ("one-to-many", "encoder-decoder") else 0
    assert arrows(ax).count("dashed") == fed


def arrows(ax):
    """The line styles of all arrows."""
    patches = [getattr(text, "arrow_patch", None) for text in ax.texts]
    return [patch.get_linestyle() for patch in patches if patch is not None]


def test_unrolled_networks(ax):
    plot.unrolled(network("float32", num_layers=3, bidirectional=True), 2, ax)
    circles = [p for p in ax.patches if isinstance(p, matplotlib.patches.Circle)]
    assert len(circles) == 2 + 3 * 2 * 2 + 2
    between = 2 * 4 * 2  # steps, pairs of directions, pairs of layers
    assert len(arrows(ax)) == 6 * (1 + 2) + 2 * 2 + between + 2 * 2


def test_unrolled_refuses(ax):
    for network_, steps, error in [
        ("many", 4, ValueError),
        ("stacked", 0, ValueError),
        ("stacked", 1.5, TypeError),
        (3, 4, ValueError),
    ]:
        with pytest.raises(error):
            plot.unrolled(network_, steps, ax)
    assert ax.axison and not ax.patches


def test_the_current_axes_are_the_default(ax):
    pyplot.sca(ax)
    rnn, x = make()
    assert plot.unrolled("stacked") is plot.eigenvalues(rnn) is ax
    assert plot.hidden_states(x) is plot.gradient_flow(rnn, x)


def test_matplotlib_is_imported_by_the_first_plot_and_named_where_it_is_missing():
    program = """if True:
        import sys, numpy, crnn.plot
        assert not any(name.startswith("matplotlib") for name in sys.modules)
        sys.modules["matplotlib"] = None
        rnn = crnn.RNN(2, 3)
        crnn.plot.gradient_norms(rnn, numpy.zeros((4, 2), numpy.float32))
        try:
            crnn.plot.eigenvalues(rnn)
        except ImportError as error:
            assert "pip install crnn[plot]" in str(error)
        else:
            raise AssertionError("no error")
    """
    subprocess.run([sys.executable, "-c", program], check=True)
