"""Simple methods beside the profile: the last value, and Holt's linear trend.

Holt's trend (Forecasting seasonals and trends by exponentially weighted averages, 1957) keeps true
gaps between readings. Both answer with a normal distribution whose spread is that of their errors
on the readings that they were fitted to.
"""

from typing import NamedTuple

import numpy as np

from kalmap.readings import F64, Bool
from kalmap_cli.tuning.users import Users

_WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_TRENDS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
#: Holt's weights are chosen by so many readings.
_MOST_READINGS = 20_000


class Holt(NamedTuple):
    """Its weights; 1 and 0 make it the last value."""

    weight: float
    trend: float


LAST_VALUE = Holt(1.0, 0.0)


def fit_holt(users: Users) -> Holt:
    """The weights with the least mean absolute error."""
    few = users.sample(_MOST_READINGS)
    grid = [Holt(weight, trend) for weight in _WEIGHTS for trend in _TRENDS]
    error = np.nanmean(np.abs(few.value[:, None] - _expected(grid, few)), axis=0)
    return grid[int(np.argmin(error))]


def expected(method: Holt, users: Users) -> F64:
    """What the method expects of each reading; NaN of a user's first."""
    return _expected([method], users)[:, 0]


def _expected(methods: list[Holt], users: Users) -> F64:
    """The same of several methods, (readings, methods)."""
    weight = np.array([method.weight for method in methods])
    trend = np.array([method.trend for method in methods])
    gap, value = users.histories.gap, users.value
    order = np.argsort(-users.counts, kind="stable")
    lengths, first = users.counts[order], (np.cumsum(users.counts) - users.counts)[order]
    found = np.full((value.size, len(methods)), np.nan)
    level = np.repeat(value[first][:, None], len(methods), axis=1)
    slope = np.zeros_like(level)
    for step in range(1, int(lengths[0])):
        width = int(np.searchsorted(-lengths, -step))
        at = first[:width] + step
        days = gap[at][:, None]
        prediction = level[:width] + slope[:width] * days
        found[at] = prediction
        missed = value[at][:, None] - prediction
        level[:width] = prediction + weight * missed
        later: Bool = days > 0.0
        change = weight * trend * missed / np.where(later, days, 1.0)
        slope[:width] += np.where(later, change, 0.0)
    return found
