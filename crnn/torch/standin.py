"""TEMPORARY: the core's network in NumPy, until the backward pass is there in C."""

import numpy as np


def network_of(dtype, input_size, hidden_size, num_layers, num_directions, bias, mode):
    return Network(input_size, hidden_size, num_layers, num_directions, bias, mode)


class Network:
    batch_first = False
    _is_cell = False

    def __init__(self, I, H, L, D, bias, mode):  # noqa: E741
        self.sizes = I, H, L, D
        self.bias, self.mode = bias, mode

    def _load(self, arrays):
        I, H, L, D = self.sizes  # noqa: E741
        n = 4 if self.bias else 2
        if len(arrays) != L * D * n:
            raise ValueError("count")
        for k, a in enumerate(arrays):
            width = (I if k // n < D else D * H, H)[k % n] if k % n < 2 else None
            shape = (H,) if width is None else (H, width)
            if a.shape != shape or a.dtype != arrays[0].dtype:
                raise ValueError(f"shape {a.shape} {shape}")
        self.arrays = [a.copy() for a in arrays]

    def _run(self, x, hx=None, lengths=None, batch_sizes=None, masks=None):
        result = self._record(x, hx, lengths, batch_sizes, masks)[:-1]
        return result[0] if self._is_cell else result

    def _record(self, x, hx=None, lengths=None, batch_sizes=None, masks=None):
        tape = Tape(self, x, hx, batch_sizes, masks)
        return tape.forward()


class Tape:
    def __init__(self, net, x, hx, batch_sizes, masks):
        self.net, self.x, self.hx, self.masks = net, x, hx, masks
        self.sizes = batch_sizes
        if x.dtype != net.arrays[0].dtype or (hx is not None and hx.dtype != x.dtype):
            raise TypeError("dtype")

    def padded(self, x):
        if self.net._is_cell:
            return (x[None] if x.ndim == 2 else x[None, None]).astype(float)
        if self.sizes is not None:
            T, B = len(self.sizes), self.sizes[0]
            out, k = np.zeros((T, B, x.shape[-1])), 0
            for t, n in enumerate(self.sizes):
                out[t, :n] = x[k : k + n]
                k += n
            return out
        if x.ndim == 2:
            x = x[:, None]
        elif self.net.batch_first:
            x = x.swapaxes(0, 1)
        return x.astype(float)

    def unpadded(self, x):
        x = x.astype(self.x.dtype)
        if self.net._is_cell:
            return x[0] if self.x.ndim == 2 else x[0, 0]
        if self.sizes is not None:
            return np.concatenate([x[t, :n] for t, n in enumerate(self.sizes)])
        if self.x.ndim == 2:
            return x[:, 0].copy()
        if self.net.batch_first:
            return x.swapaxes(0, 1).copy()
        return x

    def states(self, hx, B):
        _, H, L, D = self.net.sizes
        if hx is None:
            return np.zeros((L * D, B, H))
        return hx.reshape(L * D, B, H).astype(float)

    def unstates(self, h):
        h = h.astype(self.x.dtype)
        if self.net._is_cell or (self.x.ndim == 2 and self.sizes is None):
            return h[:, 0]
        return h

    def act(self, a):
        return np.tanh(a) if self.net.mode == "RNN_TANH" else np.where(a < 0, 0, a)

    def slope(self, h):
        if self.net.mode == "RNN_TANH":
            return 1 - h * h
        return np.where(h <= 0, 0.0, 1.0)

    def weights(self, k):
        n = 4 if self.net.bias else 2
        w = [a.astype(float) for a in self.net.arrays[k * n : (k + 1) * n]]
        return w if n == 4 else [*w, 0.0, 0.0]

    def forward(self):
        I, H, L, D = self.net.sizes  # noqa: E741
        x = self.padded(self.x)
        T, B, _ = x.shape
        lengths = np.full(B, T)
        if self.sizes is not None:
            lengths = (self.sizes[:, None] > np.arange(B)).sum(0)
        self.alive = np.arange(T)[:, None] < lengths
        h0 = self.states(self.hx, B)
        self.h0 = h0
        self.inputs, self.hs, h_n = [], [], []
        for layer in range(L):
            outs = []
            for d in range(D):
                w_ih, w_hh, b_ih, b_hh = self.weights(layer * D + d)
                h = h0[layer * D + d]
                hs = np.zeros((T, B, H))
                for t in range(T)[:: -1 if d else 1]:
                    new = self.act(x[t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
                    h = np.where(self.alive[t][:, None], new, h)
                    hs[t] = np.where(self.alive[t][:, None], new, 0)
                outs.append(hs)
                h_n.append(h)
            self.inputs.append(x)
            self.hs.append(outs)
            x = np.concatenate(outs, -1)
            if self.masks is not None and layer < L - 1:
                x = x * self.padded(self.masks[layer])
        if self.net._is_cell:
            return self.unpadded(x), self
        return self.unpadded(x), self.unstates(np.stack(h_n)), self

    def pullback(self, d_output, d_h_n, want_input, want_hx, want_parameters):
        I, H, L, D = self.net.sizes  # noqa: E741
        T, B, _ = self.inputs[0].shape
        dy = np.zeros((T, B, D * H)) if d_output is None else self.padded(d_output)
        d_h_n = self.states(d_h_n, B)
        d_hx = np.zeros((L * D, B, H))
        grads = [None] * (L * D)
        for layer in range(L)[::-1]:
            x = self.inputs[layer]
            dx = np.zeros(x.shape)
            for d in range(D):
                k = layer * D + d
                w_ih, w_hh, _, _ = self.weights(k)
                hs = self.hs[layer][d]
                dh = d_h_n[k].copy()
                dz = np.zeros((T, B, H))
                prev = np.zeros((T, B, H))
                order = list(range(T)[:: -1 if d else 1])
                h = self.h0[k]
                for t in order:
                    prev[t] = h
                    h = np.where(self.alive[t][:, None], hs[t], h)
                for t in order[::-1]:
                    a = self.alive[t][:, None]
                    dz[t] = np.where(
                        a, (dh + dy[t, :, d * H : (d + 1) * H]) * self.slope(hs[t]), 0
                    )
                    dh = np.where(a, dz[t] @ w_hh, dh)
                d_hx[k] = dh
                dx += dz @ w_ih
                db = dz.sum((0, 1))
                g = [
                    np.einsum("tbh,tbi->hi", dz, x),
                    np.einsum("tbh,tbi->hi", dz, prev),
                ]
                g += [db, db.copy()] if self.net.bias else []
                grads[k] = [np.asfortranarray(v.astype(self.x.dtype)) for v in g]
            dy = dx
            if layer and self.masks is not None:
                dy = dy * self.padded(self.masks[layer - 1])
        return (
            self.unpadded(dy) if want_input else None,
            self.unstates(d_hx) if want_hx else None,
            [g for gs in grads for g in gs] if want_parameters else None,
        )
