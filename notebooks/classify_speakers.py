"""Many-to-one: which of nine men says /ae/? JapaneseVowels, 12 features a frame."""

from baselines import majority, nearest_mean
from datasets import japanese_vowels
from torch_twin import report

from crnn.estimators import SequenceClassifier


def main():
    train, held = japanese_vowels("TRAIN"), japanese_vowels("TEST")
    baselines = {
        "majority": majority(train[1], held[1]),
        "nearest mean frame": nearest_mean(*train, *held),
    }
    model = SequenceClassifier(
        64, num_layers=2, bidirectional=True, epochs=60, batch_size=30
    )
    report(model, train, held, baselines)


if __name__ == "__main__":
    main()
