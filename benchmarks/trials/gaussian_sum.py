"""A Gaussian sum: a dozen hypotheses of what was wrong and when the weight jumped.

Each hypothesis is a filter of its own with a weight (Alspach and Sorenson, *IEEE Transactions on
Automatic Control* 17, 1972). Each reading makes three of each: the reading is good; it is good
after a jump; it is wrong. One more begins at the reading as a new user's would. Hypotheses that
agree are merged, and the heaviest are kept. What goes wrong has prior probabilities, which are
the same for every simulator.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.trials import kalman
from benchmarks.trials.estimates import Estimates
from benchmarks.trials.kalman import Gaussian, Model
from benchmarks.trials.series import Series


class Faults(NamedTuple):
    """Prior probabilities of what goes wrong, and what that looks like."""

    fault: float = 0.02
    repeated: float = 0.3
    """Of a fault at the reading after a fault; half of these resemble the one before."""
    jump: float = 0.003
    jump_sd: float = 8.0
    restart: float = 1e-5
    """Of a level that has nothing to do with the one before."""
    wrong_mean: float = 75.0
    """Half of the wrong readings are near other people's weights."""
    wrong_sd: float = 20.0
    low: float = 0.0
    """The other half lie anywhere between these."""
    high: float = 350.0
    tails: float = 1.5
    """Users' first levels spread this much wider than the model says, for users far from most."""

    def density(self, value: np.ndarray) -> np.ndarray:
        """Of wrong readings."""
        near = kalman.density(value, np.array(self.wrong_mean), np.array(self.wrong_sd**2))
        return 0.5 * near + 0.5 / (self.high - self.low)


DEFAULT_FAULTS = Faults()


def run(
    model: Model,
    series: Series,
    faults: Faults = DEFAULT_FAULTS,
    *,
    hypotheses: int = 12,
    ahead: tuple[int, ...] = (),
) -> Estimates:
    """Filter with the sum, and answer with its mean and variance.

    Args:
        model: What a good reading is, between jumps.
        series: The readings; a missing one moves time only.
        faults: Prior probabilities.
        hypotheses: How many remain of each user.
        ahead: Days to forecast.
    """
    users, readings = series.value.shape
    found = [np.full((users, readings), np.nan) for _ in range(5)]
    later = {days: (found[0].copy(), found[0].copy()) for days in ahead}
    variance = np.array(model.noise) ** 2
    wide = model._replace(level_sd=faults.tails * model.level_sd)
    state = kalman.prior(wide, (users, 1))
    before = np.zeros((users, 1))
    weight, after_fault = np.ones((users, 1)), np.zeros((users, 1), np.bool_)
    for i in range(readings):
        value = series.value[:, i : i + 1]
        missing = np.isnan(value)
        value = np.nan_to_num(value)
        if i:
            gap = np.nan_to_num(series.days[:, i : i + 1] - series.days[:, i - 1 : i])
            state = kalman.predict(model, state, gap)
        found[0][:, i], spread = _moments(weight, state)
        found[1][:, i] = np.sqrt(spread + variance)
        # Before the first reading there is nothing to jump from.
        jump = faults.jump if i else 0.0
        moved = state._replace(p00=state.p00 + faults.jump_sd**2)
        fault = np.where(after_fault, faults.repeated, faults.fault)
        alike = 0.5 * faults.density(value) + 0.5 * kalman.density(value, before, 2.0 * variance)
        wrong = np.where(after_fault, alike, faults.density(value))
        branches = [
            weight * (1.0 - fault) * (1.0 - jump) * _fit(state, value, variance),
            weight * (1.0 - fault) * jump * _fit(moved, value, variance),
            weight * fault * wrong,
        ]
        states = [
            kalman.update(state, value, variance), kalman.update(moved, value, variance), state,
        ]  # fmt: skip
        total = np.hstack(branches).sum(axis=1)
        found[4][:, i] = branches[2].sum(axis=1) / total
        fresh = kalman.prior(wide, (users, 1))
        restart = (faults.restart if i else 0.0) * (1.0 - faults.fault)
        branches.append(restart * _fit(fresh, value, variance))
        states.append(kalman.update(fresh, value, variance))
        grown = Gaussian(*(np.hstack(fields) for fields in zip(*states, strict=True)))
        count = weight.shape[1]
        faulty = np.zeros((users, 3 * count + 1), np.bool_)
        faulty[:, 2 * count : 3 * count] = True
        grown_weight = np.hstack(branches)
        before = np.where(missing, before, value)
        if missing.any():
            unread = np.hstack([np.zeros((users, 2 * count)), weight, np.zeros((users, 1))])
            grown_weight = np.where(missing, unread, grown_weight)
            last = np.hstack([np.zeros((users, 2 * count)), after_fault, np.zeros((users, 1))])
            faulty = np.where(missing, last > 0.0, faulty)
        weight, state, after_fault = _reduced(grown_weight, grown, faulty, hypotheses)
        found[2][:, i], spread = _moments(weight, state)
        found[3][:, i] = np.sqrt(spread)
        for days, (mean, sd) in later.items():
            then = kalman.predict(model, state, np.full((users, 1), float(days)))
            mean[:, i], spread = _moments(weight, then)
            sd[:, i] = np.sqrt(spread)
    return Estimates(found[0], found[1], found[2], found[3], found[4], later)


def _reduced(
    weight: np.ndarray, state: Gaussian, faulty: np.ndarray, hypotheses: int
) -> tuple[np.ndarray, Gaussian, np.ndarray]:
    """The heaviest hypotheses, each with the weight of the lighter ones that agree with it."""
    for kept in (3 * hypotheses, hypotheses):
        order = np.argsort(-weight, axis=1, kind="stable")[:, :kept]
        weight, faulty = (np.take_along_axis(part, order, axis=1) for part in (weight, faulty))
        state = Gaussian(*(np.take_along_axis(field, order, axis=1) for field in state))
        if kept == hypotheses:
            break
        for one in range(min(2 * hypotheses, weight.shape[1])):
            agree = np.abs(state.level - state.level[:, one, None]) < 0.3 * np.sqrt(
                state.p00[:, one, None]
            )
            agree &= (faulty == faulty[:, one, None]) & (weight[:, one, None] > 0.0)
            agree[:, : one + 1] = False
            weight[:, one] += np.where(agree, weight, 0.0).sum(axis=1)
            weight = np.where(agree, 0.0, weight)
    return weight / weight.sum(axis=1, keepdims=True), state, faulty


def _fit(state: Gaussian, value: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return kalman.density(value, state.level, state.p00 + variance) + 1e-300


def _moments(weight: np.ndarray, state: Gaussian) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a mixture's level."""
    mean = (weight * state.level).sum(axis=1)
    apart = state.level - mean[:, None]
    return mean, (weight * (state.p00 + apart**2)).sum(axis=1)
