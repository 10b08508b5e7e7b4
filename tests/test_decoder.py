"""crnn.estimators.decoder: its gradients, and steps against whole sequences."""

import numpy as np
import pytest

import crnn
from crnn.estimators.decoder import Decoder, State, make_decoder
from crnn.training import cross_entropy

U, T, B, V, H = 5, 6, 4, 8, 6
LENGTHS, MEMORY_LENGTHS = np.array([5, 1, 3, 4]), np.array([2, 6, 1, 5])
KINDS = [(0, False), (3, False), (0, True), (3, True)]


def example(features, attention, dtype=np.float64):
    """Layers of a decoder of two layers, its state, tokens and targets."""
    crnn.manual_seed(0)
    kinds = {"num_layers": 2, "dtype": dtype}
    layers = make_decoder(V, 5, H, features, attention, **kinds)
    rng = np.random.default_rng(0)
    state = State(
        rng.normal(size=(2, B, H)).astype(dtype),
        rng.normal(size=(T, B, H)).astype(dtype) if attention else None,
        MEMORY_LENGTHS if attention else None,
        rng.normal(size=(B, features)).astype(dtype) if features else None,
    )
    targets = rng.integers(0, V, (np.arange(U)[:, None] < LENGTHS).sum())
    return layers, state, rng.integers(0, V, (U, B)), targets


def arrays_of(layers):
    return {
        f"{key}.{name}": array
        for key, layer in layers.items()
        for name, array in layer.state_dict().items()
    }


def check_gradients(loss_of, arrays, gradients):
    """Central differences along random directions; arrays are edited in place."""
    rng, step = np.random.default_rng(1), 1e-5
    for name, array in arrays.items():
        direction, before = rng.normal(size=array.shape), array.copy()
        ends = []
        for e in (step, -step):
            array[...] = before + e * direction
            ends.append(loss_of())
        array[...] = before
        slope = (ends[0] - ends[1]) / (2 * step)
        expected = (gradients[name] * direction).sum()
        assert slope == pytest.approx(expected, rel=1e-5, abs=1e-9), name


@pytest.mark.parametrize("features, attention", KINDS)
def test_decoder_by_differences(features, attention):
    layers, state, tokens, targets = example(features, attention)

    def loss_of():
        return cross_entropy(Decoder(layers).vjp(tokens, LENGTHS, state)[0], targets)[0]

    logits, pullback = Decoder(layers).vjp(tokens, LENGTHS, state)
    gradients = pullback(cross_entropy(logits, targets)[1])
    arrays = arrays_of(layers) | {"h": state.h}
    if attention:
        arrays["memory"] = state.memory
    if features:
        arrays["features"] = state.features
    check_gradients(loss_of, arrays, gradients)


@pytest.mark.parametrize("features, attention", KINDS)
def test_steps_are_the_sequence(features, attention):
    layers, state, tokens, _ = example(features, attention)
    logits, _ = Decoder(layers).vjp(tokens, LENGTHS, state)
    whole = np.zeros((U, B, V))
    whole[np.arange(U)[:, None] < LENGTHS] = logits
    for t in range(U):
        found, state = Decoder(layers).step(tokens[t], state)
        alive = t < LENGTHS
        np.testing.assert_allclose(found[alive], whole[t, alive], atol=1e-12)


@pytest.mark.parametrize("features, attention", KINDS)
def test_a_row_has_the_same_bits_alone(features, attention):
    layers, state, tokens, _ = example(features, attention, np.float32)
    together, _ = Decoder(layers).step(tokens[0], state)
    for b in range(B):
        alone, _ = Decoder(layers).step(tokens[0, [b]], state.take([b]))
        np.testing.assert_array_equal(alone[0], together[b])


@pytest.mark.parametrize("features, attention", KINDS)
def test_decoder_is_that_of_torch(torch, features, attention):
    layers, state, tokens, targets = example(features, attention)
    logits, pullback = Decoder(layers).vjp(tokens, LENGTHS, state)
    loss, d_logits = cross_entropy(logits, targets)
    gradients = pullback(d_logits)

    weights = {
        name: torch.tensor(array, requires_grad=True)
        for name, array in arrays_of(layers).items()
    }
    rnn = torch.nn.RNN(5 + features, H, 2, dtype=torch.float64)
    x = weights["decoder_embedding.weight"][torch.tensor(tokens)]
    if features:
        beside = torch.tensor(state.features).expand(U, B, features)
        x = torch.cat([x, beside], 2)
    own = {
        n.removeprefix("decoder_rnn."): w
        for n, w in weights.items()
        if "decoder_rnn." in n
    }
    output, _ = torch.func.functional_call(rnn, own, (x, torch.tensor(state.h)))
    if attention:
        mask = torch.arange(T) < torch.tensor(MEMORY_LENGTHS)[:, None]
        m = torch.tensor(state.memory).transpose(0, 1)
        context = torch.nn.functional.scaled_dot_product_attention(
            output.transpose(0, 1), m, m, attn_mask=mask[:, None], scale=1.0
        )
        both = torch.cat([output, context.transpose(0, 1)], 2)
        output = torch.tanh(both @ weights["mix.weight"].T + weights["mix.bias"])
    theirs = output @ weights["readout.weight"].T + weights["readout.bias"]
    alive = torch.arange(U)[:, None] < torch.tensor(LENGTHS)
    expected = torch.nn.functional.cross_entropy(theirs[alive], torch.tensor(targets))
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-12)
    for name, weight in weights.items():
        np.testing.assert_allclose(gradients[name], weight.grad.numpy(), atol=1e-12)
