"""Golden vectors of the contract, section 7; no torch needed."""

import numpy as np
import pytest
from faults import Packed

import crnn

# Options, number of parameters, and sums: output, output squared, h_n, and
# output without hx.
CASES = {
    "A": (
        {"nonlinearity": "tanh"},
        21,
        (0.0529440366677, 3.23734882663, -0.0226375958596, 0.0323938505857),
    ),
    "B": (
        {"nonlinearity": "relu"},
        21,
        (5.49641555939, 2.78937067605, 1.67232288079, 5.52801697913),
    ),
    "C": (
        {"nonlinearity": "tanh", "num_layers": 2, "bidirectional": True},
        108,
        (-4.32874045693, 7.69319894587, -1.63612739589, -4.36932409721),
    ),
    "D": (
        {
            "nonlinearity": "relu",
            "num_layers": 2,
            "bidirectional": True,
            "batch_first": True,
            "bias": False,
        },
        84,
        (7.573992276, 2.80387114858, 3.85748971351, 7.80699278338),
    ),
}

# What, index, values.
ELEMENTS = {
    "A": [
        ("output", (0, 0), "0.244017441232 -0.437648612841 0.244606975632"),
        ("output", (0, 1), "0.352990629205 -0.169299947431 -0.273082864068"),
        ("output", (-1, -1), "0.511851395241 -0.460930119618 -0.135866977272"),
        ("h_n", (-1, 1), "0.511851395241 -0.460930119618 -0.135866977272"),
    ],
    "B": [
        ("output", (0, 0), "0.249041493992 0 0.249668450479"),
        ("output", (0, 1), "0.368855962179 0 0"),
        ("output", (-1, -1), "0.813832816984 0 0.0978648656285"),
        ("h_n", (-1, 1), "0.813832816984 0 0.0978648656285"),
    ],
    "C": [
        (
            "output",
            (0, 0),
            "-0.370974642569 -0.319893982291 -0.39734667628 "
            "-0.156521777781 -0.123580251101 -0.184881864406",
        ),
        (
            "output",
            (-1, -1),
            "-0.693111226485 -0.483667378306 -0.810763369732 "
            "0.110724387598 0.0791563523973 -0.200709970385",
        ),
        ("h_n", (-1, 1), "0.000635709960385 0.203593312773 -0.184810366001"),
    ],
    "D": [
        ("output", (0, 0), "0 0 0 0.0683532364958 0 0.0435027029838"),
        ("output", (-1, -1), "0 0 0 0.538666053707 0.63151475693 0.396237620832"),
        ("h_n", (-1, 1), "0.287067284373 0.233620268405 0.215420760412"),
    ],
}

I, H, T, B = 2, 3, 4, 2  # noqa: E741


def fill(net):
    """The parameters in order, with one running counter k: 0.5 cos(k)."""
    k = 0
    for parameter in net.parameters():
        count = np.arange(k, k + parameter.size).reshape(parameter.shape)
        parameter[...] = 0.5 * np.cos(count)
        k += parameter.size
    return k


def case(name):
    """The network of a case, its input and its initial state."""
    options, size, _ = CASES[name]
    net = crnn.RNN(I, H, dtype="float64", **options)
    assert fill(net) == size
    x = np.sin(np.arange(T * B * I)).reshape(T, B, I)
    states = net.num_layers * (2 if net.bidirectional else 1)
    h0 = 0.1 * np.cos(np.arange(states * B * H)).reshape(states, B, H)
    return net, x.swapaxes(0, 1) if net.batch_first else x, h0


def close(value, expected):
    np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_sums(name, isa):
    net, x, h0 = case(name)
    output, h_n = net(x, h0)
    sums = output.sum(), (output**2).sum(), h_n.sum(), net(x)[0].sum()
    close(sums, CASES[name][2])


@pytest.mark.parametrize("name", CASES)
def test_elements(name, isa):
    net, x, h0 = case(name)
    results = dict(zip(("output", "h_n"), net(x, h0), strict=True))
    for what, index, values in ELEMENTS[name]:
        close(results[what][index], [float(v) for v in values.split()])


@pytest.mark.parametrize(("name", "nonlinearity"), [("A", "tanh"), ("B", "relu")])
def test_cell(name, nonlinearity, isa):
    cell = crnn.RNNCell(I, H, nonlinearity=nonlinearity, dtype="float64")
    assert fill(cell) == 21
    x = np.sin(np.arange(2 * I)).reshape(2, I)
    h = cell(x, 0.1 * np.cos(np.arange(2 * H)).reshape(2, H))
    for row in range(2):
        _, index, values = ELEMENTS[name][row]
        assert index == (0, row)
        close(h[row], [float(v) for v in values.split()])


def test_packed_with_the_generator_of_torch(isa):
    crnn.manual_seed(0)
    net = crnn.RNN(2, 3)
    packed = Packed(np.ones((3, 2), np.float32), np.array([1, 1, 1]), None, None)
    expected = """-0.0645 -0.7274 0.4531
                  -0.3970 -0.6950 0.6009
                  -0.3877 -0.7310 0.6806"""
    rows = np.array(expected.split(), float).reshape(3, 3)
    np.testing.assert_allclose(net(packed)[0].data, rows, rtol=0, atol=5.1e-5)
