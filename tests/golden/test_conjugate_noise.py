"""The learned noise against the conjugate posterior, and what it does to a reading's probability.

If a level is known, the readings are independent and normal with the variance s R, and s has
an inverse gamma prior that is worth n readings at 1. Then the posterior is known in closed form
(Gelman et al., Bayesian Data Analysis, 3rd ed. 2013, section 2.6): after the readings z it is worth
n + k readings at (n + sum z^2 / R) / (n + k). The next reading is Student's t.
"""

from math import gamma, pi, sqrt

import msgspec
import numpy as np
import pytest

from kalmap.filter.estimates import describe
from kalmap.filter.fold import fold_users
from kalmap.profile import Faults, NoiseLearning, Population, builtin_profile
from kalmap.readings import UNKNOWN_SOURCE
from tests.support.histories import DAY, START, Reading, columns

LEVEL, NOISE, FAULT, WIDTH = 80.0, 0.5, 0.03, 330.0


def _profile(prior, memory):
    return msgspec.structs.replace(
        builtin_profile("body-weight"),
        unit="{points}",
        range=(20.0, 20.0 + WIDTH),
        level_noise=0.0,
        slope_noise=0.0,
        slope_prior=0.0,
        measurement_noise=NOISE,
        unknown_source=1.0,
        population=Population(LEVEL, 1e-8),
        faults=Faults(FAULT, 0.3, 0.0),
        learning=NoiseLearning(prior, memory),
    )


def _folded(profile, values):
    history = [
        Reading(START + day * DAY, 0, 0, float(value), UNKNOWN_SOURCE)
        for day, value in enumerate(values)
    ]
    folded = fold_users(profile, [None], columns([(0, r) for r in history]), history[-1].time)
    assert not folded.decisions.reason.any()
    return folded


def _values(size, seed):
    """Readings within two standard deviations: farther ones raise questions."""
    return LEVEL + NOISE * np.clip(np.random.default_rng(seed).normal(size=size), -1.5, 1.5)


@pytest.mark.parametrize("prior", [1.0, 4.0, 10.0])
@pytest.mark.parametrize("size", [2, 3, 10, 50])
def test_the_scale_is_the_conjugate_posteriors(prior, size):
    profile, values = _profile(prior, 63.0), _values(size, seed=size)
    # The first reading is about the level, which the population has: it says nothing of the noise.
    squares = ((values[1:] - LEVEL) / NOISE) ** 2
    scale = (prior + squares.sum()) / (prior + size - 1)
    noise = describe(_folded(profile, values).bodies[0], profile).noise
    assert noise == pytest.approx(NOISE * sqrt(scale), rel=1e-9)


def test_older_readings_are_forgotten_at_the_memorys_rate():
    prior, memory, values = 4.0, 10.0, _values(200, seed=3)
    scale, worth = 1.0, prior
    for square in ((values[1:] - LEVEL) / NOISE) ** 2:
        kept = min(worth, memory - 1.0)
        scale, worth = (kept * scale + square) / (kept + 1.0), kept + 1.0
    profile = _profile(prior, memory)
    noise = describe(_folded(profile, values).bodies[0], profile).noise
    assert noise == pytest.approx(NOISE * sqrt(scale), rel=1e-9)


def _freedom(worth):
    """The degrees of freedom that the density of the next reading has."""
    return next(
        df for least, df in ((44, 63), (22, 31), (11, 15), (5, 7), (0, 3)) if worth >= least
    )


def test_a_readings_probability_is_that_of_students_t():
    prior, values = 4.0, _values(60, seed=5)
    quality = _folded(_profile(prior, 63.0), values).decisions.quality
    scale, used = 1.0, set()
    for number, value in enumerate(values[1:].tolist(), start=1):
        worth = prior + number - 1
        freedom = _freedom(worth)
        variance = scale * NOISE**2
        square = (value - LEVEL) ** 2 / variance
        top = gamma((freedom + 1) / 2) / gamma(freedom / 2) / sqrt(freedom * pi * variance)
        good = (1.0 - FAULT) * top * (1.0 + square / freedom) ** (-(freedom + 1) / 2)
        # Half of the wrong readings are anywhere in the range, half where users are: not there.
        wrong = FAULT * 0.5 / WIDTH
        assert quality[number] == pytest.approx(good / (good + wrong), rel=1e-9)
        scale, used = (worth * scale + square * scale) / (worth + 1.0), used | {freedom}
    assert used == {3, 7, 15, 31, 63}
