"""The same models in torch: from the same weights, over the same batches.

What they learn goes back into a copy of the estimator, so that one code scores both.
"""

import copy
import math
import time
from itertools import groupby

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, ctc_loss
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

import crnn
from crnn.estimators import Seq2Seq, SequenceTranscriber
from crnn.sequences import batches


class Twin:
    """An estimator's network in torch.

    Args:
        model: an estimator that says sequences; it is not changed.
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
        inputs, targets = zip(*examples, strict=True)
        if isinstance(self.model, SequenceTranscriber):
            logits, lengths = self._frames(inputs)
            sizes = torch.tensor([len(target) for target in targets])
            labels = pad_sequence([torch.tensor(t) for t in targets], batch_first=True)
            return ctc_loss(logits.log_softmax(2), labels, lengths, sizes)
        vocabulary = self.model.vocabulary_
        start, end = vocabulary.start_id, vocabulary.end_id
        told = pad_sequence([torch.tensor([start, *t]) for t in targets])
        wanted = [torch.tensor([*t, end]) for t in targets]
        wanted = pad_sequence(wanted, padding_value=-1)
        logits = self._decoded(told, *self._conditions(inputs))
        return cross_entropy(logits[wanted >= 0], wanted[wanted >= 0])

    @torch.inference_mode()
    def said(self, input):
        """The tokens of one input, greedily, by torch alone."""
        vocabulary = self.model.vocabulary_
        if isinstance(self.model, SequenceTranscriber):
            best = self._frames([input])[0].argmax(2)[:, 0].tolist()
            return vocabulary.decode([k for k, _ in groupby(best) if k])
        conditions, ids = self._conditions([input]), [vocabulary.start_id]
        while ids[-1] != vocabulary.end_id and len(ids) <= self.model.max_length_:
            logits = self._decoded(torch.tensor(ids)[:, None], *conditions)
            ids.append(int(logits[-1, 0].argmax()))
        return vocabulary.decode(ids)

    def fit(self):
        """(the fitted estimator, seconds of CPU), by the loop of crnn's estimators."""
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

    def _encoded(self, arrays):
        """(output, h_n, lengths) of packed sequences."""
        lengths = torch.tensor([len(array) for array in arrays])
        x = pad_sequence([torch.tensor(array) for array in arrays])
        if "embedding" in self.net:
            x = self.net["embedding"](x)
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        output, h_n = self.net["rnn"](packed)
        return pad_packed_sequence(output)[0], h_n, lengths

    def _frames(self, arrays):
        """(logits (T, B, C), lengths) of a transcriber."""
        output, _, lengths = self._encoded(arrays)
        return self.net["readout"](output), lengths

    def _conditions(self, inputs):
        """(first state, what to attend to, what stands beside each token)."""
        model = self.model
        if isinstance(model, Seq2Seq):
            output, h_n, lengths = self._encoded(inputs)
            L, D = model.num_layers, 2 if model.bidirectional else 1
            _, B, H = h_n.shape
            h = h_n.view(L, D, B, H).transpose(1, 2).reshape(L, B, D * H)
            return h, (output, lengths) if model.attention else None, None
        x = torch.tensor(np.stack(inputs))
        L, B, H = model.num_layers, len(x), model.hidden_size
        h = torch.zeros(L, B, H)
        if "initial" in self.net:
            act = torch.tanh if model.nonlinearity == "tanh" else torch.relu
            h = act(self.net["initial"](x)).view(B, L, H).transpose(0, 1).contiguous()
        return h, None, None if model.conditioning == "state" else x

    def _decoded(self, told, h, memory, features):
        """The logits (U, B, V) after the tokens told (U, B)."""
        x = self.net["decoder_embedding"](told)
        if features is not None:
            x = torch.cat([x, features.expand(len(x), *features.shape)], 2)
        states, _ = self.net["decoder_rnn"](x, h)
        if memory is not None:
            output, lengths = memory
            m, s = output.transpose(0, 1), states.transpose(0, 1)
            past = torch.arange(len(output)) >= lengths[:, None]
            scores = (s @ m.transpose(1, 2)).masked_fill(past[:, None], -torch.inf)
            context = (scores.softmax(2) @ m).transpose(0, 1)
            states = torch.tanh(self.net["mix"](torch.cat([states, context], 2)))
        return self.net["readout"](states)


def _in_torch(layer):
    if isinstance(layer, crnn.RNN):
        sizes = layer.input_size, layer.hidden_size, layer.num_layers
        names = "nonlinearity", "bias", "dropout", "bidirectional"
        return nn.RNN(*sizes, **{name: getattr(layer, name) for name in names})
    if isinstance(layer, crnn.layers.Embedding):
        return nn.Embedding(*layer.weight.shape, padding_idx=layer.padding_idx)
    sizes = layer.hidden_size, layer.output_size
    return nn.Linear(*sizes, bias=layer.bias is not None)
