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

The arithmetic is +, -, *, / and square roots, in an order that does not depend on how many users
there are. So a fold may be cut anywhere, and its bits are the same everywhere.
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import LEVEL, P00, Estimate, Innovation
from kalmap.filter.columns import OTHERS, WEIGHT, Belief, Kind
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
from kalmap.filter.reduction import Branches, moments, reduce, total_by_user
from kalmap.readings import F64, I64, U8, Bool

#: Probability that the level after a reading has nothing to do with the one before.
_RESTART = 1e-5
#: Probability that a reading is in the mistaken unit of the one before.
_UNIT_REPEATED = 0.8
#: Of the wrong readings after a wrong one, the share that resembles it.
ALIKE = 0.5
#: On one occasion what was wrong stays wrong, in the same way: that readings agree is no news.
REPEATED_AT_ONCE, ALIKE_AT_ONCE = 0.98, 0.95
#: Wrong readings are as likely anywhere in the range as where users are. There their spread is
#: wider than the users' by this factor, since other people and other units are among them.
_WIDER = 4.0 / 3.0
#: A branch believes a reading that is within so many standard deviations of noise.
_BELIEVES = 3.0
#: A branch that is less probable is left out, unless it believes a reading that may be wrong.
_NEGLIGIBLE, _MAY_BE_WRONG = 1e-5, 0.2


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
    """Hypotheses of all users, the heaviest of each user first; arrays of shape (hypotheses,)."""

    user: I64
    share: F64
    """Those of a user add up to 1."""
    kind: U8
    estimate: F64
    """(5, hypotheses)"""


class _Updates(NamedTuple):
    """Branches in which a filter takes a value in; arrays of shape (updates,)."""

    parent: I64
    """The hypothesis that each comes from."""
    odds: F64
    """The share of the parent times the prior of the branch."""
    target: F64
    """The value that is taken in."""
    kind: U8
    jumps: Bool
    prior: Estimate[F64]


def weigh(parameters: Parameters, belief: Belief, inputs: Inputs, is_first: Bool) -> Weighed:
    """Fold one reading of each user into their hypotheses.

    Args:
        parameters: The profile's numbers.
        belief: Before the reading. For a first reading: the population's.
        inputs: (users,) The readings.
        is_first: (users,) Whether the belief is the population's.
    """
    value, base, step = inputs
    users = value.size
    squarings = np.where(is_first, POPULATION, squarings_of(parameters, belief.readings))
    question = _Question(
        value, base * belief.scale, belief.last, squarings, is_first,
        ~is_first & (belief.readings == 0.0),
        step.q00 + step.gain * step.gain * parameters.slope_variance,
        ~is_first & (step.gain < parameters.occasion_gain),
    )  # fmt: skip
    before = _hypotheses(belief)
    prior = algebra.predict(Estimate(*before.estimate), algebra.transitions_at(step, before.user))
    predicted = moments(before.user, before.share, np.stack(prior), users)
    innovation = Innovation(value - predicted[LEVEL], 1.0 / (predicted[P00] + question.noise))

    branches, good, total = _branches(parameters, question, before, prior)
    wrong_ones = branches.kind > Kind.GOOD
    wrong = total_by_user(branches.user, branches.weight * wrong_ones, users)
    in_unit = branches.weight * (branches.kind == Kind.WRONG_UNIT)
    wrong_unit = total_by_user(branches.user, in_unit, users)
    matters = branches.weight > _NEGLIGIBLE
    matters |= branches.believes & (wrong > _MAY_BE_WRONG)[branches.user]
    after, restarted = reduce(branches.select(np.flatnonzero(matters)), belief, value)
    scale, readings = _learn(parameters, belief, before.user, *good)
    after = after._replace(
        scale=np.where(is_first, belief.scale, scale),
        readings=np.where(is_first, belief.readings, readings),
    )
    left = _hypotheses(after)
    return Weighed(
        after,
        moments(left.user, left.share, left.estimate, users),
        np.where(is_first, np.nan, predicted[LEVEL]),
        np.where(is_first, np.nan, algebra.nis(innovation)),
        innovation.precision,
        wrong,
        wrong_unit > wrong - wrong_unit,
        restarted,
        total,
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
    variance = np.full(value.shape, parameters.population.p00 * _WIDER * _WIDER)
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
    parameters: Parameters, belief: Belief, user: I64, good: F64, nis: F64
) -> tuple[F64, F64]:
    """What a reading says of a user's noise: the new scale, and the readings behind it.

    Args:
        parameters: Has the prior, and the memory.
        belief: Before the reading.
        user: (hypotheses,) Whose each is.
        good: (hypotheses,) Probability that the reading is good under each.
        nis: (hypotheses,) Its normalised innovation squared under each.
    """
    users = belief.scale.size
    certain = np.rint(4.0 * total_by_user(user, good, users)) / 4.0
    readings = np.minimum(belief.readings + certain, parameters.memory)
    if not parameters.learns:
        return belief.scale, readings
    surprise = total_by_user(user, good * (np.minimum(nis, MOST_SURPRISE) - 1.0), users)
    factor = 1.0 + surprise / (readings + parameters.prior)
    return np.maximum(belief.scale * factor, LEAST_SCALE), readings


def _hypotheses(belief: Belief) -> _Hypotheses:
    """The hypotheses of all users, the heaviest ones first."""
    everyone = np.arange(belief.last.size)
    there = [np.flatnonzero(belief.others[number, WEIGHT]) for number in range(OTHERS)]
    user = np.concatenate((everyone, *there))
    estimates, weights, kinds = [belief.estimate], [np.ones(everyone.size)], [belief.kinds[0]]
    for number, users in enumerate(there):
        estimates.append(belief.others[number, :WEIGHT, users].T)
        weights.append(belief.others[number, WEIGHT, users])
        kinds.append(belief.kinds[1 + number, users])
    weight = np.concatenate(weights)
    total = total_by_user(user, weight, everyone.size)
    return _Hypotheses(
        user, weight / total[user], np.concatenate(kinds), np.concatenate(estimates, axis=1)
    )


def _branches(
    parameters: Parameters, question: _Question, before: _Hypotheses, prior: Estimate[F64]
) -> tuple[Branches, tuple[F64, F64], F64]:
    """All branches of the readings.

    Returns:
        The branches, with weights that add up to 1 for each user; the probability that the reading
        is good under each hypothesis, and its NIS; the reading's density before it was seen.
    """
    users, count = question.value.size, before.user.size
    updates, wrong = _updates(parameters, question, before, prior)
    user = before.user[updates.parent]
    noise, value = question.noise[user], question.value[user]
    innovation = algebra.innovation(updates.prior, updates.target, noise)
    squarings = np.where(updates.jumps, NORMAL, question.squarings[user])
    weight = updates.odds * student_t(
        innovation.difference * innovation.difference, updates.prior.p00 + noise, squarings
    )
    updated = algebra.update_steady(updates.prior, innovation, noise)
    near = np.abs(updated.level - value) < _BELIEVES * np.sqrt(noise)

    begins = np.flatnonzero(~question.is_first)
    begun, odds = _begin(parameters, question, before.estimate[LEVEL, :users], begins)

    owner = np.concatenate((user, begins, before.user))
    weight = np.concatenate((weight, odds, wrong))
    total = np.maximum(total_by_user(owner, weight, users), 1e-300)
    weight /= total[owner]
    certain = np.ones(begins.size, np.bool_)
    moves = np.ones(owner.size, np.bool_)
    moves[: user.size] = updates.jumps | (updates.parent >= users)
    moves[user.size + begins.size :] = np.arange(count) >= users
    branches = Branches(
        owner,
        weight,
        np.concatenate((np.stack(updated), np.stack(begun), np.stack(prior)), axis=1),
        np.concatenate(
            (updates.kind, np.zeros(begins.size, np.uint8), np.full(count, Kind.WRONG, np.uint8))
        ),
        moves,
        np.concatenate((near & (updates.kind == Kind.GOOD), certain, np.zeros(count, np.bool_))),
    )
    return branches, (weight[:count], algebra.nis(innovation)[:count]), total


def _updates(
    parameters: Parameters, question: _Question, before: _Hypotheses, prior: Estimate[F64]
) -> tuple[_Updates, F64]:
    """The branches that take a value in, and the weights of those that hold the reading wrong.

    The first of the branches are the good ones, in the order of the hypotheses.
    """
    user, share, kind = before.user, before.share, before.kind
    fault, wrong_unit = parameters.fault, parameters.wrong_unit
    # Probabilities of a wrong reading in the right unit, unlike or like the last, and of the units.
    is_wrong, in_unit, at_once = kind == Kind.WRONG, kind == Kind.WRONG_UNIT, question.at_once[user]
    repeated = np.where(at_once, REPEATED_AT_ONCE, parameters.repeated)
    same_unit = np.where(at_once, REPEATED_AT_ONCE, _UNIT_REPEATED)
    like = np.where(at_once, ALIKE_AT_ONCE, ALIKE)
    afresh = np.where(is_wrong, repeated * (1.0 - like), fault)
    other = np.where(in_unit, (1.0 - same_unit) * fault, afresh) * (1.0 - wrong_unit)
    alike = np.where(is_wrong, repeated * like, 0.0)
    unit = np.where(in_unit, same_unit, afresh * wrong_unit)
    good = share * (1.0 - other - alike - unit)
    jump = np.where(question.is_first[user], 0.0, parameters.jump)

    everyone = np.arange(user.size)
    jumping = np.flatnonzero(jump > 0.0)
    parents, odds = [everyone, jumping], [good * (1.0 - jump), (good * jump)[jumping]]
    targets = [question.value[user], question.value[user[jumping]]]
    converted = [(ratio, question.value / ratio) for ratio in parameters.ratios]
    plausible = [_is_plausible(parameters, right) for _, right in converted]
    units = np.maximum(np.sum(plausible, axis=0), 1) if converted else np.ones(question.value.size)
    for (ratio, right), able in zip(converted, plausible, strict=True):
        those = np.flatnonzero(able[user])
        parents.append(those)
        # Not divided by a ratio below 1: else a mistaken unit could gain for ever.
        odds.append((share * unit)[those] / (max(ratio, 1.0) * units[user[those]]))
        targets.append(right[user[those]])
    last_unit = sum(part.size for part in parents)
    # The single reading before was in another unit.
    second = np.flatnonzero(question.is_second)
    first = before.estimate[LEVEL, second]
    for ratio in parameters.ratios if second.size else ():
        able = _is_plausible(parameters, first / ratio)
        likelier = _first_density(parameters, first / ratio) / _first_density(parameters, first)
        parents.append(second)
        odds.append(share[second] * (fault * wrong_unit / ratio) * (able * likelier))
        targets.append(question.value[second])
    parent = np.concatenate(parents)
    level, slope, p00, p01, p11 = (part[parent] for part in prior)
    first_unit = everyone.size + jumping.size
    p00[everyone.size : first_unit] += parameters.jump_variance
    for number, ratio in enumerate(parameters.ratios):
        here = slice(last_unit + number * second.size, last_unit + (number + 1) * second.size)
        level[here] /= ratio
        p00[here] /= ratio * ratio
        p01[here] /= ratio
    kinds = np.zeros(parent.size, np.uint8)
    kinds[first_unit:last_unit] = Kind.WRONG_UNIT
    jumps = np.zeros(parent.size, np.bool_)
    jumps[everyone.size : first_unit] = jumps[last_unit:] = True
    updates = _Updates(
        parent, np.concatenate(odds), np.concatenate(targets), kinds, jumps,
        Estimate(level, slope, p00, p01, p11),
    )  # fmt: skip
    away = question.value - question.last
    same = student_t(away * away, 2.0 * question.noise + question.drift, NORMAL)
    elsewhere = wrong_density(parameters, question.value)
    return updates, share * (other * elsewhere[user] + alike * same[user])


def _begin(
    parameters: Parameters, question: _Question, before: F64, users: I64
) -> tuple[Estimate[F64], F64]:
    """Filters that begin at these users' readings, and their weights.

    Args:
        parameters: The profile's numbers.
        question: Of all users.
        before: (all users,) Level under the heaviest hypothesis before the reading.
        users: Positions of those that begin.
    """
    value, noise = question.value[users], question.noise[users]
    fault, second = parameters.fault, question.is_second[users]
    if parameters.population is None:
        begun = algebra.restart(value, noise, parameters.slope_mean, parameters.slope_variance)
        density = _first_density(parameters, value)
    else:
        population = Estimate(*(np.full(value.shape, part) for part in parameters.population))
        innovation = algebra.innovation(population, value, noise)
        begun = algebra.update_steady(population, innovation, noise)
        density = student_t(
            innovation.difference * innovation.difference, population.p00 + noise, POPULATION
        )
    over = wrong_density(parameters, before[users]) / _first_density(parameters, before[users])
    # If a single reading is behind the filter, it may have been the wrong one.
    was_wrong = fault * (1.0 - parameters.wrong_unit) * over
    odds = np.where(second, np.maximum(was_wrong, _RESTART), _RESTART) * (1.0 - fault)
    return begun, odds * density
