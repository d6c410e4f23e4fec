"""The three hypotheses that the filter keeps against all of them, which short histories allow.

The reference is the model of docs/model.md, without shortcuts: each reading is good, good after a
jump, wrong, or the first of a new level, whatever the others are. All combinations are enumerated
in plain floats. As there, a new level is Student's t with 7 degrees of freedom, and all else, which
could be normal, has 63.
"""

from math import gamma, pi, sqrt
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from kalmap.filter.fold import fold_users
from kalmap.profile import Faults, Jumps, Population, builtin_profile
from tests.support.histories import DAY, NOW, START, Reading, columns

USERS, READINGS = 150, 6
MEAN, SD, NOISE, WALK = 75.0, 15.0, 0.5, 0.2
FAULT, REPEATED, JUMP, JUMP_SD, RESTART = 0.1, 0.4, 0.05, 8.0, 1e-5
LOW, HIGH = 20.0, 350.0
PROFILE = msgspec.structs.replace(
    builtin_profile("body-weight"),
    unit="{points}",
    range=(LOW, HIGH),
    level_noise=WALK,
    slope_noise=0.0,
    slope_prior=0.0,
    measurement_noise=NOISE,
    sources={},
    unknown_source=1.0,
    population=Population(MEAN, SD),
    faults=Faults(FAULT, REPEATED, 0.0),
    jumps=Jumps(JUMP, JUMP_SD),
    learning=None,
)


class Branch(NamedTuple):
    weight: float
    level: float
    variance: float
    is_wrong: bool


def _t(away, variance, freedom=63):
    top = gamma((freedom + 1) / 2) / gamma(freedom / 2) / sqrt(freedom * pi * variance)
    return top * (1.0 + away * away / (freedom * variance)) ** (-(freedom + 1) / 2)


def _elsewhere(value):
    return 0.5 / (HIGH - LOW) + 0.5 * _t(value - MEAN, (SD * 4.0 / 3.0) ** 2)


def _good(weight, branch, value, freedom=63):
    """The branch with the reading taken in."""
    total = branch.variance + NOISE**2
    gain = branch.variance / total
    level = branch.level + gain * (value - branch.level)
    density = _t(value - branch.level, total, freedom)
    return Branch(weight * density, level, branch.variance * (1.0 - gain), False)


def _branches(branch, value, last):
    wrong = FAULT * _elsewhere(value)
    chance = FAULT
    if branch.is_wrong:
        alike = _t(value - last, 2.0 * NOISE**2)
        wrong, chance = REPEATED * 0.5 * (_elsewhere(value) + alike), REPEATED
    good = branch.weight * (1.0 - chance)
    yield branch._replace(weight=branch.weight * wrong, is_wrong=True)
    if last is None:
        yield _good(good, branch, value, 7)
        return
    yield _good(good * (1.0 - JUMP), branch, value)
    jumped = branch._replace(variance=branch.variance + JUMP_SD**2)
    yield _good(good * JUMP, jumped, value)
    yield _good(branch.weight * (1.0 - FAULT) * RESTART, Branch(1.0, MEAN, SD**2, False), value, 7)


def enumerated(values):
    """The level and the probability that each reading is right, from all combinations."""
    branches, last, levels, qualities = [Branch(1.0, MEAN, SD**2, False)], None, [], []
    for value in values:
        if last is not None:
            branches = [b._replace(variance=b.variance + WALK**2) for b in branches]
        branches = [new for old in branches for new in _branches(old, value, last)]
        total = sum(branch.weight for branch in branches)
        branches = [branch._replace(weight=branch.weight / total) for branch in branches]
        levels.append(sum(branch.weight * branch.level for branch in branches))
        qualities.append(sum(branch.weight for branch in branches if not branch.is_wrong))
        last = value
    return levels, qualities


def _drawn(random):
    """True levels and readings of a user, as the model has them."""
    level, is_wrong, last, levels, values = random.normal(MEAN, SD), False, 0.0, [], []
    for number in range(READINGS):
        level += random.normal(0.0, WALK) if number else 0.0
        if number and random.random() < JUMP:
            level += random.normal(0.0, JUMP_SD)
        level = min(max(level, LOW + 5.0), HIGH - 5.0)
        was_wrong, is_wrong = is_wrong, random.random() < (REPEATED if is_wrong else FAULT)
        value = level + random.normal(0.0, NOISE)
        if is_wrong and was_wrong and random.random() < 0.5:
            value = last + random.normal(0.0, sqrt(2.0) * NOISE)
        elif is_wrong:
            value = random.choice([random.uniform(LOW, HIGH), random.normal(MEAN, SD * 4.0 / 3.0)])
        last = min(max(value, LOW), HIGH)
        levels.append(level)
        values.append(last)
    return levels, values


@pytest.fixture(scope="module")
def estimates():
    """(truth, exact levels, exact qualities, the filter's levels and qualities)."""
    random = np.random.default_rng(8)
    truth, values = zip(*(_drawn(random) for _ in range(USERS)), strict=True)
    exact = [enumerated(row) for row in values]
    readings = [
        (user, Reading(START + day * DAY, 0, 0, value, 255))
        for user, row in enumerate(values)
        for day, value in enumerate(row)
    ]
    decisions = fold_users(PROFILE, [None] * USERS, columns(readings), NOW).decisions
    shape = (USERS, READINGS)
    return (
        np.array(truth),
        np.array([levels for levels, _ in exact]),
        np.array([qualities for _, qualities in exact]),
        decisions.level.reshape(shape),
        decisions.quality.reshape(shape),
    )


def _rms(differences):
    return float(np.sqrt(np.mean(differences**2)))


def test_the_filters_levels_are_near_those_of_all_hypotheses(estimates):
    truth, exact, _, level, _ = estimates
    error = _rms(exact - truth)
    assert _rms(level - truth) < 1.05 * error
    assert _rms(level - exact) < 0.35 * error
    # Most differ by less than a tenth of a reading's noise.
    assert np.median(np.abs(level - exact)) < 0.1 * NOISE


def test_the_filters_probabilities_are_near_those_of_all_hypotheses(estimates):
    exact, quality = estimates[2], estimates[4]
    assert np.abs(quality - exact).mean() < 0.02
    assert ((quality > 0.5) == (exact > 0.5)).mean() > 0.98
