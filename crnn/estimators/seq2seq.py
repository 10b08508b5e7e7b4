"""Seq2Seq: from a sequence to another one of another length."""

import numpy as np

from ..search import beam_search, greedy
from ..sequences import pad, valid
from ..training import cross_entropy
from .base import Estimator
from .decoder import Decoder, State, make_decoder
from .encoder import encode, encode_vjp, make_encoder
from .to_sequence import ToSequence


class Seq2Seq(ToSequence):
    __doc__ = """Says a sequence for a sequence: translation, spelling, dates.

    An encoder reads the input; its last states are the first ones of a decoder, which
    says one token after the other until it says the end.  In training it is told the
    true token before (teacher forcing).  The decoder is as wide as the encoder's
    output, twice hidden_size where that is bidirectional, so nothing stands between.

    X is a list of sequences as `SequenceClassifier` takes them; y is a list of strings
    or lists of tokens.

    Args:
        attention: whether the decoder also looks at all states of the encoder, by
            `crnn.attention.DotAttention`.
        beam_width: how many hypotheses the search keeps; 1 is greedy.

    Attributes:
        vocabulary_: the tokens of y, with start and end.
        max_length_: how many tokens a prediction may have: twice those of the longest
            target.

    Example:
        >>> X = ["ab", "ba", "aab", "bba", "abb", "b", "a", "baa"]
        >>> model = Seq2Seq(32, epochs=100).fit(X, [x[::-1] for x in X])
        >>> model.predict(["aab", "ba"])
        ['baa', 'ab']

    """ + Estimator.__doc__.split("\n\n    ", 2)[2]

    _FITTED = ("encoder_", "vocabulary_", "is_text_", "max_length_")

    def __init__(self, *args, attention=False, beam_width=1, **kwargs):
        super().__init__(*args, beam_width=beam_width, **kwargs)
        self.attention = attention

    def _learn(self, X, y):
        self.encoder_ = self._input_encoder().learn(X)
        targets = self._learn_targets(y, padding=None)
        self.max_length_ = 2 * max(1, *map(len, targets))
        examples = list(zip(self.encoder_(X), targets, strict=True))
        return examples, [len(x) + len(target) for x, target in examples]

    def _make_layers(self):
        layers, width = make_encoder(self)
        options = self._rnn_options()
        del options["bidirectional"]
        return layers | make_decoder(
            len(self.vocabulary_),
            self.embedding_dim,
            width,
            attention=bool(self.attention),
            **options,
        )

    def _gradients(self, examples):
        arrays, targets = zip(*examples, strict=True)
        output, h_n, lengths, back_to_encoder = encode_vjp(self.layers_, arrays)
        tokens, wanted, sizes = teacher_forced(targets, self.vocabulary_)
        state = self._state(output, h_n, lengths)
        logits, pullback = Decoder(self.layers_).vjp(tokens, sizes, state)
        loss, d_logits = cross_entropy(logits, wanted)
        gradients = pullback(d_logits)
        del gradients["features"]
        d_h_n = parted(gradients.pop("h"), self.hidden_size)
        d_output = gradients.pop("memory", None)
        return loss, gradients | back_to_encoder(d_output, d_h_n)

    def _state(self, output, h_n, lengths) -> State:
        h = joined(h_n, self.num_layers)
        return State(h, output, lengths) if self.attention else State(h)

    def _search(self, inputs):
        state = self._state(*encode(self.layers_, inputs))
        return search(self, state, len(inputs))


def search(estimator, state, B) -> list[np.ndarray]:
    """The ids that an estimator's decoder says after a state of B rows."""
    vocabulary = estimator.vocabulary_
    start = np.full(B, vocabulary.start_id)
    step = Decoder(estimator.layers_).step
    args = step, state, start, vocabulary.end_id, estimator.max_length_
    if estimator.beam_width == 1:
        return greedy(*args)
    return beam_search(*args, estimator.beam_width)


def teacher_forced(targets, vocabulary):
    """What a decoder is told at each step, and what it should say.

    Returns:
        (tokens, wanted, sizes): (U, B) ids that begin with the start; the ids after
        them, which end with the end, of all steps but the padding, (N,); and B lengths.
    """
    start, end = [vocabulary.start_id], [vocabulary.end_id]
    tokens, sizes = pad([np.concatenate([start, target]) for target in targets])
    wanted, _ = pad([np.concatenate([target, end]) for target in targets])
    return tokens, wanted[valid(sizes).T], sizes


def joined(h_n, L):
    """The states of both directions side by side: (L*D, B, H) to (L, B, D*H)."""
    LD, B, H = h_n.shape
    return h_n.reshape(L, LD // L, B, H).swapaxes(1, 2).reshape(L, B, -1)


def parted(h, H):
    """The other way: (L, B, D*H) to (L*D, B, H)."""
    L, B, DH = h.shape
    return h.reshape(L, B, DH // H, H).swapaxes(1, 2).reshape(-1, B, H)
