"""Many-to-one on sound: which Korean digit does a voice say, never heard before?

espeak-ng (apt install espeak-ng) speaks the ten digits in 24 voices, at three speeds
and two pitches; six voices are held out.  The sequences are log-mel frames.
"""

import shutil
import subprocess
import wave
from itertools import chain

import numpy as np
from baselines import majority, nearest_mean
from datasets import CACHE
from torch_twin import report

from crnn.estimators import SequenceClassifier

DIGITS = "영일이삼사오육칠팔구"
VOICES = (
    *("adam", "Alex", "Alicia", "Andrea", "Andy", "Annie", "antonio", "aunty"),
    *("belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "f1"),
    *("f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4"),
)
HELD = ("Andrea", "benjamin", "f2", "f5", "m3", "antonio")
SPEEDS, PITCHES = (130, 160, 190), (40, 60)
RATE, WINDOW, HOP, BANDS = 22050, 512, 256, 24


def speak(digit, voice, speed, pitch):
    """Samples in (-1, 1) at RATE."""
    path = CACHE / "digit.wav"
    options = ["-v", f"ko+{voice}", "-s", str(speed), "-p", str(pitch), "-w", path]
    subprocess.run(["espeak-ng", *options, digit], check=True)
    with wave.open(str(path)) as file:
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, "<i2").astype(np.float32) / 2**15


def mel_filters():
    """(WINDOW // 2 + 1, BANDS) triangles, evenly spaced in mel up to RATE / 2."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None)


def log_mel(samples):
    """(T, BANDS) float32: the logarithm of the power in each band, each HOP samples."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2
    return np.log(power @ mel_filters() + 1e-6).astype(np.float32)


def clips():
    """{voice: (log-mel clips, digits)}; spoken once, then kept."""
    path = CACHE / "korean_digits.npz"
    names = [
        (v, d, s, p) for v in VOICES for d in DIGITS for s in SPEEDS for p in PITCHES
    ]
    if not path.exists():
        if not shutil.which("espeak-ng"):
            raise SystemExit("espeak-ng is missing: apt install espeak-ng")
        CACHE.mkdir(parents=True, exist_ok=True)
        spoken = [log_mel(speak(d, v, s, p)) for v, d, s, p in names]
        lengths = [len(clip) for clip in spoken]
        np.savez(path, frames=np.concatenate(spoken), lengths=lengths)
    with np.load(path) as file:
        spoken = np.split(file["frames"], np.cumsum(file["lengths"])[:-1])
    found = {voice: ([], []) for voice in VOICES}
    for (voice, digit, *_), clip in zip(names, spoken, strict=True):
        found[voice][0].append(clip)
        found[voice][1].append(digit)
    return found


def joined(parts):
    """Lists of clips and of digits, each as one."""
    X, y = zip(*parts, strict=True)
    return list(chain(*X)), list(chain(*y))


def main():
    found = clips()
    train = joined(found[voice] for voice in VOICES if voice not in HELD)
    held = joined(found[voice] for voice in HELD)
    lengths = sorted(map(len, train[0]))
    print(f"{lengths[0]} to {lengths[-1]} frames, median {np.median(lengths):.0f}")
    baselines = {
        "majority": majority(train[1], held[1]),
        "nearest mean frame": nearest_mean(*train, *held),
    }
    model = SequenceClassifier(
        64,
        num_layers=2,
        bidirectional=True,
        pooling="max",
        epochs=20,
        learning_rate=2e-3,
    )
    report(model, train, held, baselines)


if __name__ == "__main__":
    main()
