"""Hypotheses with odds: what a reading may be, and how a few of all possibilities remain.

A reading that is far from its prediction raises a question: is it wrong, or has the level jumped,
or was the last reading wrong, or the unit? Each hypothesis of a user is a filter with a weight. A
reading makes branches of each:

    good              the filter takes the reading in
    after a jump      the same, with the jump's variance added to the level's
    wrong             the filter stays as it was
    in another unit   the filter takes the converted reading in

and one branch begins at the reading, as a new user's filter would. If a single reading is behind
the filter, more branches say that this one was wrong, or in another unit. Each branch weighs as
much as it foretold the reading, times its prior (the multiple model approach: Bar-Shalom, Li and
Kirubarajan, 2001, section 11.6; Harrison and Stevens, Bayesian Forecasting, JRSS B 38, 1976). Then
branches that agree are merged by their moments (the Gaussian sum of Alspach and Sorenson, 1972), and
the three heaviest remain.

What remains is rounded as the state stores it, and the arithmetic is +, -, *, / and square roots,
in an order that does not depend on how many users there are. So a fold may be cut anywhere.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import LEVEL, P00, P01, P11, SLOPE, Estimate, Innovation, Transition
from kalmap.filter.columns import OTHERS, RESTARTED, WEIGHT, Belief
from kalmap.filter.noise import LEAST_SCALE, NORMAL, POPULATION, squarings_of, student_t
from kalmap.filter.parameters import Parameters
from kalmap.outcome import Reason
from kalmap.readings import F64, U8, Bool

#: Wrong readings are as likely anywhere in the range as where users are. There their spread is
#: wider than the users' by this factor, since other people and other units are among them.
_WIDER = 4.0 / 3.0
#: Probability that the level after a reading has nothing to do with the one before.
_RESTART = 1e-5
#: Probability that a reading is in the mistaken unit of the one before.
_UNIT_REPEATED = 0.9
#: Of the wrong readings after a wrong one, the share that resembles it.
_ALIKE = 0.5
#: Branches agree whose levels are within so many standard deviations.
_AGREE = 1.0
#: A hypothesis below this share of the heaviest is dropped.
_DROP = 1e-3
#: A branch believes a reading that is within so many standard deviations of noise.
_BELIEVES = 3.0
#: One innovation counts at most this much for the noise: with t-distributed errors, one far off
#: says less.
_MOST_SURPRISE = 16.0
#: The least weight that is kept; the greatest number that is stored in 32 bits.
_LIGHTEST, _LARGEST = 1e-37, 3e38
_HYPOTHESES = 1 + OTHERS


class Kind(IntEnum):
    """What a hypothesis holds a reading to be."""

    GOOD = 0
    WRONG = 1
    WRONG_UNIT = 2


class Weighed(NamedTuple):
    """What became of one reading of each user; arrays of shape (users,)."""

    belief: Belief
    mixture: F64
    """(5, users) LEVEL, SLOPE, P00, P01, P11 of all hypotheses together."""
    predicted: F64
    """NaN, with the NIS, for a first reading."""
    nis: F64
    precision: F64
    wrong: F64
    """Probability that the reading is wrong."""
    wrong_unit: Bool
    """Whether a mistaken unit is the likeliest of what may be wrong."""
    restarted: Bool
    """Whether another hypothesis became the heaviest, or a jump or a restart did."""
    density: F64

    @property
    def flags(self) -> U8:
        """The readings' reasons, and whether the filter restarted at an accepted one."""
        reason = np.where(self.wrong_unit, Reason.UNIT_SUSPECT, Reason.OUTLIER)
        return np.where(self.wrong > 0.5, reason, self.restarted * RESTARTED).astype(np.uint8)


class _Branches(NamedTuple):
    """All that a reading may be; the last axes of each array are branches and users."""

    weight: F64
    estimate: F64
    """(5, branches, users)"""
    kind: U8
    """(branches, 1)"""
    moves: Bool
    """(branches, 1) Whether the heaviest hypothesis was another one, or jumped."""


def weigh(
    parameters: Parameters,
    belief: Belief,
    value: F64,
    base: F64,
    step: Transition[F64],
    is_first: Bool,
) -> Weighed:
    """Fold one reading of each user into their hypotheses.

    Args:
        parameters: The profile's numbers.
        belief: Before the reading. For a first reading: the population's.
        value: (users,) The readings.
        base: (users,) Their R, for a typical user.
        step: (users,) How the state moves up to the reading.
        is_first: (users,) Whether the belief is the population's.
    """
    noise = base * belief.scale
    shares, estimates = _hypotheses(belief)
    prior = algebra.predict(Estimate(*estimates), step)
    branches, good_nis = _branch(parameters, belief, shares, prior, value, noise, is_first)
    total = np.maximum(_sum(branches.weight), 1e-300)
    chance = branches.weight / total
    wrong = _sum(np.where(branches.kind > Kind.GOOD, chance, 0.0))
    wrong_unit = _sum(np.where(branches.kind == Kind.WRONG_UNIT, chance, 0.0))
    after, restarted = _reduce(branches._replace(weight=chance), belief, value, noise)
    scale, readings = _learn(parameters, belief, chance[:_HYPOTHESES], good_nis)
    after = after._replace(
        scale=np.where(is_first, belief.scale, scale),
        readings=np.where(is_first, belief.readings, readings),
    )
    before = mixture(shares, np.stack(prior))
    innovation = Innovation(value - before[LEVEL], 1.0 / (before[P00] + noise))
    return Weighed(
        after,
        mixture(*_hypotheses(after)),
        np.where(is_first, np.nan, before[LEVEL]),
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


def mixture(shares: F64, estimates: F64) -> F64:
    """Mean and covariance of hypotheses, (5, users).

    Args:
        shares: (hypotheses, users) Their weights, in any unit.
        estimates: (5, hypotheses, users) Exactly the first one's where it is alone.
    """
    return _moments(shares, estimates, estimates[:, 0])


def _learn(parameters: Parameters, belief: Belief, good: F64, nis: F64) -> tuple[F64, F64]:
    """What a reading says of a user's noise: the new scale, and the readings behind it.

    Args:
        parameters: Has the prior, and the memory.
        belief: Before the reading.
        good: (hypotheses, users) Probability that the reading is good, under each.
        nis: (hypotheses, users) Its normalised innovation squared, under each.
    """
    certain = np.rint(4.0 * _sum(good)) / 4.0
    readings = np.minimum(belief.readings + certain, parameters.memory)
    if not parameters.learns:
        return belief.scale, readings
    surprise = _sum(good * (np.minimum(nis, _MOST_SURPRISE) - 1.0))
    factor = 1.0 + surprise / (readings + parameters.prior)
    return np.maximum(belief.scale * factor, LEAST_SCALE), readings


def _hypotheses(belief: Belief) -> tuple[F64, F64]:
    """Weights (hypotheses, users), whose sum is 1, and estimates (5, hypotheses, users)."""
    shares = np.empty((_HYPOTHESES, belief.last.size))
    shares[0], shares[1:] = 1.0, belief.others[:, WEIGHT]
    shares /= _sum(shares)
    estimates = np.empty((5, *shares.shape))
    estimates[:, 0] = belief.estimate
    estimates[:, 1:] = belief.others[:, :WEIGHT].swapaxes(0, 1)
    # An absent one needs a variance, so that nothing is divided by zero.
    estimates[P00, 1:][shares[1:] == 0.0] = 1.0
    return shares, estimates


def _branch(
    parameters: Parameters,
    belief: Belief,
    shares: F64,
    prior: Estimate[F64],
    value: F64,
    noise: F64,
    is_first: Bool,
) -> tuple[_Branches, F64]:
    """All branches of a reading, and its NIS (hypotheses, users) under the good ones."""
    users, ratios = value.size, parameters.ratios
    repeats, begins = belief.kinds, ~is_first
    fault, wrong_unit = parameters.fault, parameters.wrong_unit
    # Probabilities of a wrong reading in the right unit, unlike or like the last, and of each unit.
    after_good, after_wrong = repeats == Kind.GOOD, repeats == Kind.WRONG
    again = parameters.repeated * _ALIKE
    other = np.where(after_wrong, again * (1.0 - wrong_unit), fault * (1.0 - wrong_unit))
    alike = np.where(after_wrong, parameters.repeated * (1.0 - _ALIKE), 0.0)
    unit = np.where(after_good, fault * wrong_unit, again * wrong_unit)
    unit = np.where(repeats == Kind.WRONG_UNIT, _UNIT_REPEATED if ratios else 0.0, unit)
    good = 1.0 - other - alike - unit
    jump = np.where(is_first, 0.0, parameters.jump)
    # A single reading behind the filter may itself be wrong.
    alone = begins & (belief.readings == 0.0)
    was_wrong = fault * (1.0 - wrong_unit) * _wrong_over_good(parameters, belief.estimate[LEVEL])
    restart = np.where(alone, np.maximum(was_wrong, _RESTART), _RESTART) * (1.0 - fault) * begins

    units = len(ratios)
    rows = _HYPOTHESES * (2 + units) + units
    weight, target = np.empty((2, rows, users))
    estimate = np.empty((5, rows, users))
    whole = _HYPOTHESES * (2 + units)
    by_hypothesis = estimate[:, :whole].reshape(5, 2 + units, _HYPOTHESES, users)
    by_hypothesis[:] = np.stack(prior)[:, None]
    by_hypothesis[P00, 1] += parameters.jump_variance
    odds = weight[:whole].reshape(2 + units, _HYPOTHESES, users)
    odds[0], odds[1] = shares * good * (1.0 - jump), shares * good * jump
    target[: 2 * _HYPOTHESES] = value
    low, high = parameters.profile.range
    for number, ratio in enumerate(ratios):
        right = value / ratio
        possible = (right >= low) & (right <= high)
        odds[2 + number] = shares * unit * (possible / (units * ratio))
        first = (2 + number) * _HYPOTHESES
        target[first : first + _HYPOTHESES] = right
        # The single reading before was in this unit.
        row = whole + number
        estimate[:, row] = [part[0] for part in prior]
        estimate[LEVEL, row] /= ratio
        estimate[P00, row] /= ratio * ratio
        estimate[P01, row] = 0.0
        weight[row] = alone * (shares[0] * fault * wrong_unit / units)
        target[row] = value
    squarings = np.where(is_first, POPULATION, squarings_of(parameters, belief.readings))
    squarings = np.broadcast_to(squarings, (rows, users)).copy()
    squarings[_HYPOTHESES : 2 * _HYPOTHESES] = NORMAL

    spread = Estimate(*estimate)
    innovation = algebra.innovation(spread, target, noise)
    weight *= student_t(
        innovation.difference * innovation.difference, spread.p00 + noise, squarings
    )
    updated = np.stack(algebra.update_steady(spread, innovation, noise))
    nis = algebra.nis(innovation)[:_HYPOTHESES]

    begun, density = _begin(parameters, value, noise)
    resembles = value - belief.last
    same = student_t(resembles * resembles, 2.0 * noise, NORMAL)
    wrong = shares * (other * wrong_density(parameters, value) + alike * same)
    kinds = np.zeros((rows + 1 + _HYPOTHESES, 1), np.uint8)
    kinds[2 * _HYPOTHESES : whole] = Kind.WRONG_UNIT
    kinds[rows + 1 :] = Kind.WRONG
    moves = np.ones((rows + 1 + _HYPOTHESES, 1), np.bool_)
    moves[[0, *range(2 * _HYPOTHESES, whole, _HYPOTHESES), rows + 1]] = False
    branches = _Branches(
        np.concatenate((weight, (restart * density)[None], wrong)),
        np.concatenate((updated, np.stack(begun)[:, None], np.stack(prior)), axis=1),
        kinds,
        moves,
    )
    return branches, nis


def _wrong_over_good(parameters: Parameters, first: F64) -> F64:
    """Density of a first reading that is wrong over that of one that is right."""
    if parameters.population is None:
        return np.ones(first.shape)
    away = first - parameters.population.level
    variance = np.full(first.shape, parameters.population.p00)
    return wrong_density(parameters, first) / student_t(away * away, variance, POPULATION)


def _begin(parameters: Parameters, value: F64, noise: F64) -> tuple[Estimate[F64], F64]:
    """A new user's filter after this reading, and the reading's density."""
    if parameters.population is None:
        low, high = parameters.profile.range
        begun = algebra.restart(
            value, noise, parameters.slope_mean, parameters.slope_variance
        )
        return begun, np.full(value.shape, 1.0 / (high - low))
    population = Estimate(*(np.full(value.shape, part) for part in parameters.population))
    innovation = algebra.innovation(population, value, noise)
    density = student_t(
        innovation.difference * innovation.difference, population.p00 + noise, POPULATION
    )
    return algebra.update_steady(population, innovation, noise), density


def _reduce(
    branches: _Branches, belief: Belief, value: F64, noise: F64
) -> tuple[Belief, Bool]:
    """Merge the branches that agree, keep the heaviest, and round to what a state stores.

    While the heaviest takes the reading for wrong, the best of those that believe it remains,
    however improbable it is: it may be right, and then each further reading makes it likelier.

    Returns:
        The belief, with the scale of the one before, and whether the heaviest is another one.
    """
    weight, estimate = branches.weight.copy(), branches.estimate
    kinds, moves = branches.kind, branches.moves
    everyone = np.arange(value.size)
    near = _BELIEVES * np.sqrt(noise)
    believes = (kinds == Kind.GOOD) & (np.abs(estimate[LEVEL] - value) < near)
    masses = np.empty((_HYPOTHESES, value.size))
    merged = np.empty((5, _HYPOTHESES, value.size))
    kind = np.empty(masses.shape, np.uint8)
    moved, believed = np.empty((2, *masses.shape), np.bool_)
    for slot in range(_HYPOTHESES):
        allowed = weight
        if slot == _HYPOTHESES - 1:
            lacking = (kind[0] != Kind.GOOD) & ~believed[1]
            allowed = np.where(believes | ~lacking, weight, 0.0)
        chosen = allowed.argmax(axis=0)
        best = estimate[:, chosen, everyone]
        kind[slot], moved[slot] = kinds[chosen, 0], moves[chosen, 0]
        believed[slot] = believes[chosen, everyone]
        agree = np.abs(estimate[LEVEL] - best[LEVEL]) < _AGREE * np.sqrt(best[P00])
        agree &= (kinds > Kind.GOOD) == (kind[slot] > Kind.GOOD)
        agree[chosen, everyone] = True
        agree &= allowed[chosen, everyone] > 0.0
        part = np.where(agree, weight, 0.0)
        masses[slot] = _sum(part)
        merged[:, slot] = _moments(part, estimate, best)
        weight[agree] = 0.0
    order = np.argsort(-masses, axis=0, kind="stable")
    masses, kind, moved, believed = (
        np.take_along_axis(column, order, 0) for column in (masses, kind, moved, believed)
    )
    merged = np.take_along_axis(merged, order[None], 1)
    relative = masses[1:] / np.maximum(masses[0], 1e-300)
    lacking = (kind[0] != Kind.GOOD) & ~(believed[1] & (relative[0] > _DROP))
    remains = (relative > _DROP) | (lacking & believed[1:] & (relative > 0.0))
    # With three, the second may be dropped and the third remain.
    only_third = remains[1] & ~remains[0]
    others = np.concatenate((merged[:, 1:].swapaxes(0, 1), relative[:, None]), axis=1)
    others[0][:, only_third] = others[1][:, only_third]
    kind[1, only_third] = kind[2, only_third]
    remains[0] |= only_third
    remains[1] &= ~only_third
    others[~np.broadcast_to(remains[:, None], others.shape)] = 0.0
    kind[1:] *= remains
    after = Belief(
        merged[:, 0], _rounded(others), kind, value.astype(np.float32).astype(np.float64),
        belief.scale, belief.readings,
    )  # fmt: skip
    after.last[~after.is_open] = 0.0
    return after, moved[0]


def _rounded(others: F64) -> F64:
    """Hypotheses as the state stores them: a level of 64 bits, 32 for the rest, 16 for a weight."""
    rounded = np.minimum(others, _LARGEST).astype(np.float32)
    weight = rounded[:, WEIGHT]
    weight[weight > 0.0] = np.maximum(weight[weight > 0.0], np.float32(_LIGHTEST))
    weight[:] = (weight.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    result = rounded.astype(np.float64)
    result[:, LEVEL] = others[:, LEVEL]
    # Rounding must not make a covariance that is none.
    largest = np.sqrt(result[:, P00] * result[:, P11]) * (1.0 - 2.0**-23)
    result[:, P01] = np.minimum(result[:, P01], largest).astype(np.float32)
    return result


def _moments(weight: F64, estimate: F64, around: F64) -> F64:
    """Mean and covariance of a mixture, computed around one of its parts.

    Args:
        weight: (parts, users)
        estimate: (5, parts, users)
        around: (5, users) The result, to the bit, where all weight is that part's.
    """
    level, slope = estimate[LEVEL] - around[LEVEL], estimate[SLOPE] - around[SLOPE]
    terms = np.empty((5, *weight.shape))
    terms[LEVEL], terms[SLOPE] = level, slope
    terms[P00] = level * level + (estimate[P00] - around[P00])
    terms[P01] = level * slope + (estimate[P01] - around[P01])
    terms[P11] = slope * slope + (estimate[P11] - around[P11])
    terms *= weight
    total = np.maximum(_sum(weight), 1e-300)
    level, slope, p00, p01, p11 = np.cumsum(terms, axis=1)[:, -1] / total
    p00 = np.maximum(around[P00] + (p00 - level * level), 0.0)
    p11 = np.maximum(around[P11] + (p11 - slope * slope), 0.0)
    # A covariance below zero could lose all its digits in a prediction. Zero is on the safe side.
    p01 = np.minimum(np.maximum(around[P01] + (p01 - level * slope), 0.0), np.sqrt(p00 * p11))
    return np.stack((around[LEVEL] + level, around[SLOPE] + slope, p00, p01, p11))


def _sum(rows: F64) -> F64:
    """The sum over the first axis, row by row, in the same order at every width."""
    total: F64 = np.cumsum(rows, axis=0)[-1]
    return total
