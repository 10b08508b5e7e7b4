"""`python -m crnn demo`: shapes, a trained estimator of each kind, torch beside one.

data/ATTRIBUTION.md says where the data and the weights come from.
"""

import sys

import numpy as np

from .. import RNN, manual_seed
from . import speakers, to_labels, to_sequences
from .speakers import load

__all__ = ["load", "main", "show_shapes"]


def show_shapes():
    """The example of the study note: three bidirectional layers, batch first."""
    manual_seed(0)
    rnn = RNN(128, 256, num_layers=3, batch_first=True, bidirectional=True)
    x = np.random.default_rng(0).standard_normal((4, 6, 128), dtype=np.float32)
    output, h_n = rnn(x)
    print(rnn)
    print(f"  input   {x.shape}  4 sequences of 6 steps, 128 features")
    print(f"  output  {output.shape}  top layer: 2 directions x 256 units")
    print(f"  hidden  {h_n.shape}  last states: 3 layers x 2 directions")


def main():
    if hasattr(sys.stdout, "reconfigure"):  # a terminal may lack the letters of Korean
        sys.stdout.reconfigure(errors="replace")
    show_shapes()
    speakers.show_classifier()
    to_labels.show_regressor()
    to_labels.show_tagger()
    to_sequences.show_generator()
    to_sequences.show_seq2seq()
    to_sequences.show_transcriber()
    speakers.show_times()
