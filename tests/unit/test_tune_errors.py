"""Standard errors of what `kalmap tune` fits, against formulas and where likelihood is flat."""

import msgspec
import numpy as np
import pytest

from kalmap.profile import Population, Profile, builtin_profile
from kalmap_cli.tuning.errors import Number, standard_errors
from kalmap_cli.tuning.faults import fit_memory
from kalmap_cli.tuning.plain import pack
from kalmap_cli.tuning.users import Users

DAY = 86_400_000_000
BASE = builtin_profile("body-weight")
SCALE = BASE.source_code("scale")
USERS, READINGS = 400, 20
#: Nothing moves, and every user has the same noise.
STILL = msgspec.structs.replace(
    BASE, level_noise=0.0, slope_noise=0.0, slope_damping=0.0, slope_prior=0.0, learning=None,
    measurement_noise=0.5, population=Population(75.0, 10.0, 0.0),
)  # fmt: skip


def users_of(value: np.ndarray) -> Users:
    users, readings = value.shape
    time = np.tile(np.arange(readings) * DAY, users) + 12_345 * DAY
    return Users(np.full(users, readings), time, value.ravel(), np.full(value.size, SCALE, "u1"))


def numbers(profile: Profile, value: np.ndarray) -> dict[str, Number]:
    users, codes = users_of(value), np.array([SCALE])
    everything = np.ones(value.size, np.bool_)
    readings = pack(users, codes, everything, np.zeros(value.size), weighs_first=True)
    return {number.name: number for number in standard_errors(profile, readings, codes)}


def still(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    level = 75.0 + 10.0 * random.standard_t(7, (USERS, 1))
    return level + random.normal(0.0, 0.5, (USERS, READINGS))


def test_standard_errors_are_those_of_the_textbook():
    found = numbers(STILL, still(1))
    # Of a standard deviation: s / sqrt(2 n), with n degrees of freedom; of a mean: s / sqrt(n).
    noise = 0.5 / (2.0 * USERS * (READINGS - 1)) ** 0.5
    assert found["measurement_noise"].error == pytest.approx(noise, rel=0.15)
    # Of Student's t with 7 degrees of freedom, as levels are: s / sqrt(8/10 n), s / sqrt(14/10 n).
    mean, spread = 10.0 / (0.8 * USERS) ** 0.5, 10.0 / (1.4 * USERS) ** 0.5
    assert found["population.level_mean"].error == pytest.approx(mean, rel=0.2)
    assert found["population.level_sd"].error == pytest.approx(spread, rel=0.2)
    assert str(found["measurement_noise"]) == "measurement_noise      0.5 (0.004) kg"


def test_what_is_zero_has_no_error_and_a_sentence():
    found = numbers(STILL, still(2))["slope_noise"]
    assert found.error is None
    assert "0: the readings do not show it" in str(found)


def test_what_the_readings_do_not_determine_is_told_in_words():
    # A level noise that is far below all others may be anything.
    profile = msgspec.structs.replace(STILL, level_noise=1e-6)
    found = numbers(profile, still(3))
    assert found["level_noise"].error is None
    assert "not determined" in str(found["level_noise"])
    assert found["measurement_noise"].error is not None


def test_noises_that_change_are_forgotten_sooner_and_others_are_not():
    random = np.random.default_rng(4)
    changing = np.cumsum(0.1 * random.normal(size=(40, 100)), axis=1)
    level = random.normal(75.0, 10.0, (40, 1))
    noise = 0.5 * random.normal(size=(40, 100))
    profile = msgspec.structs.replace(STILL, learning=BASE.learning)
    before = fit_memory(profile, users_of(level + noise)).learning
    after = fit_memory(profile, users_of(level + noise * np.exp(changing))).learning
    assert before.memory >= 45.0
    assert after.memory <= 20.0
