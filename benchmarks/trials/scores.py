"""Scores of a method's estimates against readings and truth."""

from statistics import NormalDist

import numpy as np

from benchmarks.trials.estimates import Estimates
from benchmarks.trials.simulators import World

_WIDE = NormalDist().inv_cdf(0.975)
#: The log score gives each reading this chance to be anything in the range, so that no method
#: loses more than a fixed amount on one reading.
_ANYTHING = 0.01


def log_score(estimates: Estimates, value: np.ndarray, width: float, use: np.ndarray) -> float:
    """Mean log density that a method gave the readings to `use` before it saw them."""
    variance = estimates.predicted_sd**2
    exponent = -0.5 * (value - estimates.predicted) ** 2 / variance
    density = np.exp(exponent) / np.sqrt(2.0 * np.pi * variance)
    score = np.log((1.0 - _ANYTHING) * density + _ANYTHING / width)
    return float(np.nanmean(score[use]))


def rmse(error: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(error**2)))


def coverage(value: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> float:
    """Share of the values inside the 95 % interval."""
    asked = ~(np.isnan(value) | np.isnan(mean) | np.isnan(sd))
    inside = np.abs(value - mean)[asked] <= _WIDE * sd[asked]
    return float(inside.mean()) if inside.size else float("nan")


def thirds(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The third of the users with the least noise and the third with the most, as positions."""
    order = np.argsort(noise, kind="stable")
    return order[: len(order) // 3], order[-(len(order) // 3) :]


def of_world(world: World, estimates: Estimates, answered: np.ndarray) -> dict[str, float]:
    """Every figure of a method on simulated readings.

    Args:
        world: The readings and their truth.
        estimates: Of the method.
        answered: (users, readings) At which readings levels are compared: the same for all.
    """
    value, good = world.series.value, ~world.wild
    level = np.where(answered, estimates.level, np.nan)
    asked = good.copy()
    asked[:, 0] = False
    clear = np.where(asked, value, np.nan)
    calm, noisy = thirds(world.noise[:, 0])
    reading = (clear, estimates.predicted, estimates.predicted_sd)
    gross = world.wild & (np.abs(value - world.level) > 6.0 * world.noise)
    none = np.isnan(estimates.wrong)
    flagged = np.where(none, np.nan, estimates.wrong > 0.5)
    found = {
        "RMSE": rmse(level - world.level),
        "RMSE from the 8th reading": rmse((level - world.level)[:, 7:]),
        "log score": log_score(estimates, value, 350.0, asked),
        "95 % holds": coverage(world.level, level, estimates.level_sd),
        "of readings": coverage(*reading),
        "of the calm": coverage(*(part[calm] for part in reading)),
        "of the noisy": coverage(*(part[noisy] for part in reading)),
        "good rejected": _share(flagged[good]),
        "gross found": _share(flagged[gross]),
        # Wrong by more than 3 kg for a week, while readings were good: nothing comes back.
        "locked out": float((np.abs(level - world.level)[:, -7:] > 3.0).all(axis=1).mean()),
    }
    for days, (mean, sd) in estimates.ahead.items():
        found[f"{days} d ahead"] = coverage(world.later[days], mean, sd)
    return found


def _share(flags: np.ndarray) -> float:
    return float(np.nanmean(flags)) if flags.size else float("nan")
