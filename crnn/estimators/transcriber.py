"""SequenceTranscriber: from a sequence to a shorter one that nobody has aligned."""

import warnings

import numpy as np

from ..activations import log_softmax
from ..ctc import ctc_beam_search, ctc_greedy, ctc_loss
from ..layers import Readout
from ..sequences import pad, valid
from .base import Estimator
from .encoder import encode, encode_vjp, make_encoder, named
from .to_sequence import ToSequence, check_positive

BLANK = 0


class SequenceTranscriber(ToSequence):
    __doc__ = """Says what is in a sequence, in its order: speech, script, spelling.

    A network says a token or nothing at each step; training adds up all ways to say the
    target (connectionist temporal classification), so that X and y need no alignment.
    A target can be no longer than its sequence; a token that is repeated in it needs
    one step more.

    X is a list of sequences as `SequenceClassifier` takes them; y is a list of strings
    or lists of tokens.

    Args:
        upsample: how often each step is read: with 2 a target may be twice as long.
        beam_width: how many prefixes the search keeps; 1 takes the best token at each
            step.

    Attributes:
        vocabulary_: the tokens of y; the first one is the blank.

    Example:
        >>> X = ["aaabb", "bbba", "aabbb", "bbaaa", "abb", "baa", "aaa", "bb"]
        >>> y = ["ab", "ba", "ab", "ba", "ab", "ba", "a", "b"]
        >>> SequenceTranscriber(16, epochs=50).fit(X, y).predict(["bbaa", "aaaab"])
        ['ba', 'ab']

    """ + Estimator.__doc__.split("\n\n    ", 2)[2]

    _FITTED = ("encoder_", "vocabulary_", "is_text_")

    def __init__(self, *args, upsample=1, beam_width=1, **kwargs):
        super().__init__(*args, beam_width=beam_width, **kwargs)
        self.upsample = upsample

    def _learn(self, X, y):
        check_positive("upsample", self.upsample)
        self.encoder_ = self._input_encoder().learn(X)
        targets = self._learn_targets(y, padding="<blank>", start=None, end=None)
        pairs = zip(self._inputs(X), targets, strict=True)
        examples = [(x, t) for x, t in pairs if len(x) >= _steps(t)]
        if not examples:
            raise ValueError("all sequences are too short for their targets: upsample")
        if len(examples) < len(X):
            warnings.warn(
                f"{len(X) - len(examples)} of {len(X)} sequences are too short for "
                "their targets and left out; a larger upsample takes them in",
                stacklevel=3,
            )
        return examples, [len(x) for x, _ in examples]

    def _inputs(self, X):
        return [np.repeat(array, self.upsample, axis=0) for array in self.encoder_(X)]

    def _make_layers(self):
        layers, width = make_encoder(self)
        return layers | {"readout": Readout(width, len(self.vocabulary_))}

    def _gradients(self, examples):
        arrays, targets = zip(*examples, strict=True)
        output, _, lengths, back_to_encoder = encode_vjp(self.layers_, arrays)
        alive = valid(lengths).T
        rows, back_to_states = self.layers_["readout"].vjp(output[alive])
        labels, sizes = pad(targets, batch_first=True)
        logits = _scattered(rows, alive)
        loss, d_logits = ctc_loss(logits, labels, lengths, sizes, BLANK)
        gradients = back_to_states(d_logits[alive])
        d_output = _scattered(gradients["input"], alive)
        return float(loss), named("readout", gradients) | back_to_encoder(d_output)

    def _logits(self, inputs):
        """((T, B, C), B lengths): what the network says at each step."""
        output, _, lengths = encode(self.layers_, inputs)
        alive = valid(lengths).T
        return _scattered(self.layers_["readout"](output[alive]), alive), lengths

    def _search(self, inputs):
        logits, lengths = self._logits(inputs)
        if self.beam_width == 1:
            return ctc_greedy(logits, lengths, BLANK)
        return ctc_beam_search(log_softmax(logits), lengths, self.beam_width, BLANK)

    def predict_log_proba(self, X) -> list[np.ndarray]:
        """Log-probabilities of the tokens at each step: for each sequence (T, C)."""
        self._check_fitted()
        return [log_softmax(self._logits([x])[0][:, 0]) for x in self._inputs(X)]


def _scattered(rows, alive):
    """(T, B, K), with a row wherever alive, and zeros elsewhere."""
    full = np.zeros((*alive.shape, rows.shape[1]), rows.dtype)
    full[alive] = rows
    return full


def _steps(target) -> int:
    """The fewest steps in which a target can be said."""
    return max(1, len(target) + int((target[1:] == target[:-1]).sum()))
