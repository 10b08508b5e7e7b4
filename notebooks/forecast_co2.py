"""Forecasting: CO2 over Mauna Loa next month, and twelve months on, from five years.

The network reads monthly differences; the last 36 months are held out.
"""

import numpy as np
from datasets import co2
from torch_twin import report

from crnn import sequences
from crnn.estimators import SequenceRegressor

WINDOW, AHEAD, HELD = 60, 12, 36


def windows(series):
    """(differences of WINDOW months, the rise over 1 .. AHEAD months after them)."""
    seen, then = sequences.windows(series, WINDOW + 1, AHEAD)
    return np.diff(seen), then - seen[:, -1:]


def mape(forecast, truth):
    """Mean absolute error in percent of the truth."""
    return 100 * np.mean(abs(forecast - truth) / truth)


def main():
    series = co2()
    X, y = windows(series)
    train = X[: -HELD - AHEAD], y[: -HELD - AHEAD]  # none reaches into what is held out
    held = X[-HELD:], y[-HELD:]
    last = series[-AHEAD - HELD : -AHEAD]
    truth = held[1] + last[:, None]
    mean = np.mean(train[1], axis=0)
    total = ((held[1] - np.mean(held[1], axis=0)) ** 2).sum(axis=0)

    def r2(rise):
        return np.mean(1 - ((held[1] - rise) ** 2).sum(axis=0) / total)

    year_before = np.array([np.cumsum(x[-AHEAD:]) for x in held[0]])
    model = SequenceRegressor(32, epochs=60, batch_size=16)
    print("R squared of the rise over 1 .. 12 months")
    report(
        model,
        train,
        held,
        {
            "last value": r2(0),
            "mean rise": r2(mean),
            "as a year before": r2(year_before),
        },
    )
    forecasts = {
        "last value": last[:, None],
        "as a year before": last[:, None] + year_before,
        "crnn": last[:, None] + model.predict(held[0]),
    }
    for name, forecast in forecasts.items():
        print(f"  mean absolute error of {name}: {mape(forecast, truth):.2f} %")


if __name__ == "__main__":
    main()
