"""A mixed-effects growth curve, the textbook's answer for short series of many users.

Each user's values lie on a curve of time since their first reading, a polynomial that all share,
plus a line of the user's own, with normal noise (Laird and Ware, Random-effects models for
longitudinal data, Biometrics 38, 1982). It is fitted by their EM algorithm; the degree is that
with the least criterion of Akaike. The next reading of a new user is foretold from those before
it, by the posterior of the user's line.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.trials.estimates import Estimates
from benchmarks.trials.series import Series

#: Degrees of the polynomial that are tried.
_DEGREES = (1, 2, 3)
_ROUNDS = 200


class Curve(NamedTuple):
    """A fitted growth curve."""

    unit: float
    """Days that are one unit of time."""
    fixed: np.ndarray
    """(degree + 1,) Coefficients of the shared polynomial, the constant first."""
    spread: np.ndarray
    """(2, 2) Covariance of users' constants and slopes around it."""
    noise: float
    """Variance of a reading."""
    criterion: float


def fit(train: Series) -> Curve:
    """The best of all degrees."""
    return min((_fit(train, degree) for degree in _DEGREES), key=lambda curve: curve.criterion)


def run(curve: Curve, series: Series) -> Estimates:
    """Foretell each reading from the user's earlier ones."""
    users, readings = series.value.shape
    predicted, spread, level = np.full((3, users, readings), np.nan)
    mean = np.zeros((users, 2))
    covariance = np.repeat(curve.spread[None], users, axis=0)
    time, shared = _time(series, curve.unit), None
    for i in range(readings):
        at = np.stack((np.ones(users), np.nan_to_num(time[:, i])), axis=1)
        shared = np.vander(at[:, 1], curve.fixed.size, increasing=True) @ curve.fixed
        moved = np.einsum("ujk,uk->uj", covariance, at)
        variance = np.einsum("uj,uj->u", at, moved) + curve.noise
        predicted[:, i] = shared + (at * mean).sum(axis=1)
        spread[:, i] = np.sqrt(variance)
        known = ~np.isnan(series.value[:, i])
        away = np.where(known, series.value[:, i] - predicted[:, i], 0.0)
        mean = mean + moved * (away / variance)[:, None]
        taken = np.where(known, 1.0 / variance, 0.0)[:, None, None]
        covariance = covariance - taken * moved[:, :, None] * moved[:, None, :]
        level[:, i] = shared + (at * mean).sum(axis=1)
    nothing = np.full(level.shape, np.nan)
    return Estimates(predicted, spread, level, nothing, nothing, {})


def _time(series: Series, unit: float) -> np.ndarray:
    """Units since each user's first reading."""
    return (series.days - series.days[:, :1]) / unit


def _fit(train: Series, degree: int) -> Curve:
    known = ~np.isnan(train.value)
    unit = float(np.nanmax(train.days - train.days[:, :1])) or 1.0
    time, value = _time(train, unit), train.value
    designs = [
        np.vander(t[k], degree + 1, increasing=True) for t, k in zip(time, known, strict=True)
    ]
    values = [v[k] for v, k in zip(value, known, strict=True)]
    own = [design[:, :2] for design in designs]
    all_designs, all_values = np.vstack(designs), np.concatenate(values)
    fixed = np.linalg.lstsq(all_designs, all_values, rcond=None)[0]
    noise = float(np.var(all_values - all_designs @ fixed)) / 2.0 + 1e-12
    spread = noise * np.eye(2)
    likelihood = -np.inf
    for _ in range(_ROUNDS):
        normal, right, likelihood = 0.0, 0.0, 0.0
        for design, line, seen in zip(designs, own, values, strict=True):
            total = line @ spread @ line.T + noise * np.eye(seen.size)
            solved = np.linalg.solve(total, np.column_stack((design, seen)))
            normal, right = normal + design.T @ solved[:, :-1], right + design.T @ solved[:, -1]
        fixed = np.linalg.lstsq(normal, right, rcond=None)[0]
        second, left = np.zeros((2, 2)), 0.0
        for design, line, seen in zip(designs, own, values, strict=True):
            away = seen - design @ fixed
            total = line @ spread @ line.T + noise * np.eye(seen.size)
            gain = np.linalg.solve(total, line @ spread).T
            mean = gain @ away
            posterior = spread - gain @ line @ spread
            second += np.outer(mean, mean) + posterior
            left += float(np.sum((away - line @ mean) ** 2) + np.trace(line @ posterior @ line.T))
            _, logarithm = np.linalg.slogdet(2.0 * np.pi * total)
            likelihood -= 0.5 * (float(logarithm) + float(away @ np.linalg.solve(total, away)))
        spread, noise = second / len(values), max(left / all_values.size, 1e-12)
    return Curve(unit, fixed, spread, noise, 2.0 * (degree + 1 + 4) - 2.0 * likelihood)
