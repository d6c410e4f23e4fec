"""A Gaussian sum: a dozen hypotheses of what was wrong and when the weight jumped.

Each hypothesis is a filter of its own with a weight (Alspach and Sorenson, *IEEE Transactions on
Automatic Control* 17, 1972). Each reading makes three of each: the reading is good; it is good
after a jump; it is wrong. The heaviest are kept. A jump, a fault and what a wrong reading looks
like have a prior probability; none of them is taken from the simulators.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.trials import kalman
from benchmarks.trials.estimates import Estimates
from benchmarks.trials.kalman import Gaussian, Model
from benchmarks.trials.series import Series


class Faults(NamedTuple):
    """Prior probabilities of what goes wrong, and what that looks like."""

    fault: float = 0.03
    repeated: float = 0.10
    """Of a fault at the reading after a fault."""
    jump: float = 0.003
    jump_sd: float = 8.0
    wrong_mean: float = 75.0
    """Half of the wrong readings are near other people's weights."""
    wrong_sd: float = 20.0
    low: float = 0.0
    """The other half lie anywhere between these."""
    high: float = 350.0

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
        hypotheses: How many are kept of each user.
        ahead: Days to forecast.
    """
    users, readings = series.value.shape
    found = [np.full((users, readings), np.nan) for _ in range(5)]
    later = {days: (found[0].copy(), found[0].copy()) for days in ahead}
    variance = np.array(model.noise) ** 2
    state = kalman.prior(model, (users, 1))
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
        branches = [
            weight * (1.0 - fault) * (1.0 - jump) * _fit(state, value, variance),
            weight * (1.0 - fault) * jump * _fit(moved, value, variance),
            weight * fault * faults.density(value),
        ]
        states = [
            kalman.update(state, value, variance), kalman.update(moved, value, variance), state,
        ]  # fmt: skip
        total = sum(branch.sum(axis=1) for branch in branches)
        found[4][:, i] = branches[2].sum(axis=1) / total
        grown = Gaussian(*(np.hstack(fields) for fields in zip(*states, strict=True)))
        count = weight.shape[1]
        faulty = np.zeros((users, 3 * count), np.bool_)
        faulty[:, 2 * count :] = True
        grown_weight = np.hstack(branches)
        if missing.any():
            kept = np.hstack([np.zeros((users, 2 * count)), weight])
            grown_weight = np.where(missing, kept, grown_weight)
            faulty[:, 2 * count :] |= missing & after_fault
        top = np.argsort(-grown_weight, axis=1, kind="stable")[:, :hypotheses]
        weight = np.take_along_axis(grown_weight, top, axis=1)
        weight /= weight.sum(axis=1, keepdims=True)
        state = Gaussian(*(np.take_along_axis(field, top, axis=1) for field in grown))
        after_fault = np.take_along_axis(faulty, top, axis=1)
        found[2][:, i], spread = _moments(weight, state)
        found[3][:, i] = np.sqrt(spread)
        for days, (mean, sd) in later.items():
            then = kalman.predict(model, state, np.full((users, 1), float(days)))
            mean[:, i], spread = _moments(weight, then)
            sd[:, i] = np.sqrt(spread)
    return Estimates(found[0], found[1], found[2], found[3], found[4], later)


def _fit(state: Gaussian, value: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return kalman.density(value, state.level, state.p00 + variance) + 1e-300


def _moments(weight: np.ndarray, state: Gaussian) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a mixture's level."""
    mean = (weight * state.level).sum(axis=1)
    apart = state.level - mean[:, None]
    return mean, (weight * (state.p00 + apart**2)).sum(axis=1)
