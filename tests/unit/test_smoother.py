"""The smoother: against one joint normal distribution, and what it does with wrong readings."""

from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from kalmap.errors import InvalidInput
from kalmap.filter.algebra import Estimate
from kalmap.filter.columns import RESTARTED
from kalmap.filter.course import OneUser
from kalmap.filter.estimates import describe
from kalmap.filter.fold import fold_users
from kalmap.filter.noise import NORMAL
from kalmap.filter.parameters import parameters_of
from kalmap.filter.smoother import smooth
from kalmap.outcome import Reason
from kalmap.profile import Faults, Jumps, Population, Profile, builtin_profile
from tests.support.histories import DAY, NOW, START, Reading, columns

PROFILE = msgspec.structs.replace(
    builtin_profile("body-weight"),
    population=Population(75.0, 20.0, 0.01),
    jumps=Jumps(0.003, 8.0),
)
#: Believes every reading, with the profile's noise.
PLAIN = msgspec.structs.replace(PROFILE, faults=Faults(share=0.0), learning=None)
SCALE = PROFILE.source_code("scale")


class Problem(NamedTuple):
    """What is smoothed."""

    profile: Profile
    readings: OneUser
    rejected: np.ndarray
    start: Estimate[float] | None
    jump: dict[int, float]
    """Variance that is added to the level before a reading."""


def _transition(profile: Profile, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """F and Q in closed form, with exp (Bar-Shalom, Li and Kirubarajan, 2001, section 8.2)."""
    if profile.slope_damping == 0.0 or gap == 0.0:
        g, e, psi = gap, 1.0, 1.0 / 3.0
    else:
        a = profile.slope_damping * gap
        u = -np.expm1(-a)
        g, e, psi = u / profile.slope_damping, np.exp(-a), (a - u - u * u / 2.0) / a**3
    variance = profile.slope_noise**2
    q00 = profile.level_noise**2 * gap + variance * gap**3 * psi
    q01, q11 = variance * g * g / 2.0, variance * g * (1.0 + e) / 2.0
    return np.array([[1.0, g], [0.0, e]]), np.array([[q00, q01], [q01, q11]])


def _posterior(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Means (readings, 2) and covariances (readings, 2, 2) of all states at once, given all values.

    The joint covariance of all levels and slopes, conditioned on the readings in one linear system.
    """
    profile, readings = problem.profile, problem.readings
    drift = profile.population.slope_mean
    first = parameters_of(profile).population if problem.start is None else problem.start
    mean = np.array(first[:2])
    covariance = np.array([[first[2], first[3]], [first[3], first[4]]])
    size = readings.value.size
    means, joint = np.empty((size, 2)), np.empty((size, size, 2, 2))
    for number, gap in enumerate(readings.gap):
        f, q = _transition(profile, gap)
        mean = f @ mean + drift * np.array([gap - f[0, 1], 1.0 - f[1, 1]])
        covariance = f @ covariance @ f.T + q
        covariance[0, 0] += problem.jump.get(number, 0.0)
        for before in range(number):
            joint[number, before] = f @ joint[number - 1, before]
            joint[before, number] = joint[number, before].T
        means[number], joint[number, number] = mean, covariance
    whole = joint.transpose(0, 2, 1, 3).reshape(2 * size, 2 * size)
    used = np.flatnonzero(~problem.rejected)
    seen = whole[:, 2 * used]
    spread = seen[2 * used] + np.diag(readings.noise[used])
    gain = np.linalg.solve(spread, seen.T).T
    state = means.ravel() + gain @ (readings.value[used] - means[used, 0])
    left = (whole - gain @ seen.T).reshape(size, 2, size, 2)
    return state.reshape(size, 2), left[np.arange(size), :, np.arange(size)]


def _random_problem(seed: int, **changes: object) -> Problem:
    random = np.random.default_rng(seed)
    size = 24
    gap = random.choice([0.0, 0.3, 1.0, 2.0, 15.0], size)
    gap[0] = 0.0
    value = 80.0 + np.cumsum(0.2 * random.standard_normal(size))
    value += 0.4 * random.standard_normal(size)
    noise = random.choice([0.05, 0.16, 0.5], size)
    return Problem(
        msgspec.structs.replace(PROFILE, **changes),
        OneUser(gap, value, noise, NORMAL),
        random.random(size) < 0.2,
        None,
        {},
    )


def _smoothed(problem: Problem) -> np.ndarray:
    flags = problem.rejected * np.uint8(Reason.OUTLIER)
    for number in problem.jump:
        flags[number] |= RESTARTED
    return smooth(parameters_of(problem.profile), problem.readings, flags, problem.start)


def _assert_is_the_posterior(problem: Problem) -> None:
    means, covariances = _posterior(problem)
    level, slope, p00, p01, p11 = _smoothed(problem)
    for found, expected in (
        (level, means[:, 0]),
        (slope, means[:, 1]),
        (p00, covariances[:, 0, 0]),
        (p01, covariances[:, 0, 1]),
        (p11, covariances[:, 1, 1]),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_every_level_is_that_of_one_joint_normal_distribution(seed):
    _assert_is_the_posterior(_random_problem(seed))


@pytest.mark.parametrize("seed", range(4))
def test_from_a_checkpoint_it_is_too(seed):
    problem = _random_problem(seed)
    problem.readings.gap[0] = 3.0
    checkpoint = Estimate(80.4, -0.02, 0.04, 0.002, 0.0016)
    _assert_is_the_posterior(problem._replace(start=checkpoint))


@pytest.mark.parametrize(
    "changes",
    [
        {"slope_noise": 0.0, "slope_prior": 0.0},
        {"slope_noise": 0.0},
        {"level_noise": 0.0, "slope_damping": 0.0},
        {"level_noise": 0.0, "slope_noise": 0.0, "slope_damping": 0.0},
        {"slope_damping": 3.0},
    ],
)
def test_without_a_part_of_the_model_it_is_too(changes):
    _assert_is_the_posterior(_random_problem(5, **changes))


def test_a_jump_adds_its_variance_before_the_reading():
    problem = _random_problem(6)
    problem.readings.value[11:] += 7.0
    rejected = np.zeros(24, np.bool_)
    _assert_is_the_posterior(problem._replace(rejected=rejected, jump={11: 64.0}))


def _body(profile: Profile, values: list[float], stored: bytes | None = None) -> bytes:
    history = [Reading(START + i * DAY, 0, i, value, SCALE) for i, value in enumerate(values)]
    body = fold_users(profile, [stored], columns([(0, r) for r in history]), NOW).bodies[0]
    assert body is not None
    return body


def _levels(profile: Profile, values: list[float]) -> list[float]:
    return [
        reading.level_smoothed
        for reading in describe(_body(profile, values), profile).window_readings
    ]


def _weights(size: int, seed: int = 1) -> list[float]:
    random = np.random.default_rng(seed)
    level = 80.0 + np.cumsum(0.1 * random.standard_normal(size))
    return (level + 0.4 * random.standard_normal(size)).tolist()


@pytest.mark.parametrize("size", [1, 2, 24, 25, 70])
def test_the_newest_readings_smoothed_level_is_the_filtered_one(size):
    view = describe(_body(PLAIN, _weights(size)), PLAIN)
    newest = view.window_readings[-1]
    assert newest.level_smoothed == pytest.approx(view.level, rel=1e-12)
    assert newest.level_smoothed_sd == pytest.approx(view.level_sd, rel=1e-12)
    assert len(view.window_readings) == view.window


@pytest.mark.parametrize("size", [2, 24, 70])
def test_later_readings_never_widen_what_the_filter_said(size):
    values = _weights(size)
    history = [Reading(START + i * DAY, 0, i, value, SCALE) for i, value in enumerate(values)]
    folded = fold_users(PLAIN, [None], columns([(0, r) for r in history]), NOW)
    window = describe(folded.bodies[0], PLAIN).window_readings
    smoothed = np.array([reading.level_smoothed_sd for reading in window])
    filtered = folded.decisions.level_sd[-len(window) :]
    assert (smoothed <= filtered * (1.0 + 1e-12)).all()
    assert smoothed[0] < 0.8 * filtered[0]


def test_a_rejected_reading_does_not_move_the_levels():
    values = _weights(20)
    found = []
    for wild in (60.0, 60.5, 131.0):
        values[9] = wild
        view = describe(_body(PROFILE, values), PROFILE)
        assert [reading.reason for reading in view.window_readings].count(Reason.NONE) == 19
        found.append([reading.level_smoothed for reading in view.window_readings])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-6)


@pytest.mark.parametrize("jump", [8.0, -8.0, 60.0])
def test_a_jump_is_not_smoothed_away(jump):
    values = [value + (jump if number >= 10 else 0.0) for number, value in enumerate(_weights(20))]
    view = describe(_body(PROFILE, values), PROFILE)
    # The filter rejects the first reading after the jump, and then changes its mind.
    assert view.window_readings[10].reason != Reason.NONE
    truth = np.where(np.arange(20) >= 10, 80.0 + jump, 80.0)
    levels = [reading.level_smoothed for reading in view.window_readings]
    np.testing.assert_allclose(levels, truth, atol=1.2)


def test_a_wild_first_reading_is_seen_for_what_it_was():
    for profile in (PROFILE, msgspec.structs.replace(PROFILE, population=Population())):
        levels = _levels(profile, [170.0, *_weights(12)])
        assert levels == pytest.approx([80.0] * 13, abs=1.2)


def test_a_visitor_on_the_scale_leaves_no_trace():
    values = _weights(20)
    values[8:11] = [61.0, 60.6, 61.3]
    assert _levels(PROFILE, values) == pytest.approx([80.0] * 20, abs=1.2)


def test_a_source_s_bias_is_no_part_of_the_smoothed_level():
    biased = msgspec.structs.replace(PLAIN, biases={"scale": 2.0})
    levels = _levels(biased, [value + 2.0 for value in _weights(12)])
    assert levels == pytest.approx(_levels(PLAIN, _weights(12)), abs=1e-9)


def test_a_body_that_is_not_sound_is_refused():
    body = _body(PROFILE, _weights(5))
    for broken in (body[:-24], body[:-1] + b"\xff", b""):
        with pytest.raises(InvalidInput, match="not sound"):
            describe(broken, PROFILE)
