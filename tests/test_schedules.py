"""Rule R1 across schedules: threads, ISAs and parts change no bit, there and back."""

import itertools

import numpy as np
import pytest
from faults import Packed, same_bits
from reference import packing
from shapes import draw

import crnn
from crnn import _core

SCHEDULES = ("rows", "directions", "layers", "columns")
THREADS = (2, 3, 5)


schedules = pytest.mark.parametrize(
    "schedule",
    list(itertools.product(SCHEDULES, THREADS)),
    ids=lambda p: f"{p[0]}-{p[1]}",
    indirect=True,
)


def make(layers, two_way, dtype, nonlinearity="tanh", H=200, **options):
    crnn.manual_seed(0)
    options["bidirectional"] = two_way
    return crnn.RNN(6, H, layers, nonlinearity, dtype=dtype, **options)


def results(net, x, hx=None, **options):
    """Everything that a call and its pullback give."""
    output, h_n, pullback = net.vjp(x, hx, **options)
    data = output.data if isinstance(output, Packed) else output
    plain = net(x, hx, **options)
    plain = (plain[0].data if isinstance(output, Packed) else plain[0], plain[1])
    assert same_bits(plain[0], data) and same_bits(plain[1], h_n)
    gradients = pullback(np.cos(data), np.sin(h_n))
    only_h_n = pullback(None, h_n)
    return [data, h_n, *gradients.values(), *only_h_n.values()]


def calls(dtype):
    """Functions of no arguments: networks of every shape on batches of every kind."""
    for layers, two_way, B in itertools.product((1, 4), (False, True), (1, 9)):
        net = make(layers, two_way, dtype, "tanh" if B == 1 else "relu")
        states = layers * (2 if two_way else 1)
        x, hx = draw(21, B, 6, dtype=dtype), draw(states, B, 200, dtype=dtype)
        yield lambda net=net, x=x, hx=hx: results(net, x, hx)
    net = make(2, True, dtype)
    x, lengths = draw(23, 19, 6, dtype=dtype), np.arange(19) * 7 % 23 + 1
    yield lambda net=net, x=x: results(net, x, lengths=lengths)
    sizes, order, index = packing(lengths)
    packed = Packed(x[index], sizes, order, np.argsort(order))
    yield lambda net=net: results(net, packed)
    first = make(2, True, dtype, batch_first=True)
    turned = x.swapaxes(0, 1)[:, ::-1, ::-1]
    yield lambda: results(first, turned, lengths=lengths)
    yield lambda: results(make(1, False, dtype, H=1024), x[:3])
    yield lambda: results(make(1, False, dtype, H=3), draw(3, 3000, 6, dtype=dtype))
    many = draw(25, 43, 6, dtype=dtype)  # in several spans on the way back
    yield lambda: results(make(2, True, dtype), many)
    cell = crnn.RNNCell(6, 200, dtype=dtype)
    cell.load_state_dict(
        {
            n.removesuffix("_l0"): a
            for n, a in make(1, False, dtype).state_dict().items()
        }
    )
    yield lambda: [cell(x[0]), *cell.vjp(x[0])[1](cell(x[0])).values()]


@pytest.fixture(scope="module", params=["float32", "float64"])
def expected(request):
    """The calls, and their results on one thread of plain C."""
    before = _core.set_isa("generic")
    functions = list(calls(request.param))
    with crnn.threads(1):
        alone = [function() for function in functions]
    _core.set_isa(before)
    return functions, alone


def check(expected):
    for number, (function, right) in enumerate(zip(*expected, strict=True)):
        assert all(map(same_bits, function(), right)), number


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_that_are_cut_for_the_watch(dtype):
    """Of 70 rows and 1024 units: more multiply-adds than any kernels do at once."""
    rnn, x = make(1, False, dtype, H=1024), draw(2, 70, 6, dtype=dtype)
    found, before = {}, _core.isa()
    for name in crnn.isas():
        _core.set_isa(name)
        with crnn.threads(1):
            found[name] = results(rnn, x)
    _core.set_isa(before)
    for name in crnn.isas():
        assert all(map(same_bits, found[name], found["generic"])), name


@pytest.mark.parametrize("name", crnn.isas()[1:])
def test_one_thread(expected, name):
    before = _core.set_isa(name)
    with crnn.threads(1):
        check(expected)
    _core.set_isa(before)


@schedules
def test_schedule(expected, schedule):
    check(expected)


@schedules
def test_dropout(schedule):
    net = make(3, True, "float32", dropout=0.5)
    x, found = draw(17, 5, 6), []
    for name in schedule, "alone":
        _core.prefer_schedule(name)
        crnn.manual_seed(1)
        found.append(results_of_training(net, x))
    assert all(map(same_bits, *found))


def results_of_training(net, x):
    output, h_n, pullback = net.vjp(x)
    return [output, h_n, *pullback(output, h_n).values()]


def test_lengths_and_packs_have_the_same_gradients(isa):
    """In bits: the order of the rows within a step is the same."""
    net, B = make(2, True, "float32", H=17), 7
    lengths = np.array([3, 5, 5, 1, 4, 2, 5])
    x = draw(5, B, 6)
    sizes, order, index = packing(lengths)
    output, h_n, pullback = net.vjp(x, lengths=lengths)
    found = pullback(output, h_n)
    packed = Packed(x[index], sizes, order, np.argsort(order))
    result, _, pullback = net.vjp(packed)
    other = pullback(result, h_n)
    assert same_bits(other["input"], found["input"][index])
    assert not found["input"][np.arange(5)[:, None] >= lengths].any()
    for name in net.state_dict():
        assert same_bits(other[name], found[name]), name


def test_prefer_schedule_refuses_what_there_is_not():
    for name in "", "row", None, 1:
        with pytest.raises(ValueError, match="no schedule"):
            _core.prefer_schedule(name)


@pytest.mark.parametrize("schedule", [("columns", 2)], indirect=True)
def test_states_are_kept_until_all_have_read_them(schedule):
    """Rows that end with the first step of a span: h_n is read and written there."""
    net, lengths = make(2, True, "float32"), np.arange(19) * 7 % 23 + 1
    sizes, _, index = packing(np.sort(lengths)[::-1])
    packed = Packed(draw(23, 19, 6)[index], sizes, None, None)
    with crnn.threads(1):
        right, states = net(packed)
    for _ in range(300):
        result, h_n = net(packed)
        assert same_bits(result.data, right.data) and same_bits(h_n, states)
