"""The smoother: each reading's level and slope in the light of all readings, later ones too.

Forward it is the Kalman filter. Backward, each estimate x, P is corrected by what the next one
turned out to be, xs, Ps, beside what had been predicted of it, xp, Pp (Rauch, Tung and Striebel,
Maximum likelihood estimates of linear dynamic systems, AIAA Journal 3, 1965; Särkkä, Bayesian
Filtering and Smoothing, 2013, section 8.2):

    G = P F' Pp^-1
    x <- x + G (xs - xp)
    P <- (I - G F) P (I - G F)' + G (Ps + Q) G'

The last line is their P + G (Ps - Pp) G' as a sum of terms that are not negative, nor become it
by rounding.

The filter's decisions stand: a rejected reading is not used. But where the filter restarted it
changed its mind about readings before, so such a user's readings are judged again, by `course`.
Before a jump the level's variance grows by a jump's, or by the squared innovation where that is
more. So levels before it say little of those after it, however far it was, and the slope is carried
over. The noise of all readings is what is known of it after the newest one. Before the first
reading of a user the population is known, or else that the level lies in the range.
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import Estimate, Transition
from kalmap.filter.columns import REASON_BITS, RESTARTED
from kalmap.filter.course import Event, OneUser, likeliest_course
from kalmap.filter.model import transition
from kalmap.filter.parameters import Parameters
from kalmap.readings import F64, U8

#: Where less than this share of the slope's variance is left once the level is known, the level
#: determines the slope, and what is left is rounding.
_DETERMINED = 1e-13


class _Step(NamedTuple):
    """One reading on the way forward."""

    move: Transition[float]
    """Over the gap before the reading, with the jump there."""
    predicted: Estimate[float]
    filtered: Estimate[float]


def smooth(
    parameters: Parameters,
    readings: OneUser,
    flags: U8,
    start: Estimate[float] | None = None,
) -> F64:
    """Smooth the readings of one user.

    Args:
        parameters: The profile's numbers.
        readings: In key order, with the noise that the filter knows after the newest one.
        flags: (readings,) What the filter decided: REASON_BITS and RESTARTED.
        start: The estimate before the first reading; None for the first reading of all.

    Returns:
        (5, readings) LEVEL, SLOPE, P00, P01, P11 at each reading.
    """
    if start is None:
        start = _prior(parameters, float(readings.value[0]))
    if (flags & RESTARTED).any():
        events = likeliest_course(parameters, readings, start)
    else:
        events = np.where((flags & REASON_BITS) > 0, Event.WRONG, Event.GOOD).astype(np.uint8)
    steps = _forward(parameters, readings, events, start)
    smoothed = [steps[-1].filtered]
    for step, later in zip(steps[-2::-1], steps[:0:-1], strict=True):
        smoothed.append(_back(step.filtered, later, smoothed[-1]))
    return np.array(smoothed[::-1]).T


def _prior(parameters: Parameters, first: float) -> Estimate[float]:
    """What is known before a user's first reading, whose value this is."""
    if parameters.population is not None:
        return parameters.population
    low, high = parameters.profile.range
    variance = (high - low) * (high - low)
    return Estimate(first, parameters.slope_mean, variance, 0.0, parameters.slope_variance)


def _forward(
    parameters: Parameters, readings: OneUser, events: U8, start: Estimate[float]
) -> list[_Step]:
    """Filter the readings as the events say."""
    moves = transition(parameters.profile, readings.gap)
    parts = ([None] * events.size if part is None else part.tolist() for part in moves)
    columns = (readings.value, readings.noise, events)
    estimate, steps = start, []
    for parts_of_move, value, noise, event in zip(
        zip(*parts, strict=True), *(column.tolist() for column in columns), strict=True
    ):
        move = Transition[float](*parts_of_move)
        if event == Event.JUMPED:
            away = value - algebra.predict(estimate, move).level
            move = move._replace(q00=move.q00 + max(away * away, parameters.jump_variance))
        predicted = estimate = algebra.predict(estimate, move)
        if event != Event.WRONG:
            innovation = algebra.innovation(predicted, value, noise)
            estimate = algebra.update_steady(predicted, innovation, noise)
        steps.append(_Step(move, predicted, estimate))
    return steps


def _back(filtered: Estimate[float], later: _Step, known: Estimate[float]) -> Estimate[float]:
    """Correct an estimate by what the next one turned out to be.

    Args:
        filtered: The estimate.
        later: The next reading's step.
        known: The next estimate, smoothed.
    """
    move, predicted = later.move, later.predicted
    _, _, p00, p01, p11 = filtered
    level = _gain(p00 + move.gain * p01, move.decay * p01, predicted)
    slope = _gain(p01 + move.gain * p11, move.decay * p11, predicted)
    away = known.level - predicted.level, known.slope - predicted.slope
    # Rows of I - G F, and Ps + Q.
    level_kept = 1.0 - level[0], -move.gain * level[0] - move.decay * level[1]
    slope_kept = -slope[0], 1.0 - move.gain * slope[0] - move.decay * slope[1]
    p = p00, p01, p11
    drawn = known.p00 + move.q00, known.p01 + move.q01, known.p11 + move.q11
    return Estimate(
        filtered.level + level[0] * away[0] + level[1] * away[1],
        filtered.slope + slope[0] * away[0] + slope[1] * away[1],
        _product(level_kept, p, level_kept) + _product(level, drawn, level),
        _product(level_kept, p, slope_kept) + _product(level, drawn, slope),
        _product(slope_kept, p, slope_kept) + _product(slope, drawn, slope),
    )


def _gain(with_level: float, with_slope: float, predicted: Estimate[float]) -> tuple[float, float]:
    """A row of G, from a row of P F': covariances with the next level and the next slope."""
    ratio = predicted.p01 / predicted.p00
    left = predicted.p11 - ratio * predicted.p01
    of_slope = 0.0
    if left > _DETERMINED * predicted.p11:
        of_slope = (with_slope - ratio * with_level) / left
    return with_level / predicted.p00 - ratio * of_slope, of_slope


def _product(
    left: tuple[float, float], p: tuple[float, float, float], right: tuple[float, float]
) -> float:
    """A row times a covariance times a column; of a row with itself, never negative.

    The level's part and what is left to the slope once the level is known, as in `steady_p11`.
    """
    p00, p01, p11 = p
    ratio = p01 / p00 if p00 > 0.0 else 0.0
    given_level = max(p11 - ratio * p01, 0.0)
    of_level = (left[0] + ratio * left[1]) * (right[0] + ratio * right[1])
    return p00 * of_level + left[1] * given_level * right[1]
