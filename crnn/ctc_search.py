"""From the classes of each time step to labels: the best path, and the best labels."""

import numpy as np


def ctc_greedy(logits, lengths, blank=0):
    """The labels of the most probable path of each row.

    Args:
        logits: (T, B, C) floats; log-softmax changes nothing.
        lengths: B integers in 1 .. T.
        blank: the class that stands for no label.

    Returns:
        A list of B arrays of labels.
    """
    best = np.argmax(logits, 2).T
    before = np.pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=blank)
    alive = np.arange(best.shape[1]) < np.asarray(lengths)[:, None]
    kept = alive & (best != blank) & (best != before)
    return [row[keep] for row, keep in zip(best, kept, strict=True)]


def ctc_beam_search(log_probs, lengths, beam_width=8, blank=0):
    """The most probable labels of each row that a prefix beam search finds.

    Unlike the best path it adds up all paths that become the same labels.

    Args:
        log_probs: (T, B, C), a log-softmax.
        lengths: B integers in 1 .. T.
        beam_width: prefixes that are kept after each step.
        blank: the class that stands for no label.

    Returns:
        A list of B arrays of labels.
    """
    log_probs, lengths = np.asarray(log_probs), np.asarray(lengths)
    beams = _Beams(log_probs.shape[1], beam_width, len(log_probs))
    for t, step in enumerate(log_probs):
        rows = np.flatnonzero(lengths > t)
        beams.put(rows, beams.at(rows).extended(step[rows], blank))
    best = np.logaddexp(beams.blank, beams.label).argmax(1)
    return [
        beams.prefixes[b, k, : beams.sizes[b, k]].copy() for b, k in enumerate(best)
    ]


class _Beams:
    """The K best prefixes of B rows.

    Attributes:
        prefixes: (B, K, U) labels, -1 past the end.
        sizes: (B, K), the number of labels.
        blank, label: (B, K) log-probabilities of all paths to the prefix that end in a
            blank, and in its last label.
    """

    _FIELDS = ("prefixes", "sizes", "blank", "label")

    def __init__(self, B, K, U):
        self.prefixes = np.full((B, K, U), -1)
        self.sizes = np.zeros((B, K), np.intp)
        self.blank = np.full((B, K), -np.inf)
        self.label = np.full((B, K), -np.inf)
        self.blank[:, 0] = 0  # the empty prefix; the others wait to be used

    def at(self, rows):
        part = object.__new__(_Beams)
        for field in self._FIELDS:
            setattr(part, field, getattr(self, field)[rows])
        return part

    def put(self, rows, part):
        for field in self._FIELDS:
            getattr(self, field)[rows] = getattr(part, field)

    def extended(self, log_probs, blank):
        """The best of these prefixes and of their extensions by one label."""
        (B, K), C = self.sizes.shape, log_probs.shape[1]
        both = np.logaddexp(self.blank, self.label)
        end = np.maximum(self.sizes - 1, 0)[:, :, None]
        last = np.take_along_axis(self.prefixes, end, 2)[:, :, 0]
        repeated = np.take_along_axis(log_probs, last, 1)  # of no use where last is -1
        stay_blank = both + log_probs[:, [blank]]
        stay_label = self.label + repeated

        grown = both[:, :, None] + log_probs[:, None]
        grown[:, :, blank] = -np.inf
        b, k = np.nonzero(last >= 0)
        grown[b, k, last[b, k]] = self.blank[b, k] + repeated[b, k]  # over a blank only

        # An extension that is a prefix already: its paths go there.
        cut = self.prefixes.copy()
        np.put_along_axis(cut, end, -1, 2)
        is_child = (cut[:, None] == self.prefixes[:, :, None]).all(3)
        b, parent, child = np.nonzero(is_child & (last >= 0)[:, None])
        added = grown[b, parent, last[b, child]]
        np.logaddexp.at(stay_label, (b, child), added)
        grown[b, parent, last[b, child]] = -np.inf

        stay = np.logaddexp(stay_blank, stay_label)
        scores = np.concatenate([stay, grown.reshape(B, K * C)], 1)
        chosen = np.argpartition(-scores, K - 1, axis=1)[:, :K]
        return self._chosen(chosen, stay_blank, stay_label, grown)

    def _chosen(self, chosen, stay_blank, stay_label, grown):
        """The beams of candidates: 0 .. K-1 stay, the others grow."""
        B, K, C = grown.shape
        rows = np.arange(B)[:, None]
        grows = chosen >= K
        parent, label = np.divmod(chosen - K, C)
        source = np.where(grows, parent, chosen)
        part = self.at((rows, source))
        part.blank = np.where(grows, -np.inf, stay_blank[rows, source])
        growth = grown[rows, source, label]
        part.label = np.where(grows, growth, stay_label[rows, source])
        b, k = np.nonzero(grows)
        part.prefixes[b, k, part.sizes[b, k]] = label[b, k]
        part.sizes[b, k] += 1
        return part
