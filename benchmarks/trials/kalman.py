"""The model of level and slope with priors for both, its filter, and its exact likelihood.

Written for the benchmark and independent of kalmap's own filter: transitions come from their
closed form with `exp`, the first reading is weighed against a prior of the level, and the slope
returns to a mean.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.trials.estimates import Estimates
from benchmarks.trials.series import Series


class Model(NamedTuple):
    """Parameters; floats, or arrays (models, 1) for many models at once."""

    noise: float | np.ndarray
    """Standard deviation of a reading."""
    level_noise: float | np.ndarray
    slope_noise: float | np.ndarray
    damping: float | np.ndarray
    """Rate at which the slope returns to its mean, per day."""
    slope_sd: float | np.ndarray
    level_sd: float | np.ndarray
    slope_mean: float | np.ndarray
    level_mean: float | np.ndarray


class Gaussian(NamedTuple):
    """Level and slope with their covariance; arrays that broadcast together."""

    level: np.ndarray
    slope: np.ndarray
    p00: np.ndarray
    p01: np.ndarray
    p11: np.ndarray


def prior(model: Model, shape: tuple[int, ...]) -> Gaussian:
    """What is believed of users before their first reading."""
    zero = np.zeros(shape)
    return Gaussian(
        zero + model.level_mean,
        zero + model.slope_mean,
        zero + model.level_sd**2,
        zero.copy(),
        zero + model.slope_sd**2,
    )


def predict(model: Model, state: Gaussian, gap: np.ndarray) -> Gaussian:
    """The state some days later (Särkkä and Solin, 2019, section 6.2)."""
    a = np.maximum(model.damping * gap, 1e-4)
    k = a / np.where(gap > 0.0, gap, 1.0)
    k = np.where(gap > 0.0, k, 1.0)
    decay = np.where(gap > 0.0, np.exp(-a), 1.0)
    gain = np.where(gap > 0.0, -np.expm1(-a) / k, 0.0)
    variance = model.slope_noise**2
    q11 = variance * gain * (1.0 + decay) / 2.0
    q01 = variance * gain**2 / 2.0
    small = a < 0.05
    u = -np.expm1(-a)
    shape = np.where(small, 1 / 3 - a / 4 + 7 * a**2 / 60, (a - u - u**2 / 2) / a**3)
    q00 = model.level_noise**2 * gap + variance * gap**3 * shape
    cross = state.p01 + gain * state.p11
    return Gaussian(
        state.level + model.slope_mean * gap + gain * (state.slope - model.slope_mean),
        model.slope_mean + decay * (state.slope - model.slope_mean),
        state.p00 + gain * (state.p01 + cross) + q00,
        decay * cross + q01,
        decay**2 * state.p11 + q11,
    )


def update(state: Gaussian, value: np.ndarray, variance: np.ndarray | float) -> Gaussian:
    """The state once a reading with that variance is known."""
    total = state.p00 + variance
    k0, k1 = state.p00 / total, state.p01 / total
    innovation = value - state.level
    return Gaussian(
        state.level + k0 * innovation,
        state.slope + k1 * innovation,
        state.p00 * variance / total,
        state.p01 * variance / total,
        np.maximum(state.p11 - k1 * state.p01, 0.0),
    )


def density(value: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Of a normal distribution."""
    return np.exp(-0.5 * (value - mean) ** 2 / variance) / np.sqrt(2.0 * np.pi * variance)


def choose(where: np.ndarray, yes: Gaussian, no: Gaussian) -> Gaussian:
    return Gaussian(*(np.where(where, a, b) for a, b in zip(yes, no, strict=True)))


def log_likelihood(model: Model, series: Series, use: np.ndarray) -> np.ndarray:
    """Log-likelihood of the readings to `use`, for each of many models; shape (models,)."""
    users, readings = series.value.shape
    models = np.shape(model.noise)[0]
    state = prior(model, (models, users))
    total = np.zeros(models)
    for i in range(readings):
        known = use[:, i] & ~np.isnan(series.value[:, i])
        if i:
            gap = np.nan_to_num(series.days[:, i] - series.days[:, i - 1])
            state = predict(model, state, gap)
        value = np.nan_to_num(series.value[:, i])
        spread = state.p00 + model.noise**2
        lost = np.log(2.0 * np.pi * spread) + (value - state.level) ** 2 / spread
        total -= 0.5 * np.where(known, lost, 0.0).sum(axis=1)
        state = choose(known, update(state, value, model.noise**2), state)
    return total


def run(
    model: Model,
    series: Series,
    use: np.ndarray,
    *,
    noise: np.ndarray | None = None,
    jump: np.ndarray | None = None,
    jump_sd: float = 0.0,
    ahead: tuple[int, ...] = (),
) -> Estimates:
    """Filter the readings to `use`; the others move time only.

    Args:
        model: One model.
        series: The readings.
        use: (users, readings) Which of them to believe.
        noise: (users, readings) Standard deviation of each reading, if not the model's.
        jump: (users, readings) Where the level is known to have jumped before the reading.
        jump_sd: By how much, as a standard deviation.
        ahead: Days to forecast.
    """
    users, readings = series.value.shape
    found = [np.full((users, readings), np.nan) for _ in range(4)]
    later = {days: (found[0].copy(), found[0].copy()) for days in ahead}
    state = prior(model, (users,))
    for i in range(readings):
        value = series.value[:, i]
        known = use[:, i] & ~np.isnan(value)
        if i:
            gap = np.nan_to_num(series.days[:, i] - series.days[:, i - 1])
            state = predict(model, state, gap)
        if jump is not None:
            state = state._replace(p00=state.p00 + jump_sd**2 * jump[:, i])
        variance = np.full(users, model.noise**2) if noise is None else noise[:, i] ** 2
        found[0][:, i], found[1][:, i] = state.level, np.sqrt(state.p00 + variance)
        state = choose(known, update(state, np.nan_to_num(value), variance), state)
        found[2][:, i], found[3][:, i] = state.level, np.sqrt(state.p00)
        for days, (mean, sd) in later.items():
            then = predict(model, state, np.full(users, float(days)))
            mean[:, i], sd[:, i] = then.level, np.sqrt(then.p00)
    return Estimates(*found, (~use).astype(float), later)


def fit(series: Series, use: np.ndarray, starts: int = 4) -> Model:
    """The model under which the readings to `use` are most likely.

    The cross-entropy method (Rubinstein and Kroese, 2004): models are drawn from a normal
    distribution, which moves towards the best of them until it is narrow. Of several starts the
    best is polished by a compass search, all directions at once. Neither needs derivatives.
    """
    value = np.where(use, series.value, np.nan)
    first = series.value[use[:, 0], 0]
    gaps, steps = np.diff(series.days, axis=1), np.diff(value, axis=1)
    gap = float(np.nanmedian(gaps))
    step = max(float(np.nanmedian(np.abs(steps))), 1e-3 * float(np.nanstd(value)))
    pace = float(np.nanmedian(steps / np.where(gaps > 0.0, gaps, np.nan)))
    spread = max(float(np.std(first)), step)
    logs = [step, step / gap**0.5, step / gap**1.5, 0.1 / gap, step / gap, spread]
    begin = np.array([*np.log(logs), 0.0, 0.0])
    linear = np.array([step / gap, spread])
    shift = np.array([pace, float(np.mean(first))])

    def likelihoods(points: np.ndarray) -> np.ndarray:
        points[:, :6] = np.clip(points[:, :6], begin[:6] - 14.0, begin[:6] + 8.0)
        found = log_likelihood(_model(points, shift, linear), series, use)
        return np.nan_to_num(found, nan=-np.inf)

    found = [_cross_entropy(likelihoods, begin, start) for start in range(starts)]
    best = _polished(likelihoods, max(found, key=lambda pair: pair[1])[0])
    return Model(*(float(field[0, 0]) for field in _model(best[None, :], shift, linear)))


def _cross_entropy(
    likelihoods: Callable[[np.ndarray], np.ndarray], mean: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """A good point and its log-likelihood."""
    random = np.random.default_rng(seed)
    covariance = np.diag([1.0, 2.0, 2.0, 2.0, 1.5, 1.0, 1.0, 1.0]) ** 2
    best, most = mean, -np.inf
    for _ in range(70):
        drawn = random.multivariate_normal(mean, covariance, 48)
        drawn[0] = best
        found = likelihoods(drawn)
        order = np.argsort(-found)
        if found[order[0]] > most:
            best, most = drawn[order[0]], float(found[order[0]])
        elite = drawn[order[:12]]
        mean = 0.4 * mean + 0.6 * elite.mean(axis=0)
        covariance = 0.4 * covariance + 0.6 * np.cov(elite.T) + 1e-8 * np.eye(8)
        if np.ptp(found[order[:12]]) < 0.1:
            break
    return best, most


def _polished(likelihoods: Callable[[np.ndarray], np.ndarray], best: np.ndarray) -> np.ndarray:
    """The point after a compass search."""
    step, most = 0.5, -np.inf
    while step > 0.01:
        points = best + np.vstack([np.zeros((1, 8)), step * np.eye(8), -step * np.eye(8)])
        found = likelihoods(points)
        top = int(np.argmax(found))
        most = max(most, float(found[0]))
        if found[top] > most + 1e-3:
            best, most = points[top], float(found[top])
        else:
            step /= 2.0
    return best


def _model(points: np.ndarray, shift: np.ndarray, linear: np.ndarray) -> Model:
    columns = [*np.exp(points[:, :6].T), *(shift + linear * points[:, 6:]).T]
    return Model(*(column[:, None] for column in columns))
