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


def one_direction_back(x, h0, weights, act, lengths, reverse, states, dy, dhn):
    """Gradients of x, h0 and the weights from those of the states and of the last one.

    states are what one_direction() gave.
    """
    w_ih, w_hh, *_ = weights
    T = len(x)
    order = np.arange(T)[:: -1 if reverse else 1]
    dx, dh = np.zeros_like(x), dhn.copy()
    dw_ih, dw_hh, db = np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros(len(w_hh))
    for place in reversed(range(T)):
        t = order[place]
        alive = (t < lengths)[:, None]
        before = states[order[place - 1]] if place else h0
        begins = place == 0 or (reverse and np.equal(t, lengths - 1)[:, None])
        before = np.where(begins, h0, before)
        h = states[t]
        slope = 1 - h**2 if act is tanh else np.where(h > 0, 1, np.where(h <= 0, 0, 1))
        dz = np.where(alive, (dy[t] + dh) * slope, 0)
        dx[t] = dz @ w_ih
        dw_ih += dz.T @ x[t]
        dw_hh += dz.T @ np.where(alive, before, 0)
        db += dz.sum(0)
        dh = np.where(alive, dz @ w_hh, dh)
    return dx, dh, (dw_ih, dw_hh, db, db)


def backward(x, h0, layers, act, lengths, d_output, d_h_n):
    """Gradients of x, h0 and of the weights as layers[l][d]."""
    inputs, outputs = [x], []
    for layer, directions in enumerate(layers):
        results = [
            one_direction(inputs[-1], h, weights, act, lengths, reverse=d == 1)[0]
            for d, (weights, h) in enumerate(
                zip(directions, h0[layer * len(directions) :], strict=False)
            )
        ]
        outputs.append(results)
        inputs.append(np.concatenate(results, axis=-1))
    d_h0, d_layers, dy = np.zeros_like(h0), [], d_output
    for layer in reversed(range(len(layers))):
        parts = np.split(dy, len(layers[layer]), axis=-1)
        dy, d_weights = 0, []
        for d, weights in enumerate(layers[layer]):
            index = layer * len(layers[layer]) + d
            dx, d_h0[index], gradients = one_direction_back(
                *(inputs[layer], h0[index], weights, act, lengths, d == 1),
                *(outputs[layer][d], parts[d], d_h_n[index]),
            )
            dy = dy + dx
            d_weights.append(gradients)
        d_layers.insert(0, d_weights)
    return dy, d_h0, d_layers


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


def time_first(net, a):
    """An array of the call as (T, B, features), and back: it is its own inverse."""
    return a.swapaxes(0, 1) if net.batch_first and a.ndim == 3 else a


def parts_of(net, x, hx, lengths):
    """The arguments of forward(): x, h0, layers, act, lengths."""
    act = {"RNN_TANH": tanh, "RNN_RELU": relu}[net.mode]
    x = time_first(net, float64(x))
    x = x[:, None] if x.ndim == 2 else x
    T, B, _ = x.shape
    suffixes = ("", "_reverse") if net.bidirectional else ("",)
    layers = [
        [weights_of(net, f"_l{layer}{suffix}") for suffix in suffixes]
        for layer in range(net.num_layers)
    ]
    shape = (net.num_layers * len(suffixes), B, net.hidden_size)
    h0 = np.zeros(shape) if hx is None else float64(hx).reshape(shape)
    lengths = np.full(B, T) if lengths is None else np.asarray(lengths)
    return x, h0, layers, act, lengths


def network_reference(net, x, hx, lengths, masks):
    output, h_n = forward(*parts_of(net, x, hx, lengths), masks)
    if np.ndim(x) == 2:
        return output[:, 0], h_n[:, 0]
    return time_first(net, output), h_n


def gradients_of(net, x, hx, lengths, d_output, d_h_n):
    """Gradients by name, of a network of crnn or torch."""
    parts = parts_of(net, x, hx, lengths)
    d_output = time_first(net, float64(d_output)).reshape(*parts[0].shape[:2], -1)
    d_h_n = float64(d_h_n).reshape(parts[1].shape)
    dx, d_h0, d_layers = backward(*parts, d_output, d_h_n)
    found = {
        "input": dx[:, 0] if np.ndim(x) == 2 else time_first(net, dx),
        "hx": d_h0[:, 0] if np.ndim(x) == 2 else d_h0,
    }
    for layer, directions in enumerate(d_layers):
        for suffix, gradients in zip(("", "_reverse"), directions, strict=False):
            names = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
            for name, gradient in zip(names, gradients, strict=True):
                found[f"{name}_l{layer}{suffix}"] = gradient
    return found


def assert_gradient(result, right):
    """Equal within rule R6's tolerance for gradients."""
    result = np.asarray(result)
    assert result.shape == right.shape
    scale = np.abs(right).max(initial=1)
    tolerance = {"float32": 1e-4, "float64": 1e-10}[result.dtype.name]
    np.testing.assert_allclose(result, right, rtol=0, atol=tolerance * scale)


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
