"""Faults, group E: object state and lifecycle; the number in a test's name is its row.

Rows 80 and 81 are in test_import.py; copies and pickles in test_faults_e_copies.py;
attributes and arrays in test_faults_e_attributes.py and test_faults_e_arrays.py.
"""

import contextlib
import gc
import sys
import weakref

import pytest
from faults import (
    B,
    H,
    I,
    T,
    cell,
    check_usable,
    network,
    refused,
    same_bits,
)
from shapes import draw

import crnn


@pytest.mark.parametrize("kind", [crnn.RNN, crnn.RNNCell])
def test_fault_72_init_twice_or_never(kind):
    net = network() if kind is crnn.RNN else cell()
    with refused(RuntimeError, "__init__", net):
        net.__init__(I, H)
    with refused(RuntimeError, "__init__", net):
        net.__init__(I, H + 1, dtype="float64")
    raw, x = kind.__new__(kind), draw(T, B, I)
    for use in (
        lambda: raw(x),
        lambda: raw(x, x),
        lambda: raw.forward(x),
        lambda: raw._run(x),
        lambda: raw.state_dict(),
        lambda: list(raw.parameters()),
        lambda: raw.reset_parameters(),
        lambda: raw.double(),
        lambda: raw.load_state_dict({}),
    ):
        with pytest.raises(RuntimeError):
            use()
    for use in repr, dir, lambda raw: raw.weight_ih_l0, lambda raw: raw.eval():
        with contextlib.suppress(RuntimeError, AttributeError):
            use(raw)
    raw.__init__(I, H)
    check_usable(raw)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((3, 0), {}),
        ((3, 2**62), {}),
        ((3, 2**40), {}),
        ((3, 5, 0), {}),
        ((3, 5), {"dtype": "int8"}),
        ((3, 5), {"device": "cuda"}),
        ((3, 5), {"unknown": 1}),
    ],
    ids=str,
)
def test_fault_72_init_fails_half_way(arguments, options):
    raw = crnn.RNN.__new__(crnn.RNN)
    with pytest.raises(Exception):  # noqa: B017 - which one is tested elsewhere
        raw.__init__(*arguments, **options)
    with pytest.raises(RuntimeError):
        raw(draw(T, B, I))
    raw.__init__(I, H)
    check_usable(raw)


class WithoutInit(crnn.RNN):
    def __init__(self):
        pass


class WithSlots(crnn.RNN):
    __slots__ = ("extra",)


class OwnForward(crnn.RNN):
    def forward(self, input, hx=None):
        return "mine", super().forward(input, hx)


def test_fault_73_subclasses():
    with pytest.raises(RuntimeError, match="WithoutInit"):
        WithoutInit()(draw(T, B, I))
    slotted = WithSlots(I, H)
    slotted.extra = slotted
    check_usable(slotted)
    own, x = OwnForward(I, H), draw(T, B, I)
    name, results = own(x)
    assert name == "mine" and all(map(same_bits, results, crnn.RNN.forward(own, x)))
    net = network()
    net.forward = lambda *args: "replaced"
    assert net(x) == "replaced"
    del net.forward
    check_usable(net)


def test_fault_73_resurrection():
    saved = []

    class Undead(crnn.RNN):
        def __del__(self):
            saved.append(self)

    net = Undead(I, H)
    net.itself = net
    del net
    gc.collect()
    assert len(saved) == 1
    check_usable(saved[0])
    Undead.__del__ = lambda self: None
    saved.clear()
    gc.collect()


def test_fault_73_class_of_another_kind():
    net, x = network(num_layers=2, bidirectional=True), draw(T, B, I)
    for kind in crnn.RNNCell, crnn._core.Network, OwnForward:
        with contextlib.suppress(Exception):
            net.__class__ = kind
            net(x)
            net(x[0], draw(B, H))
    net.__class__ = crnn.RNN
    net._is_cell = True
    for argument in x, x[0], x[0, 0]:
        with contextlib.suppress(Exception):
            net(argument)
        with contextlib.suppress(Exception):
            net._run(argument)
    net._is_cell = False
    check_usable(net)


def test_fault_74_cycles():
    net = network()
    net.itself, net.training = [net], {"of": net}
    net.dropout = net.mode = net.batch_first = net.training
    watch = weakref.ref(net)
    before = crnn._core.allocations()
    del net
    gc.collect()
    assert watch() is None
    assert crnn._core.allocations() == before - 1


def test_fault_74_collection_at_any_time():
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for make in network, cell:
            net = make()
            check_usable(net)
            with contextlib.suppress(ValueError):
                net(draw(1))
    finally:
        gc.set_threshold(*thresholds)


def test_fault_75_weak_references():
    calls = []
    net = network()
    watch = weakref.ref(net, lambda reference: calls.append(reference()))
    final = weakref.finalize(net, lambda: calls.append(check_usable(network())))
    check_usable(watch())
    del net
    gc.collect()
    assert calls == [None, None] and not final.alive


def test_fault_76_reentrancy():
    """Tracing, profiling and warnings may call back into the object that is called."""
    net, x, h0 = network(num_layers=2), draw(T, B, I), draw(2, B, H)
    expected, depth = net(x, h0), [0]

    def call_back(*ignored):
        if depth[0] == 0:
            depth[0] = 1
            net(x)
            net(x, lengths=[1, 2])
            depth[0] = 0

    old = sys.gettrace(), sys.getprofile()
    for install, restore in (sys.settrace, old[0]), (sys.setprofile, old[1]):
        install(call_back)
        try:
            results = net(x, h0), net.forward(x, h0)
        finally:
            install(restore)
        for result in results:
            assert all(map(same_bits, result, expected))
    check_usable(net)
