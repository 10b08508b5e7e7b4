"""Embedding and Readout: torch's names, shapes and initial values; their gradients."""

import copy
import pickle

import numpy as np
import pytest

import crnn
from crnn import products
from crnn.activations import ACTIVATIONS, log_softmax
from crnn.layers import Embedding, Readout

DTYPES = ("float32", "float64")


def numeric_gradient(f, array, step=1e-6):
    """Central differences of the number f() by every element of array."""
    gradient = np.zeros_like(array)
    for i in np.ndindex(array.shape):
        old = array[i]
        array[i] = old + step
        above = f()
        array[i] = old - step
        gradient[i] = (above - f()) / (2 * step)
        array[i] = old
    return gradient


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 2), (5, 3), (16, 1), (17, 1), (100, 7)])
def test_initial_values_are_those_of_torch(torch, shape, dtype):
    torch.manual_seed(3)
    crnn.manual_seed(3)
    kind = getattr(torch, dtype)
    theirs = torch.nn.Embedding(*shape, dtype=kind).weight.detach().numpy()
    linear = torch.nn.Linear(*shape, dtype=kind)
    ours = Embedding(*shape, dtype=dtype)
    readout = Readout(*shape, dtype=dtype)
    np.testing.assert_allclose(ours.weight, theirs, atol=2e-6, rtol=0)
    assert list(readout.state_dict()) == list(linear.state_dict())
    for name, array in readout.named_parameters():
        assert np.array_equal(array, getattr(linear, name).detach().numpy()), name
    spare = torch.nn.Linear(2, 1, dtype=kind).bias.detach().numpy()
    assert np.array_equal(Readout(2, 1, dtype=dtype).bias, spare)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_readout_against_torch(torch, activation, dtype):
    rng = np.random.default_rng(0)
    readout = Readout(7, 4, activation, dtype=dtype)
    linear = torch.nn.Linear(7, 4, dtype=getattr(torch, dtype))
    linear.load_state_dict({n: torch.tensor(a) for n, a in readout.named_parameters()})
    x = rng.standard_normal((5, 3, 7)).astype(dtype)
    d_y = rng.standard_normal((5, 3, 4)).astype(dtype)
    y, pullback = readout.vjp(x)
    gradients = pullback(d_y)
    t = torch.tensor(x, requires_grad=True)
    act = {None: lambda a: a, "softmax": lambda a: a.softmax(-1)}
    expected = act.get(activation, getattr(torch, activation or "", None))(linear(t))
    expected.backward(torch.tensor(d_y))
    close = {"atol": 1e-5 if dtype == "float32" else 1e-12, "rtol": 0}
    np.testing.assert_allclose(y, expected.detach().numpy(), **close)
    np.testing.assert_allclose(gradients["input"], t.grad.numpy(), **close)
    for name in "weight", "bias":
        theirs = getattr(linear, name).grad.numpy()
        np.testing.assert_allclose(gradients[name], theirs, **close)
    assert y.dtype == gradients["input"].dtype == gradients["weight"].dtype == dtype


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_readout_by_finite_differences(activation):
    rng = np.random.default_rng(1)
    readout = Readout(3, 4, activation, dtype="float64")
    x, d_y = rng.standard_normal((2, 3)), rng.standard_normal((2, 4))
    gradients = readout.vjp(x)[1](d_y)
    arrays = {"input": x} | dict(readout.named_parameters())
    for name, array in arrays.items():
        numeric = numeric_gradient(lambda: (readout(x) * d_y).sum(), array)
        np.testing.assert_allclose(gradients[name], numeric, atol=1e-8)


def test_embedding_against_torch_and_finite_differences(torch):
    ids = np.array([[1, 2, 0], [2, 2, 4]])
    embedding = Embedding(5, 3, padding_idx=0, dtype="float64")
    assert not embedding.weight[0].any()
    theirs = torch.nn.Embedding(5, 3, padding_idx=0, dtype=torch.float64)
    theirs.load_state_dict({"weight": torch.tensor(embedding.weight)})
    d_y = np.random.default_rng(0).standard_normal((2, 3, 3))
    y, pullback = embedding.vjp(ids)
    (theirs(torch.tensor(ids)) * torch.tensor(d_y)).sum().backward()
    gradient = pullback(d_y)["weight"]
    np.testing.assert_allclose(gradient, theirs.weight.grad.numpy(), atol=1e-14)
    loss = lambda: (embedding(ids) * d_y).sum()  # noqa: E731
    numeric = numeric_gradient(loss, embedding.weight)
    np.testing.assert_allclose(gradient[1:], numeric[1:], atol=1e-8)
    assert np.array_equal(y, embedding.weight[ids])


@pytest.mark.parametrize("sizes", [(64, 9), (128, 632), (20, 2), (33, 7)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_row_has_the_same_bits_in_every_batch(sizes, activation):
    readout = Readout(*sizes, activation)
    x = np.random.default_rng(0).standard_normal((500, sizes[0]), np.float32)
    together = readout(x)
    for part in slice(0, 1), slice(3, 20), slice(100, 399), slice(499, 500):
        assert np.array_equal(readout(x[part]), together[part])
    assert np.array_equal(readout(x.reshape(5, 100, -1)).reshape(500, -1), together)
    assert np.array_equal(readout(x[::-1])[::-1], together)


def test_softmax_of_large_numbers():
    readout = Readout(1, 3, "softmax", bias=False)
    readout.weight = np.array([[1e4], [0.0], [-1e4]], np.float32)
    assert readout(np.ones((1, 1), np.float32)).tolist() == [[1.0, 0.0, 0.0]]
    log_p = log_softmax(np.array([1e30, 0.0], np.float32))
    assert np.isfinite(log_p).all()


@pytest.mark.parametrize(
    "layer",
    [Embedding(5, 3, padding_idx=-1), Readout(4, 3, "tanh"), Readout(4, 3, bias=False)],
    ids=repr,
)
def test_copies_pickles_and_dtypes(layer):
    for twin in copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)):
        assert repr(twin) == repr(layer)
        for name, array in layer.named_parameters():
            assert np.array_equal(twin.state_dict()[name], array)
            assert not np.shares_memory(twin.state_dict()[name], array)
    wide = copy.deepcopy(layer).double()
    assert wide.weight.dtype == np.float64
    assert np.array_equal(wide.weight, layer.weight)
    wide.float().load_state_dict(layer.state_dict())
    with pytest.raises(AttributeError):
        layer.num_embeddings = layer.hidden_size = 3
    with pytest.raises(crnn.ShapeError, match="Missing key"):
        layer.load_state_dict({})


def test_what_layers_refuse():
    embedding, readout = Embedding(5, 3), Readout(4, 3)
    with pytest.raises(IndexError, match="5 is not in"):
        embedding(np.array([1, 5]))
    with pytest.raises(IndexError):
        embedding([-1])
    with pytest.raises(crnn.DTypeError):
        embedding(np.array([1.0]))
    with pytest.raises(crnn.ShapeError, match=r"\(\.\.\., 4\)"):
        readout(np.zeros((2, 3), np.float32))
    with pytest.raises(crnn.DTypeError):
        readout(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="activation"):
        Readout(4, 3, "swish")
    with pytest.raises(ValueError, match="at least 1"):
        Readout(0, 3)
    with pytest.raises(ValueError, match="within num_embeddings"):
        Embedding(5, 3, padding_idx=5)
    _, pullback = readout.vjp(np.zeros((2, 4), np.float32))
    with pytest.raises(crnn.ShapeError, match="d_output"):
        pullback(np.zeros((2, 4), np.float32))
    assert readout(np.zeros((0, 4), np.float32)).shape == (0, 3)


def test_tensors_come_back_as_tensors(torch):
    readout = Readout(4, 3)
    with torch.no_grad():
        y, pullback = readout.vjp(torch.ones(2, 4))
    assert isinstance(y, torch.Tensor)
    assert isinstance(pullback(y)["input"], torch.Tensor)


@pytest.mark.parametrize("sizes", [(2, 64), (40, 128), (632, 64), (3, 20000)])
def test_products_in_pieces(sizes):
    rng = np.random.default_rng(0)
    for N in 0, 1, 17, 700:
        x = rng.standard_normal((N, sizes[0]))
        matrix = rng.standard_normal(sizes)
        b = rng.standard_normal((N, sizes[1]))
        for ours, expected in [
            (products.product(x, matrix), x @ matrix),
            (products.rowwise_product(x, matrix.T), x @ matrix),
            (products.summed_product(x, b), x.T @ b),
        ]:
            np.testing.assert_allclose(ours, expected, atol=1e-11)
