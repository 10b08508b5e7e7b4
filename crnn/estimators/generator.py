"""SequenceGenerator: from one vector or picture to a sequence."""

import numpy as np

from ..layers import Readout
from ..search import sample
from ..training import cross_entropy
from .base import Estimator
from .decoder import Decoder, State, make_decoder
from .encoder import named
from .seq2seq import search, teacher_forced
from .to_sequence import ToSequence


class SequenceGenerator(ToSequence):
    __doc__ = """Says a sequence for a vector or a picture: captions, names of a kind.

    X is (N, features), or (N, ...) such as pictures, whose numbers are taken in a row;
    a category is one row of ``numpy.eye``.  y is a list of strings or lists of tokens.

    Args:
        conditioning: how the vector comes in: "state", through a readout as the first
            states of all layers; "input", beside the token at each step; or "both".
        beam_width: how many hypotheses the search keeps; 1 is greedy.

    Attributes:
        vocabulary_: the tokens of y, with start and end.
        max_length_: how many tokens a prediction may have: twice those of the longest
            target.
        mean_, scale_: of the features.

    Example:
        >>> X, y = np.eye(3), ["one", "two", "three"]
        >>> SequenceGenerator(32, epochs=100).fit(X, y).predict(X[[2, 0]])
        ['three', 'one']

    """ + Estimator.__doc__.split("\n\n    ", 2)[2]

    _FITTED = ("vocabulary_", "is_text_", "max_length_", "mean_", "scale_")

    def __init__(self, *args, conditioning="state", beam_width=1, **kwargs):
        super().__init__(*args, beam_width=beam_width, **kwargs)
        self.conditioning = conditioning

    def _learn(self, X, y):
        if self.bidirectional:
            raise ValueError(
                "a generator has one direction: bidirectional must be False"
            )
        if self.conditioning not in ("state", "input", "both"):
            raise ValueError(
                'conditioning must be "state", "input" or "both", not '
                f"{self.conditioning!r}"
            )
        vectors = _vectors(X)
        self.mean_ = np.zeros(vectors.shape[1], np.float32)
        self.scale_ = np.ones(vectors.shape[1], np.float32)
        if self.standardize:
            deviation = vectors.std(0, dtype=np.float64)
            self.mean_ = vectors.mean(0, dtype=np.float64).astype(np.float32)
            self.scale_ = np.where(deviation > 0, deviation, 1).astype(np.float32)
        targets = self._learn_targets(y, padding=None)
        self.max_length_ = 2 * max(1, *map(len, targets))
        examples = list(zip(self._inputs(X), targets, strict=True))
        return examples, [len(target) for target in targets]

    def _inputs(self, X):
        vectors = _vectors(X)
        if vectors.shape[1] != len(self.mean_):
            raise ValueError(
                f"X must have {len(self.mean_)} features, got {vectors.shape[1]}"
            )
        return list((vectors - self.mean_) / self.scale_)

    def _make_layers(self):
        F, layers = len(self.mean_), {}
        if self.conditioning != "input":
            width = self.num_layers * self.hidden_size
            layers["initial"] = Readout(F, width, self.nonlinearity)
        options = self._rnn_options()
        del options["bidirectional"]
        return layers | make_decoder(
            len(self.vocabulary_),
            self.embedding_dim,
            self.hidden_size,
            features=0 if self.conditioning == "state" else F,
            **options,
        )

    def _state(self, inputs):
        """The decoder's state, and from the gradient by its h to those of layers."""
        vectors = np.stack(inputs)
        L, B, H = self.num_layers, len(vectors), self.hidden_size
        h, pullback = np.zeros((L, B, H), vectors.dtype), lambda d_h: {}
        if "initial" in self.layers_:
            flat, back = self.layers_["initial"].vjp(vectors)
            h = flat.reshape(B, L, H).swapaxes(0, 1)

            def pullback(d_h):
                return named("initial", back(d_h.swapaxes(0, 1).reshape(B, L * H)))

        features = None if self.conditioning == "state" else vectors
        return State(h, features=features), pullback

    def _gradients(self, examples):
        inputs, targets = zip(*examples, strict=True)
        state, back_to_layers = self._state(inputs)
        tokens, wanted, sizes = teacher_forced(targets, self.vocabulary_)
        logits, pullback = Decoder(self.layers_).vjp(tokens, sizes, state)
        loss, d_logits = cross_entropy(logits, wanted)
        gradients = pullback(d_logits)
        del gradients["features"]
        return loss, gradients | back_to_layers(gradients.pop("h"))

    def _search(self, inputs):
        return search(self, self._state(inputs)[0], len(inputs))

    def sample(self, X, temperature: float = 1.0, seed: int = 0) -> list:
        """Sequences drawn from what the network thinks probable.

        Args:
            X: as for `predict`; a row that occurs n times is drawn for n times.
            temperature: positive: low ones keep to the most probable, high ones
                dare more.
            seed: the same seed draws the same sequence for the row at the same place.

        Raises:
            ValueError: temperature is not positive.
        """
        self._check_fitted()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        inputs, rng = self._inputs(X), np.random.default_rng(seed)
        uniforms = rng.random((len(inputs), self.max_length_))
        start, end = self.vocabulary_.start_id, self.vocabulary_.end_id
        state, _ = self._state(inputs)
        tokens, step = np.full(len(inputs), start), Decoder(self.layers_).step
        found = sample(step, state, tokens, end, uniforms, temperature)
        return [self._said(ids) for ids in found]


def _vectors(X) -> np.ndarray:
    """X as (N, features) of float32."""
    array = np.asarray(X)
    if array.ndim < 2 or array.dtype.kind not in "iufb":
        raise ValueError(
            f"X must be numbers (N, features) or (N, ...), got {array.dtype} "
            f"{array.shape}"
        )
    array = array.reshape(len(array), -1).astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError("X holds NaN or infinity")
    return array
