"""The likeliest course of events in hindsight: which readings were wrong, where the level jumped.

The filter decides about a reading before it has seen the next ones. Where it changes its mind, its
first decisions mislead: it rejected the first reading after a jump, or believed another person's.
So all readings are judged again, together: each is good, or good after a jump, or wrong, with the
profile's probabilities. Of several courses that lead to the same level the likeliest goes on
(Viterbi, Error bounds for convolutional codes, IEEE Transactions on Information Theory 13, 1967),
and only a few go on at all.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import LEVEL, P00, Estimate
from kalmap.filter.hypotheses import (
    ALIKE,
    ALIKE_AT_ONCE,
    REPEATED_AT_ONCE,
    wrong_density,
)
from kalmap.filter.model import transition
from kalmap.filter.noise import NORMAL, student_t
from kalmap.filter.parameters import Parameters
from kalmap.readings import F64, U8, Bool

#: Courses that go on after each reading.
_COURSES = 8
#: Squarings of a jump's density: 3 degrees of freedom, since some jumps are far.
_JUMPS = 1


class Event(IntEnum):
    """What a reading is."""

    GOOD = 0
    JUMPED = 1
    """Good, and the level jumped before it."""
    WRONG = 2


class OneUser(NamedTuple):
    """Readings of one user; arrays of shape (readings,)."""

    gap: F64
    """Days before each."""
    value: F64
    noise: F64
    """R of this user."""
    squarings: int
    """Degrees of freedom of a good reading's density: `noise.student_t`."""


class _Courses(NamedTuple):
    """Courses of events; the last axis of each array is the courses."""

    weight: F64
    estimate: F64
    """(5, courses) After the last reading."""
    events: U8
    """(readings, courses)"""


def likeliest_course(parameters: Parameters, readings: OneUser, start: Estimate[float]) -> U8:
    """The likeliest events of one user.

    Args:
        parameters: The profile's numbers.
        readings: In key order.
        start: The estimate before the first one.

    Returns:
        (readings,) An `Event` for each.
    """
    steps = transition(parameters.profile, readings.gap)
    courses = _Courses(np.ones(1), np.array(start)[:, None], np.zeros((0, 1), np.uint8))
    for number in range(readings.value.size):
        prior = algebra.predict(
            Estimate[F64](*courses.estimate),
            algebra.transitions_at(steps, slice(number, number + 1)),
        )
        after_wrong = courses.events[-1:] == Event.WRONG
        weights = _weigh(parameters, readings, number, prior, after_wrong.any(axis=0))
        noise = readings.noise[number]
        away = readings.value[number] - prior.level
        jump_variance = np.maximum(away * away, parameters.jump_variance)
        jumping = prior._replace(p00=prior.p00 + jump_variance)
        good, jumped = (
            algebra.update_steady(
                before, algebra.innovation(before, readings.value[number], noise), noise
            )
            for before in (prior, jumping)
        )
        courses = _go_on(_branch(courses, weights, (good, jumped, prior)))
    return courses.events[:, 0]


def _weigh(
    parameters: Parameters,
    readings: OneUser,
    number: int,
    prior: Estimate[F64],
    after_wrong: Bool,
) -> F64:
    """Probability of each event times the density of the reading under it, (events, courses).

    Args:
        parameters: The profile's numbers.
        readings: Of this user.
        number: Which of them.
        prior: (courses,) The estimates before it.
        after_wrong: (courses,) Whether the reading before was wrong.
    """
    value, noise = readings.value[number], readings.noise[number]
    away, variance = value - prior.level, prior.p00 + noise
    at_once = readings.gap[number] < parameters.profile.faults.occasion
    repeated, like = (REPEATED_AT_ONCE, ALIKE_AT_ONCE) if at_once else (parameters.repeated, ALIKE)
    share = np.where(after_wrong, repeated, parameters.fault)
    good = student_t(away * away, variance, readings.squarings)
    jumped = student_t(away * away, variance + parameters.jump_variance, _JUMPS)
    wrong = wrong_density(parameters, readings.value[number : number + 1])
    wrong = (1.0 - parameters.wrong_unit) * wrong
    for ratio in parameters.ratios:
        off = value / ratio - prior.level
        part = parameters.wrong_unit / (len(parameters.ratios) * ratio)
        wrong = wrong + part * student_t(off * off, variance, readings.squarings)
    off = np.full(1, value - readings.value[number - 1])
    alike = student_t(off * off, np.full(1, 2.0 * noise), NORMAL)
    wrong = np.where(after_wrong, (1.0 - like) * wrong + like * alike, wrong)
    jump = parameters.jump
    return np.stack(
        ((1.0 - share) * (1.0 - jump) * good, (1.0 - share) * jump * jumped, share * wrong)
    )


def _branch(courses: _Courses, weights: F64, estimates: tuple[Estimate[F64], ...]) -> _Courses:
    """Every course with every event.

    Args:
        courses: Up to the reading before.
        weights: (events, courses)
        estimates: After each event.
    """
    events = np.repeat(np.arange(len(Event), dtype=np.uint8), courses.weight.size)
    return _Courses(
        (courses.weight * weights).ravel(),
        np.concatenate([np.stack(estimate) for estimate in estimates], axis=1),
        np.vstack((np.tile(courses.events, len(Event)), events)),
    )


def _go_on(courses: _Courses) -> _Courses:
    """The courses that go on, the likeliest first: no two that lead to the same."""
    wrong, level = courses.events[-1] == Event.WRONG, courses.estimate[LEVEL]
    near = np.sqrt(courses.estimate[P00])
    chosen: list[int] = []
    for course in np.argsort(-courses.weight, kind="stable").tolist():
        same = [
            other for other in chosen
            if wrong[other] == wrong[course] and abs(level[other] - level[course]) < near[other]
        ]  # fmt: skip
        if not same:
            chosen.append(course)
        if len(chosen) == _COURSES:
            break
    weight = courses.weight[chosen] / np.maximum(courses.weight[chosen[0]], 1e-300)
    return _Courses(weight, courses.estimate[:, chosen], courses.events[:, chosen])
