"""Weights that turn: diets begun and given up, and how often their users weigh themselves.

A filter that expects slopes to last lags behind them. What it must not do is take the movement for
noise.
"""

import numpy as np

from benchmarks.trials import product, scores, simple
from benchmarks.trials.series import Series
from kalmap.profile import Profile

_USERS, _SEED = 150, 1
_NOISE = 0.5
#: kg a day: a kilogram a week.
_RATE = 1.0 / 7.0
#: Days between weighings, and how many of them.
SPACINGS = {"day": (1, 200), "week": (7, 60), "two weeks": (14, 50), "month": (30, 36)}
#: Readings that are not judged: nobody knows a user's slope yet.
_FIRST = 3


def weighings(gap: int, readings: int, seed: int = _SEED) -> tuple[Series, np.ndarray]:
    """Weighings of users who lose and gain a kilogram a week in turn, and their true weights.

    A diet or its end lasts three to five months; up to six weeks are in between.
    """
    random = np.random.default_rng(seed)
    days = np.arange(readings) * gap + random.uniform(-0.2, 0.2, (_USERS, readings)) * min(gap, 5)
    level = np.empty(days.shape)
    for user in range(_USERS):
        slope = np.zeros(readings * gap + 10)
        first, sign = int(random.integers(20, 100)), -1.0
        while first < slope.size:
            length = int(random.integers(90, 150))
            slope[first : first + length] = sign * _RATE
            first, sign = first + length + int(random.integers(0, 42)), -sign
        weight = random.uniform(75.0, 120.0) + np.cumsum(slope)
        level[user] = np.interp(days[user], np.arange(slope.size), weight)
    value = np.round(level + _NOISE * random.standard_normal(level.shape), 1)
    return Series(days - days.min(), value), level


def table(profile: Profile, source: str) -> str:
    """RMSE of the level, as a Markdown table."""
    lines = []
    for name, (gap, readings) in SPACINGS.items():
        series, truth = weighings(gap, readings)
        levels = {
            method: run(series)[1]
            for method, run in simple.fitted(weighings(gap, readings, _SEED + 1)[0]).items()
        }
        kalmap = product.run(profile, series, source)
        errors = {
            method: scores.rmse((level - truth)[:, _FIRST:])
            for method, level in (levels | {"kalmap, built in": kalmap.level}).items()
        }
        holds = scores.coverage(
            truth[:, _FIRST:], kalmap.level[:, _FIRST:], kalmap.level_sd[:, _FIRST:]
        )
        if not lines:
            lines = [
                f"| weighed every | {' | '.join(errors)} | 95 % holds | rejected, % |",
                f"|---|{'--:|' * (len(errors) + 2)}",
            ]
        shown = " | ".join(f"{error:.3f}" for error in errors.values())
        rejected = 100.0 * float(np.mean(kalmap.wrong > 0.5))
        lines.append(f"| {name} | {shown} | {100.0 * holds:.1f} | {rejected:.1f} |")
    return "\n".join(lines)
