"""Hypotheses with odds: what a reading may be, and how a few of all possibilities remain.

A reading that is far from its prediction raises a question: is it wrong, or has the level jumped,
or was the last reading wrong, or the unit? Each hypothesis of a user is a filter with a weight. A
reading makes branches of each:

    good              the filter takes the reading in
    after a jump      the same, with the jump's variance added to the level's
    in another unit   the filter takes the converted reading in
    wrong             the filter stays as it was

and one branch begins at the reading, as a new user's filter would. If a single reading is behind
the filter, more branches say that this one was wrong, or in another unit. Each branch weighs as
much as it foretold the reading, times its prior (the multiple model approach: Bar-Shalom, Li and
Kirubarajan, 2001, section 11.6; Harrison and Stevens, Bayesian Forecasting, JRSS B 38, 1976).
`reduction` makes three hypotheses of the branches.

Arrays have a row for each hypothesis or branch, and a column for each user. A user who has fewer
hypotheses than others has rows of weight 0. The arithmetic is +, -, *, / and square roots, in an
order that does not depend on how many users or rows there are. So a fold may be cut anywhere, and
its bits are the same everywhere.
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import LEVEL, P00, Estimate, Innovation
from kalmap.filter.branch_table import branch_table
from kalmap.filter.columns import WEIGHT, Belief, Kind
from kalmap.filter.noise import (
    LEAST_SCALE,
    MOST_SURPRISE,
    NORMAL,
    POPULATION,
    squarings_of,
    student_t,
)
from kalmap.filter.packed import Inputs, Weighed
from kalmap.filter.parameters import Parameters
from kalmap.filter.reduction import Branches, mixture, reduce, sum_rows
from kalmap.readings import F64, I64, U8, Bool

#: Probability that the level after a reading has nothing to do with the one before.
RESTART = 1e-5
#: Probability that a reading is in the mistaken unit of the one before.
UNIT_REPEATED = 0.8
#: Of the wrong readings after a wrong one, the share that resembles it.
ALIKE = 0.5
#: On one occasion what was wrong stays wrong, in the same way: that readings agree is no news.
REPEATED_AT_ONCE, ALIKE_AT_ONCE = 0.98, 0.95
#: Wrong readings are as likely anywhere in the range as where users are. There their spread is
#: wider than the users' by this factor, since other people and other units are among them.
WIDER = 4.0 / 3.0
#: A branch believes a reading that is within so many standard deviations of noise.
BELIEVES = 3.0


class _Question(NamedTuple):
    """Users' readings, and what was known of each before; arrays of shape (users,)."""

    value: F64
    noise: F64
    """R of this user."""
    last: F64
    """The reading before."""
    squarings: I64
    """Degrees of freedom: `noise.student_t`."""
    is_first: Bool
    is_second: Bool
    """A single reading is behind the filter."""
    drift: F64
    """Variance by which another person's level drifts over the gap."""
    at_once: Bool
    """It is the same occasion as the reading before."""


class _Hypotheses(NamedTuple):
    """Hypotheses of users, the heaviest of each first; arrays of shape (hypotheses, users)."""

    share: F64
    """Those of a user add up to 1; 0 for none."""
    kind: U8
    estimate: F64
    """(5, hypotheses, users); of none: the heaviest one's."""


class _Odds(NamedTuple):
    """Probabilities of each hypothesis and what the reading is; of shape (hypotheses, users)."""

    good: F64
    in_unit: F64
    """Right in another unit."""
    alike: F64
    """Wrong in the right unit, and like the last wrong one."""
    unlike: F64
    """Wrong in the right unit, and unlike the last one."""


def weigh(parameters: Parameters, belief: Belief, inputs: Inputs, is_first: Bool) -> Weighed:
    """Fold one reading of each user into their hypotheses.

    Args:
        parameters: The profile's numbers.
        belief: Before the reading. For a first reading: the population's.
        inputs: (users,) The readings.
        is_first: (users,) Whether the belief is the population's.
    """
    value, base, step = inputs
    squarings = np.where(is_first, POPULATION, squarings_of(parameters, belief.readings))
    question = _Question(
        value, base * belief.scale, belief.last, squarings, is_first,
        ~is_first & (belief.readings == 0.0),
        step.q00 + step.gain * step.gain * parameters.slope_variance,
        ~is_first & (step.gain < parameters.occasion_gain),
    )  # fmt: skip
    before = _hypotheses(belief)
    prior = np.array(algebra.predict(Estimate(*before.estimate), step))
    predicted = mixture(before.share, prior, prior[:, 0])
    innovation = Innovation(value - predicted[LEVEL], 1.0 / (predicted[P00] + question.noise))

    branches, density = _branches(parameters, question, before, prior)
    wrong_unit = sum_rows(branches.weight[branches.kind == Kind.WRONG_UNIT])
    wrong = sum_rows(branches.weight[branches.kind == Kind.WRONG]) + wrong_unit
    after, restarted = reduce(branches, wrong, belief, value)
    scale, readings = _learn(parameters, question, belief, prior, branches.weight)
    left = _hypotheses(after)
    return Weighed(
        after._replace(scale=scale, readings=readings),
        mixture(left.share, left.estimate, after.estimate),
        np.where(is_first, np.nan, predicted[LEVEL]),
        np.where(is_first, np.nan, algebra.nis(innovation)),
        innovation.precision,
        wrong,
        wrong_unit > wrong - wrong_unit,
        restarted,
        density,
    )


def judge_expected(
    parameters: Parameters, value: F64, nis: F64, precision: F64, readings: F64
) -> tuple[F64, F64]:
    """Judge readings that raised no question; arrays of one shape.

    Args:
        parameters: The profile's numbers.
        value: The readings.
        nis: Normalised innovation squared; NaN for a user's first reading.
        precision: 1 / S.
        readings: Readings that the user's scale has learned from, after each reading.

    Returns:
        The probability that each is wrong, and its density before it was seen.
    """
    fault = parameters.fault
    squarings = squarings_of(parameters, np.maximum(readings - 1.0, 0.0))
    good = student_t(nis, np.ones(1), squarings) * np.sqrt(precision)
    good *= 1.0 - fault
    wrong = wrong_density(parameters, value)
    wrong *= fault * (1.0 - parameters.wrong_unit)
    density = good + wrong
    chance = wrong / density
    chance[np.isnan(nis)] = fault
    return chance, density


def wrong_density(parameters: Parameters, value: F64) -> F64:
    """Density of a wrong reading that is in the right unit."""
    low, high = parameters.profile.range
    density: F64 = np.full(value.shape, 1.0 / (high - low))
    if parameters.population is None:
        return density
    away = value - parameters.population.level
    variance = np.full(value.shape, parameters.population.p00 * WIDER * WIDER)
    return 0.5 * density + 0.5 * student_t(away * away, variance, NORMAL)


def _first_density(parameters: Parameters, level: F64) -> F64:
    """Density of a new user's level."""
    if parameters.population is None:
        low, high = parameters.profile.range
        return np.full(level.shape, 1.0 / (high - low))
    away = level - parameters.population.level
    variance = np.full(level.shape, parameters.population.p00)
    return student_t(away * away, variance, POPULATION)


def _is_plausible(parameters: Parameters, value: F64) -> Bool:
    low, high = parameters.profile.range
    return (value >= low) & (value <= high)


def _learn(
    parameters: Parameters,
    question: _Question,
    belief: Belief,
    prior: F64,
    weight: F64,
) -> tuple[F64, F64]:
    """What a reading says of a user's noise: the new scale, and the readings behind it.

    How far a first reading is from the population says nothing of it.

    Args:
        parameters: Has the prior, and the memory.
        question: The readings.
        belief: Before the reading.
        prior: (5, hypotheses, users) The predictions.
        weight: (branches, users) Of the branches; the first ones take the reading for good.
    """
    good = weight[: prior.shape[1]]
    certain = np.rint(4.0 * sum_rows(good)) / 4.0
    readings = np.minimum(belief.readings + certain, parameters.memory)
    scale = belief.scale
    if parameters.learns:
        nis = algebra.nis(algebra.innovation(Estimate(*prior), question.value, question.noise))
        surprise = sum_rows(good * (np.minimum(nis, MOST_SURPRISE) - 1.0))
        factor = 1.0 + surprise / (readings + parameters.prior)
        scale = np.maximum(scale * factor, LEAST_SCALE)
    return (
        np.where(question.is_first, belief.scale, scale),
        np.where(question.is_first, belief.readings, readings),
    )


def _hypotheses(belief: Belief) -> _Hypotheses:
    """The hypotheses of users: as many rows as the user with most of them has."""
    lighter = belief.others[:, WEIGHT]
    rows, users = 1 + np.count_nonzero(lighter.any(axis=1)), belief.last.size
    weight, estimate = np.ones((rows, users)), np.empty((5, rows, users))
    weight[1:] = lighter[: rows - 1]
    estimate[:, 0] = belief.estimate
    for row in range(1, rows):
        other = belief.others[row - 1, :WEIGHT]
        estimate[:, row] = np.where(weight[row] > 0.0, other, belief.estimate)
    return _Hypotheses(weight / sum_rows(weight), belief.kinds[:rows], estimate)


def _branches(
    parameters: Parameters, question: _Question, before: _Hypotheses, prior: F64
) -> tuple[Branches, F64]:
    """All branches, with weights that add up to 1, and the readings' densities before they came.

    The first branches take the reading for good, under each hypothesis.
    """
    value, noise = question.value, question.noise
    second = bool(parameters.ratios) and bool(question.is_second.any())
    table = branch_table(before.share.shape[0], len(parameters.ratios), second=second)
    good, in_unit, jumped, first_in_unit, begun, left_out = table.rows
    level, slope, p00, p01, p11 = _priors(parameters, prior, second=second).take(table.prior, 1)
    p00 += table.jumps * parameters.jump_variance
    priors = Estimate(level, slope, p00, p01, p11)
    right = value / np.array((1.0, *parameters.ratios))[:, None]
    innovation = algebra.innovation(priors, right.take(table.unit, 0), noise)
    estimate = np.array(algebra.update_steady(priors, innovation, noise))
    estimate[:, left_out] = prior

    squarings = np.where(table.squarings > 0, table.squarings, question.squarings)
    squared = innovation.difference * innovation.difference
    weight = student_t(squared, p00 + noise, squarings)
    odds = _odds(parameters, question, before)
    jump = np.where(question.is_first, 0.0, parameters.jump)
    weight[good] *= odds.good * (1.0 - jump)
    weight[jumped] *= odds.good * jump
    units = odds.in_unit * _in_units(parameters, right[1:])[:, None]
    weight[in_unit] *= units.reshape(-1, value.size)
    if second:
        weight[first_in_unit] *= _first_in_unit(parameters, question, before)
    if parameters.population is None:
        estimate[:, begun.start] = algebra.restart(
            value, noise, parameters.slope_mean, parameters.slope_variance
        )
        weight[begun] = _first_density(parameters, value)
    weight[begun] *= _begins(parameters, question, before.estimate[LEVEL, 0])
    away = value - question.last
    same = student_t(away * away, 2.0 * noise + question.drift, NORMAL)
    weight[left_out] = odds.unlike * wrong_density(parameters, value) + odds.alike * same

    density = np.maximum(sum_rows(weight), 1e-300)
    weight /= density
    # |value - updated level| = |innovation| R / S
    near = squared * noise * innovation.precision * innovation.precision < BELIEVES * BELIEVES
    near &= (table.kind == Kind.GOOD)[:, None]
    near[begun] = True
    return Branches(weight, estimate, table.kind, table.moves, near), density


def _priors(parameters: Parameters, prior: F64, *, second: bool) -> F64:
    """Estimates before a reading, (5, priors, users), in the order of `BranchTable.prior`."""
    rows = [prior]
    if second:
        ratio = np.array(parameters.ratios)[:, None]
        level, slope, p00, p01, p11 = prior[:, 0]
        right = (level / ratio, slope, p00 / (ratio * ratio), p01 / ratio, p11)
        rows.append(np.array([np.broadcast_to(row, (ratio.size, level.size)) for row in right]))
    population = parameters.population or Estimate(0.0, 0.0, 1.0, 0.0, 1.0)
    rows.append(np.broadcast_to(np.array(population)[:, None, None], (5, 1, prior.shape[2])))
    return np.concatenate(rows, axis=1)


def _odds(parameters: Parameters, question: _Question, before: _Hypotheses) -> _Odds:
    """What a reading may be, before it is looked at."""
    share, kind = before.share, before.kind
    fault, wrong_unit = parameters.fault, parameters.wrong_unit
    is_wrong, in_unit = kind == Kind.WRONG, kind == Kind.WRONG_UNIT
    repeated = np.where(question.at_once, REPEATED_AT_ONCE, parameters.repeated)
    same_unit = np.where(question.at_once, REPEATED_AT_ONCE, UNIT_REPEATED)
    like = np.where(question.at_once, ALIKE_AT_ONCE, ALIKE)
    afresh = np.where(is_wrong, repeated * (1.0 - like), fault)
    unlike = np.where(in_unit, (1.0 - same_unit) * fault, afresh) * (1.0 - wrong_unit)
    alike = np.where(is_wrong, repeated * like, 0.0)
    unit = np.where(in_unit, same_unit, afresh * wrong_unit)
    return _Odds(share * (1.0 - unlike - alike - unit), share * unit, share * alike, share * unlike)


def _in_units(parameters: Parameters, right: F64) -> F64:
    """The share of each other unit, if a reading is in one of them, (units, users)."""
    plausible = _is_plausible(parameters, right)
    # Not divided by a ratio below 1: else a mistaken unit could gain for ever.
    over = np.maximum(parameters.ratios, 1.0)[:, None] * np.maximum(plausible.sum(axis=0), 1)
    share: F64 = plausible / over
    return share


def _first_in_unit(parameters: Parameters, question: _Question, before: _Hypotheses) -> F64:
    """Probability that a single reading before was in each other unit, (units, users)."""
    ratio, first = np.array(parameters.ratios)[:, None], before.estimate[LEVEL, 0]
    odds = _first_density(parameters, first / ratio) / _first_density(parameters, first)
    odds *= before.share[0] * (parameters.fault * parameters.wrong_unit / ratio)
    odds *= question.is_second & _is_plausible(parameters, first / ratio)
    return odds


def _begins(parameters: Parameters, question: _Question, before: F64) -> F64:
    """Probability that nothing before the reading counts.

    Args:
        parameters: The profile's numbers.
        question: The readings.
        before: (users,) Level under the heaviest hypothesis before the reading.
    """
    # If a single reading is behind the filter, it may have been the wrong one.
    over = wrong_density(parameters, before) / _first_density(parameters, before)
    was_wrong = parameters.fault * (1.0 - parameters.wrong_unit) * over
    odds = np.where(question.is_second, np.maximum(was_wrong, RESTART), RESTART)
    return np.where(question.is_first, 0.0, odds * (1.0 - parameters.fault))
