"""Ways to call a network: positions, names, subclasses, what a class is given later."""

import abc
import functools
import operator

import numpy as np
import pytest
from faults import B, H, I, T, cell, network, same_bits
from shapes import draw

import crnn


def equal(results, expected):
    return all(map(same_bits, results, expected))


def test_positions_and_names():
    net, x, hx = network(), draw(T, B, I), draw(1, B, H)
    alone, both = net(x), net(x, hx)
    assert equal(net(input=x), alone) and equal(net(x, None), alone)
    assert equal(net(x, hx=None), alone) and equal(net(x, **{}), alone)
    assert equal(net(x, hx=hx), both) and equal(net(input=x, hx=hx), both)
    assert equal(net(*[x], **{"h" + "x": hx}), both)
    assert equal(net(x, hx, lengths=[T] * B), both)
    assert equal(crnn.RNN.__call__(net, x, hx), both)
    assert equal(functools.partial(net, hx=hx)(x), both)
    assert equal(next(map(net, [x], [hx])), both)
    assert equal(operator.methodcaller("__call__", x, hx=hx)(net), both)
    wrong = [((), {}), ((x, hx, hx), {}), ((x, hx), {"hx": hx}), ((x,), {"h_0": hx})]
    for arguments, options in [*wrong, ((), {"hx": hx}), ((x,), {"input": x})]:
        with pytest.raises(TypeError, match="forward"):
            net(*arguments, **options)
    with pytest.raises(TypeError, match="strings"):
        net(x, **{1: hx})
    c, x, h = cell(), draw(B, I), draw(B, H)
    assert same_bits(c(x, hx=h), c(x, h)) and same_bits(c(input=x), c(x))


@pytest.mark.parametrize("kind", [crnn.RNN, crnn.RNNCell])
def test_a_call_of_a_subclass(kind):
    class Doubled(kind):
        def __call__(self, *args, **kwargs):
            result = super().__call__(*args, **kwargs)
            return 2 * (result if kind is crnn.RNNCell else result[0])

    class Deeper(Doubled):
        pass

    x = draw(B, I)
    crnn.manual_seed(0)
    plain = kind(I, H)(x)
    right = 2 * (plain if kind is crnn.RNNCell else plain[0])
    for derived in Doubled, Deeper:
        crnn.manual_seed(0)
        assert same_bits(derived(I, H)(x), right)


def test_a_call_that_a_class_is_given_later():
    class Mine(crnn.RNN):
        pass

    class Deeper(Mine):
        pass

    crnn.manual_seed(0)
    net, x = Deeper(I, H), draw(T, I)
    expected = net(x)
    Mine.__call__ = lambda self, x: "mine"
    assert net(x) == "mine"
    Deeper.__call__ = lambda self, x: "deeper"
    assert net(x) == "deeper"
    del Deeper.__call__
    assert net(x) == "mine"
    del Mine.__call__
    assert equal(net(x), expected)
    net.__call__ = lambda x: "an instance's"  # which Python does not look for
    assert equal(net(x), expected)
    net.forward = lambda x: "forward"
    assert net(x) == "forward"


def test_abstract_subclass():
    class Abstract(crnn.RNN, abc.ABC):
        @abc.abstractmethod
        def read(self): ...

    class Concrete(Abstract):
        def read(self):
            return self(np.zeros((T, I), np.float32))

    with pytest.raises(TypeError, match="abstract"):
        Abstract(I, H)
    assert Concrete(I, H).read()[0].shape == (T, H)


def test_mode_is_what_was_set_last():
    net, x = network(), draw(T, B, I)
    tanh = net(x)
    net.mode = "RNN_" + "RELU".lower().upper()  # another object
    relu = net(x)
    assert net.mode == "RNN_RELU" and not equal(relu, tanh)
    for mode in "RNN_TANH ", b"RNN_TANH", None, 3:
        net.mode = mode
        assert net.mode is mode
        with pytest.raises(AssertionError, match="mode"):
            net(x)
    net.mode = type("Name", (str,), {})("RNN_TANH")
    assert equal(net(x), tanh)
    del net.mode
    with pytest.raises(AttributeError, match="mode"):
        del net.mode
    net.mode = "RNN_RELU"
    assert equal(net(x), relu)
