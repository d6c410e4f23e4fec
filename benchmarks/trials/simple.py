"""Methods that a spreadsheet has: last value, exponential average, Holt, median of seven."""

from collections.abc import Callable

import numpy as np

from benchmarks.trials.estimates import Estimates
from benchmarks.trials.series import Series

#: A method gives the value expected before each reading, and the level after it.
Method = Callable[[Series], tuple[np.ndarray, np.ndarray]]


def last_value(series: Series) -> tuple[np.ndarray, np.ndarray]:
    return exponential_average(series, 1.0)


def exponential_average(series: Series, weight: float) -> tuple[np.ndarray, np.ndarray]:
    level = series.value.copy()
    for i in range(1, level.shape[1]):
        before, value = level[:, i - 1], series.value[:, i]
        after = np.where(np.isnan(before), value, before + weight * (value - before))
        level[:, i] = np.where(np.isnan(value), before, after)
    return _shifted(level), level


def holt(series: Series, weight: float, trend: float) -> tuple[np.ndarray, np.ndarray]:
    """Holt's linear trend, with the true gaps between readings."""
    level, predicted = series.value.copy(), np.full(series.value.shape, np.nan)
    slope = np.zeros(len(level))
    for i in range(1, level.shape[1]):
        gap, value = np.nan_to_num(series.days[:, i] - series.days[:, i - 1]), series.value[:, i]
        predicted[:, i] = level[:, i - 1] + slope * gap
        innovation = value - predicted[:, i]
        after = np.where(np.isnan(predicted[:, i]), value, predicted[:, i] + weight * innovation)
        known = ~np.isnan(innovation)
        level[:, i] = np.where(np.isnan(value), predicted[:, i], after)
        # Of a level that is off by this much, so is the slope over the gap.
        change = weight * trend * innovation / np.where(gap > 0.0, gap, 1.0)
        slope = np.where(known & (gap > 0.0), slope + change, slope)
    return predicted, level


def median_of_seven(series: Series) -> tuple[np.ndarray, np.ndarray]:
    level = np.full(series.value.shape, np.nan)
    for i in range(level.shape[1]):
        level[:, i] = np.nanmedian(series.value[:, max(0, i - 6) : i + 1], axis=1)
    return _shifted(level), level


_WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def fitted(train: Series) -> dict[str, Method]:
    """The methods, with weights that have the least mean absolute error on `train`."""
    average = min(_WEIGHTS, key=lambda weight: _error(exponential_average(train, weight), train))
    pairs = [(weight, trend) for weight in _WEIGHTS for trend in (0.0, *_WEIGHTS)]
    weight, trend = min(pairs, key=lambda pair: _error(holt(train, *pair), train))
    return {
        "last value": last_value,
        "exponential average": lambda series: exponential_average(series, average),
        "Holt": lambda series: holt(series, weight, trend),
        "median of 7": median_of_seven,
    }


def run(method: Method, train: Series, train_good: np.ndarray, series: Series) -> Estimates:
    """A method's answers; its standard deviation is that of its errors on good readings."""
    errors = (method(train)[0] - train.value)[train_good]
    predicted, level = method(series)
    none = np.full(level.shape, np.nan)
    spread = np.where(np.isnan(predicted), np.nan, np.sqrt(np.nanmean(errors**2)))
    return Estimates(predicted, spread, level, none, none, {})


def _shifted(level: np.ndarray) -> np.ndarray:
    """The level after the reading before, as what is expected of a reading."""
    predicted = np.full(level.shape, np.nan)
    predicted[:, 1:] = level[:, :-1]
    return predicted


def _error(answer: tuple[np.ndarray, np.ndarray], series: Series) -> float:
    return float(np.nanmean(np.abs(answer[0] - series.value)))
