"""Faults, group E: copies, pickles and hostile states (rows 77 and 78)."""

import contextlib
import copy
import pickle

import numpy as np
import pytest
from faults import B, H, I, T, both_dtypes, cell, check_usable, draw, network, same_bits

import crnn

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda net, protocol=protocol: pickle.loads(
            pickle.dumps(net, protocol)
        )
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


@both_dtypes
@pytest.mark.parametrize("way", COPIES)
def test_fault_77_copies_are_equal_and_independent(way, dtype):
    options = {"bidirectional": True, "nonlinearity": "relu", "batch_first": True}
    net = network(dtype, num_layers=2, dropout=0.5, bias=False, **options).eval()
    net.note = ["mine"]
    twin, x = COPIES[way](net), draw(B, T, I, dtype=dtype)
    assert repr(twin) == repr(net) and twin.note == net.note and not twin.training
    assert list(twin.state_dict()) == list(net.state_dict())
    expected = net(x)
    assert all(map(same_bits, twin(x), expected))
    for array, other in zip(net.parameters(), twin.parameters(), strict=True):
        assert same_bits(array, other) and not np.shares_memory(array, other)
        assert array.flags == other.flags
        other[...] = 0
    assert all(map(same_bits, net(x), expected))
    assert not twin(x)[0].any()
    single = cell(dtype)
    assert same_bits(COPIES[way](single)(x[0]), single(x[0]))


def test_fault_77_cycles_are_copied():
    net = network()
    net.itself = net
    twin = copy.deepcopy(net)
    assert twin.itself is twin
    twin = pickle.loads(pickle.dumps(net))
    assert twin.itself is twin
    check_usable(twin)


def raw():
    return crnn.RNN.__new__(crnn.RNN)


GARBAGE = [None, (), (1, 2), [], {}, 42, "x", b"", object(), {"arguments": {}}, {1: 2}]


@pytest.mark.parametrize("state", GARBAGE, ids=repr)
def test_fault_78_states_that_are_none(state):
    net = raw()
    with pytest.raises((ValueError, TypeError)):
        net.__setstate__(state)
    with pytest.raises(RuntimeError):
        net(draw(T, B, I))
    net.__init__(I, H)
    check_usable(net)


def paths(state, prefix=()):
    """Keys of all that lies in nested dictionaries."""
    for key, value in state.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths(value, (*prefix, key))


def changed(state, path, value):
    return (
        {**state, path[0]: changed(state[path[0]], path[1:], value)} if path else value
    )


def without(state, path):
    state = dict(state)
    if len(path) == 1:
        del state[path[0]]
    else:
        state[path[0]] = without(state[path[0]], path[1:])
    return state


STATE = network(num_layers=2).__getstate__()
VALUES = [None, -1, 0, 2**31, 2**40, 2**62, 2**70, 0.5, "x", b"x", (), [], {}, True]
ARRAYS = [np.zeros(0), np.zeros((H, 9)), np.zeros((H, I), "O"), np.zeros((H, I), "i4")]


@pytest.mark.parametrize("path", list(paths(STATE)), ids="-".join)
def test_fault_78_states_with_one_hostile_value(path):
    states = [changed(STATE, path, value) for value in VALUES + ARRAYS]
    for state in [*states, without(STATE, path)]:
        net = raw()
        try:
            net.__setstate__(state)
        except (ValueError, TypeError, MemoryError, OverflowError):
            with pytest.raises(RuntimeError):
                net(draw(T, B, I))
            net.__init__(I, H)
            check_usable(net)
        else:  # a value that says something else, not something wrong
            with contextlib.suppress(Exception):
                net(draw(T, B, I))


def test_fault_78_state_for_an_object_that_has_one():
    net = network()
    before = [p.tobytes() for p in net.parameters()]
    with pytest.raises(RuntimeError):
        net.__setstate__(network(seed=1).__getstate__())
    assert [p.tobytes() for p in net.parameters()] == before
    check_usable(net)


def test_fault_78_state_that_contains_itself():
    state = dict(STATE)
    for key in state:
        cyclic = dict(state)
        cyclic[key] = cyclic
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            raw().__setstate__(cyclic)
    check_usable(network())


class Evil:
    """A mapping value that changes the object while its state is read."""

    def __init__(self, action):
        self.action = action

    def __index__(self):
        self.action()
        return 5

    __int__ = __float__ = __bool__ = __index__

    def __le__(self, other):
        self.action()
        return False

    __gt__ = __ge__ = __lt__ = __eq__ = __le__
    __hash__ = None


def test_fault_78_values_that_run_code():
    def fail():
        raise KeyError("mine")

    for path in paths(STATE):
        net = raw()
        for action in fail, lambda net=net: net.__init__(I, H):
            with contextlib.suppress(Exception):
                net.__setstate__(changed(STATE, path, Evil(action)))
            with contextlib.suppress(Exception):
                net(draw(T, B, I))
    check_usable(network())
