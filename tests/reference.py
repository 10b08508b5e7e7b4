"""The oracle: the Elman network in float64 NumPy, in the words of its equations.

T time, B batch, I input, H hidden, L layers, D directions; time comes first.
"""

import numpy as np

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def tanh(a):
    return np.tanh(a)


def relu(a):
    return np.where(a < 0, 0, a)  # NaN stays NaN


def one_direction(x, h, weights, act, lengths, reverse):
    """x (T, B, I) from state h (B, H): the states (T, B, H), and the last one (B, H).

    Row b takes part in steps t < lengths[b]; its states after them are zero.
    """
    w_ih, w_hh, b_ih, b_hh = weights
    states = np.zeros((*x.shape[:2], w_hh.shape[0]))
    for t in range(len(x))[:: -1 if reverse else 1]:
        alive = (t < lengths)[:, None]
        new = act(x[t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
        h = np.where(alive, new, h)
        states[t] = np.where(alive, new, 0)
    return states, h


def forward(x, h0, layers, act, lengths, masks=None):
    """Output (T, B, D*H) and h_n (L*D, B, H).

    layers[l][d] are the weights of direction d of layer l; masks[l] (T, B, D*H)
    multiplies the output of layer l before the layer above reads it.
    """
    h_n = []
    for layer, directions in enumerate(layers):
        outputs = []
        for weights in directions:
            results = one_direction(
                x, h0[len(h_n)], weights, act, lengths, reverse=len(outputs) == 1
            )
            outputs.append(results[0])
            h_n.append(results[1])
        x = np.concatenate(outputs, axis=-1)
        if masks is not None and layer < len(layers) - 1:
            x = x * masks[layer]
    return x, np.stack(h_n)


def float64(a):
    """An array or a torch tensor as a float64 array."""
    return np.asarray(a.detach() if hasattr(a, "detach") else a, np.float64)


def weights_of(net, suffix):
    """(w_ih, w_hh, b_ih, b_hh) of one layer and direction; 0 for missing biases."""
    kinds = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
    weights = (getattr(net, kind + suffix, None) for kind in kinds)
    return [0.0 if w is None else float64(w) for w in weights]


def reference_of(net, x, hx=None, lengths=None, masks=None):
    """What a network of crnn or torch must return for these arguments.

    (output, h_n) of an RNN, in the layout that it gives; h of an RNNCell.
    """
    with np.errstate(all="ignore"):
        if hasattr(net, "weight_ih_l0"):
            return network_reference(net, x, hx, lengths, masks)
        return cell_reference(net, x, hx)


def cell_reference(cell, x, hx=None):
    x = float64(x)
    act = {"tanh": tanh, "relu": relu}[cell.nonlinearity]
    w_ih, w_hh, b_ih, b_hh = weights_of(cell, "")
    h = 0.0 if hx is None else float64(hx) @ w_hh.T
    return act(x @ w_ih.T + b_ih + h + b_hh)


def network_reference(net, x, hx, lengths, masks):
    x, batched = float64(x), np.ndim(x) == 3
    act = {"RNN_TANH": tanh, "RNN_RELU": relu}[net.mode]
    transpose = net.batch_first and batched
    if not batched:
        x = x[:, None]
    elif transpose:
        x = x.swapaxes(0, 1)
    T, B, _ = x.shape
    suffixes = ("", "_reverse") if net.bidirectional else ("",)
    layers = [
        [weights_of(net, f"_l{layer}{suffix}") for suffix in suffixes]
        for layer in range(net.num_layers)
    ]
    shape = (net.num_layers * len(suffixes), B, net.hidden_size)
    h0 = np.zeros(shape) if hx is None else float64(hx).reshape(shape)
    lengths = np.full(B, T) if lengths is None else np.asarray(lengths)
    output, h_n = forward(x, h0, layers, act, lengths, masks)
    if not batched:
        return output[:, 0], h_n[:, 0]
    return output.swapaxes(0, 1) if transpose else output, h_n


def assert_close(result, right):
    """Equal, element by element, within rule R6's tolerance of right's scale."""
    result = np.asarray(result)
    assert result.shape == right.shape
    scale = np.abs(right[np.isfinite(right)]).max(initial=1)
    atol = TOLERANCE[result.dtype.name] * scale
    np.testing.assert_allclose(result, right, rtol=0, atol=atol)


def packing(lengths):
    """batch_sizes, sorted_indices, and the index (t, b) of each row of a pack.

    x[index] packs x (T, B, ...), and padded[index] = data unpacks.
    """
    lengths = np.asarray(lengths, np.int64)
    order = np.argsort(-lengths, kind="stable")
    alive = [order[lengths[order] > t] for t in range(lengths.max())]
    batch_sizes = np.array([len(rows) for rows in alive], np.int64)
    steps = np.repeat(np.arange(len(alive)), batch_sizes)
    return batch_sizes, order, (steps, np.concatenate(alive))
