"""The benchmark of the estimates: its simulators, its other methods and its scores."""

from itertools import product as combinations

import msgspec
import numpy as np
import pytest

from benchmarks.trials import (
    gaussian_sum,
    growth_curve,
    kalman,
    own_world,
    product,
    scores,
    series,
    simple,
    simulators,
)
from benchmarks.trials.kalman import Model
from benchmarks.trials.quantities import SIMULATED
from benchmarks.trials.series import Series
from kalmap.profile import builtin_profile

MODEL = Model(0.5, 0.1, 0.02, 0.05, 0.03, 15.0, 0.01, 75.0)


def _series(*values: float) -> Series:
    return Series(np.arange(len(values), dtype=float)[None, :], np.array([values]))


def _normal_log_density(value: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    apart = value - mean
    _, logarithm = np.linalg.slogdet(2.0 * np.pi * covariance)
    return float(-0.5 * (logarithm + apart @ np.linalg.solve(covariance, apart)))


def test_the_likelihood_is_that_of_one_joint_normal_distribution():
    days, value = np.array([0.0, 1.0, 4.0, 4.5]), np.array([70.0, 71.0, 70.4, 69.8])
    model = MODEL._replace(damping=0.0)
    early, late = np.minimum.outer(days, days), np.maximum.outer(days, days)
    covariance = (
        15.0**2
        + 0.03**2 * np.outer(days, days)
        + 0.1**2 * early
        + 0.02**2 * early**2 * (3.0 * late - early) / 6.0
        + 0.5**2 * np.eye(4)
    )
    expected = _normal_log_density(value, 75.0 + 0.01 * days, covariance)
    many = Model(*(np.array([[field]]) for field in model))
    likelihood = kalman.log_likelihood(
        many, Series(days[None, :], value[None, :]), np.ones((1, 4), np.bool_)
    )
    assert likelihood[0] == pytest.approx(expected, abs=1e-4)


def test_two_gaps_one_after_the_other_are_one_long_gap():
    state = kalman.update(kalman.prior(MODEL, (1,)), np.array([80.0]), 0.25)
    once = kalman.predict(MODEL, state, np.array([5.0]))
    twice = kalman.predict(MODEL, kalman.predict(MODEL, state, np.array([2.0])), np.array([3.0]))
    np.testing.assert_allclose(np.array(twice), np.array(once), rtol=1e-6)


def test_the_fit_is_at_least_as_likely_as_the_model_that_simulated_the_readings():
    random = np.random.default_rng(3)
    first = 75.0 + 5.0 * random.standard_normal((40, 1))
    level = first + np.cumsum(0.3 * random.standard_normal((40, 20)), axis=1)
    value = level + 0.5 * random.standard_normal(level.shape)
    readings = Series(np.tile(np.arange(20.0), (40, 1)), value)
    use = np.ones(value.shape, np.bool_)
    fitted = kalman.fit(readings, use, starts=1)
    true = Model(0.5, 0.3, 1e-9, 0.1, 1e-9, 5.0, 0.0, 75.0)
    many = Model(*(np.array(pair)[:, None] for pair in zip(fitted, true, strict=True)))
    likelihood = kalman.log_likelihood(many, readings, use)
    assert likelihood[0] > likelihood[1]
    assert fitted.noise == pytest.approx(0.5, rel=0.1)


def test_the_gaussian_sum_is_the_exact_mixture_where_no_hypothesis_is_dropped():
    faults = gaussian_sum.Faults(jump=0.0, restart=0.0, repeated=0.02, tails=1.0)
    readings = _series(74.0, 90.0, 74.2, 90.3)
    total, mean = 0.0, 0.0
    # A repeated fault is as likely as a first one here, but may resemble the one before.
    for wrong in combinations((False, True), repeat=4):
        state, weight = kalman.prior(MODEL, (1,)), 1.0
        for i, value in enumerate(readings.value[0]):
            if i:
                state = kalman.predict(MODEL, state, np.ones(1))
            broad = float(faults.density(np.array(value)))
            if wrong[i]:
                if i and wrong[i - 1]:
                    near = kalman.density(value, readings.value[0, i - 1], np.array(0.5))
                    broad = 0.5 * broad + 0.5 * float(near)
                weight *= 0.02 * broad
            else:
                weight *= 0.98 * kalman.density(value, state.level, state.p00 + 0.25)[0]
                state = kalman.update(state, np.array([value]), 0.25)
        total, mean = total + weight, mean + weight * state.level[0]
    actual = gaussian_sum.run(MODEL, readings, faults, hypotheses=200)
    # Hypotheses that agree are merged, which is exact only where they agree in everything.
    assert actual.level[0, -1] == pytest.approx(mean / total, abs=0.02)


def test_simple_methods_agree_with_a_calculation_by_hand():
    readings = _series(10.0, 12.0, np.nan, 20.0)
    predicted, level = simple.exponential_average(readings, 0.5)
    np.testing.assert_allclose(level[0], [10.0, 11.0, 11.0, 15.5])
    np.testing.assert_allclose(predicted[0, 1:], [10.0, 11.0, 11.0])
    np.testing.assert_allclose(simple.last_value(readings)[1][0], [10.0, 12.0, 12.0, 20.0])
    np.testing.assert_allclose(simple.median_of_seven(readings)[1][0], [10.0, 11.0, 11.0, 12.0])
    predicted, level = simple.holt(_series(10.0, 12.0, 16.0), 0.5, 0.5)
    np.testing.assert_allclose(predicted[0, 1:], [10.0, 11.5])
    np.testing.assert_allclose(level[0], [10.0, 11.0, 13.75])


def test_simulated_worlds_have_the_faults_in_their_names():
    for share, world in ((0.03, simulators.wild_3_percent), (0.1, simulators.wild_10_percent)):
        wild = world(5, 200).wild
        assert wild.mean() == pytest.approx(share, abs=4.0 * np.sqrt(share / wild.size))
    jumped = simulators.jumps(5, 50)
    assert (jumped.jumped.sum(axis=1) == 1).all()
    steps = np.abs(np.diff(jumped.level, axis=1))[jumped.jumped[:, 1:]]
    assert steps == pytest.approx(8.0, abs=1.5)
    in_run = simulators.runs(5, 200).wild
    edges = np.diff(np.pad(in_run, ((0, 0), (1, 1))).astype(int), axis=1)
    lengths = np.nonzero(edges.ravel() < 0)[0] - np.nonzero(edges.ravel() > 0)[0]
    assert np.median(lengths) in {2, 3, 4}
    lost = simulators.diet(5, 50).level
    assert (lost[:, -1] - lost[:, 0]).mean() == pytest.approx(-0.15 * 69, abs=0.2)


def test_good_simulated_readings_are_off_by_their_noise():
    world = simulators.noises_spread(5, 400)
    scaled = (world.series.value - world.level) / world.noise
    assert scaled.std() == pytest.approx(1.0, abs=0.02)
    assert np.log(world.noise[:, 0]).std() == pytest.approx(0.6, abs=0.07)


def test_what_the_time_adds_to_readings_is_not_in_the_level():
    for simulate in (simulators.weekly_rhythm, simulators.daily_rhythm):
        world = simulate(5, 200)
        assert np.abs(world.rhythm).mean() > 0.2
        assert world.rhythm.mean() == pytest.approx(0.0, abs=0.03)
        left = world.series.value - world.level - world.rhythm
        assert left.std() == pytest.approx(0.5, abs=0.02)


def test_a_seed_gives_the_same_readings_again():
    for simulate in simulators.WORLDS.values():
        first, again = simulate(9, 3), simulate(9, 3)
        assert np.array_equal(first.series.value, again.series.value)
        assert not np.array_equal(first.series.value, simulate(10, 3).series.value)


def test_public_data_sets_are_complete():
    shapes = {name: series.read(name) for name in series.DATA_SETS}
    readings = {name: int(np.isfinite(data.value).sum()) for name, data in shapes.items()}
    assert readings == {
        "ChickWeight": 578, "BodyWeight": 176, "Orthodont": 108, "sleepstudy": 180,
        "Loblolly": 84, "Soybean": 412, "Ovary": 308, "Glucose2": 196, "Theoph": 132,
    }  # fmt: skip
    for data in shapes.values():
        gaps = np.diff(data.days, axis=1)
        assert (gaps[np.isfinite(gaps)] >= 0.0).all()


def test_an_interval_of_the_right_width_holds_95_percent():
    random = np.random.default_rng(1)
    value = random.standard_normal(20_000)
    assert scores.coverage(value, np.zeros(20_000), np.ones(20_000)) == pytest.approx(
        0.95, abs=0.01
    )


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_quantities_are_the_same_every_time_and_plausible(name):
    users = SIMULATED[name](20, 1)
    assert users == SIMULATED[name](20, 1) != SIMULATED[name](20, 2)
    low, high = builtin_profile(name).range
    values = [value for readings in users for _, value in readings]
    assert sum(low <= value <= high for value in values) > 0.98 * len(values)
    days = [[day for day, _ in readings] for readings in users]
    assert days == [sorted(each) for each in days]


def test_a_growth_curve_foretells_what_the_joint_normal_distribution_does():
    time = np.array([0.0, 2.0, 5.0, 6.0])
    spread = np.array([[4.0, 0.3], [0.3, 0.2]])
    curve = growth_curve.Curve(2.0, np.array([10.0, 1.5, 0.2]), spread, 0.25, 0.0)
    value = np.array([11.0, 13.5, 18.0, 21.0])
    found = growth_curve.run(curve, Series(time[None], value[None]))
    scaled = time / 2.0
    line = np.stack((np.ones(4), scaled), axis=1)
    mean = 10.0 + 1.5 * scaled + 0.2 * scaled**2
    joint = line @ spread @ line.T + 0.25 * np.eye(4)
    gain = np.linalg.solve(joint[:3, :3], joint[:3, 3])
    assert found.predicted[0, 3] == pytest.approx(mean[3] + gain @ (value - mean)[:3])
    assert found.predicted_sd[0, 3] ** 2 == pytest.approx(joint[3, 3] - gain @ joint[:3, 3])


@pytest.mark.thorough
def test_a_growth_curve_is_fitted_to_what_made_the_readings():
    random = np.random.default_rng(8)
    days = np.tile(np.arange(10.0), (80, 1))
    begin, slope = random.normal(50.0, 4.0, (80, 1)), random.normal(1.0, 0.3, (80, 1))
    value = begin + slope * days + random.normal(0.0, 0.5, days.shape)
    curve = growth_curve.fit(Series(days, value))
    assert curve.noise == pytest.approx(0.25, rel=0.15)
    assert curve.fixed[1] / curve.unit == pytest.approx(1.0, abs=0.15)
    assert curve.spread[0, 0] ** 0.5 == pytest.approx(4.0, rel=0.25)
    assert curve.spread[1, 1] ** 0.5 / curve.unit == pytest.approx(0.3, rel=0.25)


def test_a_profiles_own_readings_are_as_far_from_its_predictions_as_it_says():
    body_weight = builtin_profile("body-weight")
    believing = msgspec.structs.replace(
        body_weight,
        learning=None,
        faults=msgspec.structs.replace(body_weight.faults, share=0.0),
        population=msgspec.structs.replace(body_weight.population, level_sd=3.0, slope_mean=0.1),
    )
    days = np.tile(np.cumsum([0.0, 1.0, 3.0, 0.5, 7.0, 1.0, 30.0, 1.0]), (1_000, 1))
    readings = Series(days, np.zeros(days.shape))
    made = own_world.simulated(believing, readings, np.random.default_rng(9))
    found = product.run(believing, made, "scale")
    away = ((made.value - found.predicted) / found.predicted_sd)[:, 1:]
    assert np.mean(away**2, axis=0) == pytest.approx(np.ones(7), abs=0.15)
    assert np.mean(away, axis=0) == pytest.approx(np.zeros(7), abs=0.12)
