"""The same models in torch: from the same weights, over the same batches.

What they learn goes back into a copy of the estimator, so that one code scores both.
"""

import copy
import math
import time

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, ctc_loss
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

import crnn
from crnn.sequences import batches


class Twin:
    """An estimator's network in torch.

    Args:
        model: of a class below; it is not changed.
        X, y: what it is to be fitted to.

    Attributes:
        net: a ModuleDict whose state_dict is the estimator's.
    """

    def __init__(self, model, X, y):
        self.model = copy.deepcopy(model).set_params(epochs=0).fit(X, y)
        self.model.set_params(epochs=model.epochs)
        self.examples, self.lengths = self.model._learn(list(X), list(y))
        self.net = nn.ModuleDict(
            {name: _in_torch(layer) for name, layer in self.model.layers_.items()}
        )
        state = self.model.state_dict()
        self.net.load_state_dict({n: torch.tensor(a) for n, a in state.items()})

    def loss(self, examples):
        """The mean loss of examples, as a tensor."""
        kind = type(self.model).__name__
        return {
            "SequenceTranscriber": _transcriber_loss,
            "Seq2Seq": _seq2seq_loss,
            "SequenceGenerator": _generator_loss,
        }[kind](self.model, self.net, *zip(*examples, strict=True))

    def fit(self):
        """(the fitted estimator, seconds of CPU): the loop that crnn's estimators have."""
        model, rng = self.model, np.random.default_rng(self.model.seed)
        order = rng.permutation(len(self.examples))
        lengths = np.asarray(self.lengths)[order]
        adam = torch.optim.Adam(self.net.parameters(), model.learning_rate)
        start = time.process_time()
        for epoch in range(model.epochs):
            parts = batches(lengths, model.batch_size, rng)
            for i, part in enumerate(parts):
                done = (epoch + i / len(parts)) / model.epochs
                rate = model.learning_rate * (1 + math.cos(math.pi * done)) / 2
                adam.param_groups[0]["lr"] = rate
                adam.zero_grad()
                self.loss([self.examples[j] for j in order[part]]).backward()
                nn.utils.clip_grad_norm_(self.net.parameters(), model.max_norm)
                adam.step()
        seconds = time.process_time() - start
        for name, layer in model.layers_.items():
            layer.load_state_dict(self.net[name].state_dict())
        return model, seconds


def _in_torch(layer):
    if isinstance(layer, crnn.RNN):
        sizes = layer.input_size, layer.hidden_size, layer.num_layers
        names = "nonlinearity", "bias", "dropout", "bidirectional"
        return nn.RNN(*sizes, **{name: getattr(layer, name) for name in names})
    if isinstance(layer, crnn.layers.Embedding):
        return nn.Embedding(*layer.weight.shape, padding_idx=layer.padding_idx)
    sizes = layer.hidden_size, layer.output_size
    return nn.Linear(*sizes, bias=layer.bias is not None)


def _encoded(net, arrays):
    """(output, h_n, lengths) of packed sequences."""
    lengths = torch.tensor([len(array) for array in arrays])
    x = pad_sequence([torch.tensor(array) for array in arrays])
    if "embedding" in net:
        x = net["embedding"](x)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    output, h_n = net["rnn"](packed)
    return pad_packed_sequence(output)[0], h_n, lengths


def _transcriber_loss(model, net, arrays, targets):
    output, _, lengths = _encoded(net, arrays)
    sizes = torch.tensor([len(target) for target in targets])
    labels = pad_sequence([torch.tensor(t) for t in targets], batch_first=True)
    log_probs = net["readout"](output).log_softmax(2)
    return ctc_loss(log_probs, labels, lengths, sizes)


def _seq2seq_loss(model, net, arrays, targets):
    output, h_n, lengths = _encoded(net, arrays)
    L, D = model.num_layers, 2 if model.bidirectional else 1
    _, B, H = h_n.shape
    h = h_n.view(L, D, B, H).transpose(1, 2).reshape(L, B, D * H)
    memory = (output, lengths) if model.attention else None
    return _decoder_loss(model, net, targets, h, memory)


def _generator_loss(model, net, inputs, targets):
    x = torch.tensor(np.stack(inputs))
    L, B, H = model.num_layers, len(x), model.hidden_size
    h, features = torch.zeros(L, B, H, dtype=x.dtype), None
    if "initial" in net:
        act = torch.tanh if model.nonlinearity == "tanh" else torch.relu
        h = act(net["initial"](x)).view(B, L, H).transpose(0, 1)
    if model.conditioning != "state":
        features = x
    return _decoder_loss(model, net, targets, h, None, features)


def _decoder_loss(model, net, targets, h, memory=None, features=None):
    start, end = model.vocabulary_.start_id, model.vocabulary_.end_id
    told = pad_sequence([torch.tensor([start, *t]) for t in targets])
    wanted = pad_sequence([torch.tensor([*t, end]) for t in targets], padding_value=-1)
    x = net["decoder_embedding"](told)
    if features is not None:
        x = torch.cat([x, features.expand(len(x), *features.shape)], 2)
    states, _ = net["decoder_rnn"](x, h.contiguous())
    if memory is not None:
        output, lengths = memory
        m, s = output.transpose(0, 1), states.transpose(0, 1)
        past = torch.arange(len(output)) >= lengths[:, None]
        scores = (s @ m.transpose(1, 2)).masked_fill(past[:, None], -torch.inf)
        context = (scores.softmax(2) @ m).transpose(0, 1)
        states = torch.tanh(net["mix"](torch.cat([states, context], 2)))
    logits = net["readout"](states[wanted >= 0])
    return cross_entropy(logits, wanted[wanted >= 0])
