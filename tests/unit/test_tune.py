"""`kalmap tune` finds what made the readings, and tells what it cannot fit."""

import itertools

import msgspec
import numpy as np
import pytest
from mpmath import mp, mpf

from kalmap.profile import Faults, Population, Rhythm, load_profile
from kalmap.records.format_jsonl import Jsonl
from kalmap_cli.commands.tune import read_users
from kalmap_cli.inputs import as_input
from kalmap_cli.tuning.cautions import about_spacing, cautions
from kalmap_cli.tuning.dynamics import TERMS, Point, Search
from kalmap_cli.tuning.fit import fit, occasion_of
from kalmap_cli.tuning.likelihood import foretell, mean_log_likelihood
from kalmap_cli.tuning.plain import pack
from kalmap_cli.tuning.ranges import plausible
from kalmap_cli.tuning.trial import compare, table, verdict
from kalmap_cli.tuning.users import step_of, typical_of
from tests.support.tuning import BASE, DAY, SCALE, fitted, random_walks, users_of


@pytest.mark.thorough
def test_the_fit_finds_the_noises_and_faults_that_made_the_readings(faulty_readings):
    found = fitted(
        read_users(BASE, {as_input(faulty_readings): Jsonl()}),
        msgspec.structs.replace(
            BASE,
            measurement_noise=2.0,
            level_noise=0.5,
            sources=dict.fromkeys(BASE.sources, 1.0),
            unknown_source=1.0,
        ),
    )
    # kalmap_cli.simulation.SOURCES: 0.35 kg for a scale, 0.7 by hand, 0.9 for a source not known.
    assert found.measurement_noise == pytest.approx(0.35, rel=0.1)
    assert found.sources["scale"] == 1.0
    assert found.sources["manual"] == pytest.approx(2.0, rel=0.15)
    assert found.unknown_source == pytest.approx(2.6, rel=0.15)
    assert found.faults.share == pytest.approx(0.04, rel=0.5)
    # Levels do not jump in there.
    assert found.jumps.share < 1e-3


@pytest.mark.thorough
def test_wild_readings_hardly_move_the_fit():
    value = random_walks(60, 30, 0.5, 0.1, 1)
    wild = value.copy()
    random = np.random.default_rng(2)
    wild[random.integers(0, 60, 36), random.integers(0, 30, 36)] += 20.0
    clean, spoilt = fitted(users_of(value)), fitted(users_of(wild))
    assert clean.measurement_noise == pytest.approx(0.5, rel=0.05)
    assert spoilt.measurement_noise == pytest.approx(0.5, rel=0.05)
    assert clean.faults.share <= 1e-3
    assert spoilt.faults.share == pytest.approx(0.02, rel=0.5)


@pytest.mark.parametrize(
    "days", [1.0, *(pytest.param(n, marks=pytest.mark.thorough) for n in (1 / 24, 365.0))]
)
def test_terms_that_are_not_in_the_readings_are_exactly_zero_at_every_scale_of_time(days):
    found = fitted(users_of(random_walks(100, 30, 0.5, 0.3, 4), days))
    assert (found.slope_noise, found.slope_prior, found.slope_damping) == (0.0, 0.0, 0.0)
    assert found.level_noise * days**0.5 == pytest.approx(0.3, rel=0.15)
    assert found.population.level_mean == pytest.approx(75.0, abs=4.0)


@pytest.mark.thorough
def test_a_slope_that_users_share_is_found():
    random = np.random.default_rng(5)
    slopes = random.normal(2.0, 0.5, (60, 1))
    value = 40.0 + slopes * np.arange(15) + random.normal(0.0, 1.0, (60, 15))
    found = fitted(users_of(value))
    assert found.population.slope_mean == pytest.approx(2.0, abs=0.25)
    assert found.slope_prior == pytest.approx(0.5, rel=0.3)
    assert found.level_noise == 0.0


def test_rounded_readings_keep_the_noise_of_rounding():
    # Without a floor the noise would go to zero: nearly all readings of a user are equal.
    value = np.round(np.repeat(np.random.default_rng(6).uniform(60, 90, (80, 1)), 30, axis=1))
    value[:, ::7] += 1.0
    found = fit(BASE, users_of(value), lambda _text: None)
    assert found.typical.step == 1.0
    assert found.profile.measurement_noise >= 12.0**-0.5
    said = foretell(found.profile, users_of(value))
    assert np.mean(said.wrong > 0.5) < 0.01


@pytest.mark.parametrize(
    ("step", "shown"), [(0.1, 0.1), (0.5, 0.5), (1.0, 1.0), (5.0, 5.0), (2.5, 2.5), (0.0, 0.0)]
)
def test_the_step_of_rounding_is_found(step, shown):
    value = np.random.default_rng(7).normal(75.0, 10.0, 500)
    assert step_of(np.round(value / step) * step if step else value) == shown


def test_the_likelihood_is_right_where_the_noise_is_tiny():
    """Against 60 digits: the variance of an innovation must not be a difference of variances."""
    profile = msgspec.structs.replace(
        BASE, level_noise=1.0, slope_noise=0.0, slope_prior=0.0, slope_damping=0.0,
        measurement_noise=1e-8, population=Population(), faults=Faults(0.0, 0.0, 0.0),
        learning=None,
    )  # fmt: skip
    value = random_walks(1, 12, 0.0, 1.0, 8)
    with mp.workdps(60):
        # The filter's normal density is Student's t with 63 degrees of freedom.
        df, noise = mpf(63), mpf(profile.measurement_noise) ** 2
        at_zero = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2
        level, variance, total = mpf(value[0, 0]), noise, mpf(0)
        for reading in value[0, 1:].tolist():
            variance += 1
            spread, missed = variance + noise, mpf(reading) - level
            total += at_zero - mp.log(spread) / 2
            total -= (df + 1) / 2 * mp.log(1 + missed**2 / spread / df)
            level += variance / spread * missed
            variance *= noise / spread
        exact = float(total / 11)
    assert mean_log_likelihood(profile, users_of(value)) == pytest.approx(exact, rel=1e-12)


def test_searches_that_are_answered_together_find_what_each_finds_alone():
    users = users_of(random_walks(12, 6, 0.5, 0.1, 33))
    everything, no_jumps = np.ones(users.value.size, bool), np.zeros(users.value.size)
    readings = pack(users, np.array([SCALE]), everything, no_jumps, weighs_first=True)
    search = Search(readings, typical_of(users), 1, learns=True)
    points = [Point(frozenset(TERMS), start, -np.inf) for start in search.starts()]
    points[1] = points[1]._replace(terms=frozenset({"level_noise"}))
    alone = [search.improved([point], 3)[0] for point in points]
    for one, other in zip(search.improved(points, 3), alone, strict=True):
        assert one.terms == other.terms
        assert one.likelihood == other.likelihood
        assert one.place.tolist() == other.place.tolist()
    assert len({each.likelihood for each in alone}) == len(alone)


@pytest.mark.thorough
def test_the_profile_is_tried_on_users_that_it_was_not_fitted_to():
    seen, others = users_of(random_walks(60, 30, 0.5, 0.1, 9)).split(0.7)
    assert (seen.counts.size, others.counts.size) == (42, 18)
    profile = msgspec.structs.replace(fitted(seen), name="mine")
    trial = compare(BASE, profile, seen, others)
    scores = {score.method: score for score in trial.scores}
    assert scores["mine"].error.value < scores["last value"].error.value
    # The mean absolute error of a normal distribution is 0.8 standard deviations, here 0.57.
    assert scores["mine"].error.value == pytest.approx(0.455, abs=0.04)
    assert 0.92 < scores["mine"].inside.value < 0.98
    assert 0.0 < scores["mine"].error.error < 0.05
    assert not trial.is_worse
    lines = table(list(scores.values()))
    assert len(lines) == 5
    assert max(map(len, lines)) <= 80


@pytest.mark.thorough
def test_what_happens_after_the_first_readings_is_seen():
    random = np.random.default_rng(24)
    quiet = random_walks(40, 90, 0.5, 0.05, 25)
    late = np.arange(90) > 30
    wild = np.where(late & (random.random(quiet.shape) < 0.06), random.uniform(30, 150), quiet)
    assert fitted(users_of(wild)).faults.share == pytest.approx(0.04, rel=0.4)
    jumped = quiet + 8.0 * (np.arange(90) >= random.integers(35, 80, (40, 1)))
    assert fitted(users_of(jumped)).jumps.share > 0.005
    noisy = np.where(late, quiet + random.normal(0.0, 1.4, quiet.shape), quiet)
    found = fit(BASE, users_of(noisy), lambda _text: None)
    assert found.profile.measurement_noise > 0.7
    assert "160 pieces of later readings" in found.looked_at


@pytest.mark.thorough
def test_later_readings_say_nothing_of_the_first_ones():
    # Everybody begins at 40 and grows by 2 a day: their first levels are alike, the others not.
    random = np.random.default_rng(26)
    value = random.normal(40.0, 1.5, (60, 1)) + 2.0 * np.arange(90) * random.normal(1, 0.1, (60, 1))
    found = fitted(users_of(value + random.normal(0.0, 1.0, value.shape)))
    assert found.population.level_mean == pytest.approx(40.0, abs=0.7)
    assert found.population.level_sd == pytest.approx(1.5, rel=0.3)
    assert found.faults.share < 1e-3


@pytest.mark.thorough
def test_sources_that_the_fit_did_not_see_keep_their_noise():
    manual = users_of(random_walks(60, 40, 0.9, 0.02, 30))
    source = np.full(manual.value.size, BASE.source_code("manual"), np.uint8)
    # Too few to tell their noise.
    source[::100] = BASE.source_code("app")
    found = fitted(manual._replace(source=source))
    noise = {name: part * found.measurement_noise for name, part in found.sources.items()}
    assert noise["manual"] == pytest.approx(0.9, rel=0.1)
    for name in ("scale", "clinic", "app"):
        kept = BASE.sources[name] * BASE.measurement_noise
        assert noise[name] == pytest.approx(kept, rel=1e-3)
    unknown = found.unknown_source * found.measurement_noise
    assert unknown == pytest.approx(BASE.unknown_source * BASE.measurement_noise, rel=1e-3)


def test_all_methods_are_judged_on_the_same_readings_whatever_they_reject():
    random = np.random.default_rng(20)
    value = random_walks(60, 40, 0.4, 0.05, 21)
    value += random.normal(0.0, 4.0, value.shape) * (random.random(value.shape) < 0.15)
    seen, others = users_of(value).split(0.5)
    strict = msgspec.structs.replace(
        BASE, name="strict", measurement_noise=0.3, faults=Faults(0.3, 0.3, 0.3), learning=None
    )
    narrow = msgspec.structs.replace(BASE, name="narrow", range=(70.0, 80.0))
    for one, other in itertools.combinations((BASE, strict, narrow), 2):
        trial, turned = compare(one, other, seen, others), compare(other, one, seen, others)
        assert trial.scores[:2] == turned.scores[:2]
        assert trial.scores[2:] == turned.scores[:1:-1]
        assert trial.gain.value == pytest.approx(-turned.gain.value)
    # Most readings are outside of this range: what it refuses counts against it.
    trial = compare(BASE, narrow, seen, others)
    assert trial.scores[-1].rejected["out_of_range"] > 0.5
    assert trial.is_worse
    assert any("narrow rejects" in text and "Look at some" in text for text in verdict(trial))


@pytest.mark.thorough
def test_what_the_model_lacks_is_told_in_sentences():
    random = np.random.default_rng(10)
    # Eight readings a day, high in the afternoon, and a profile that knows nothing of it.
    value = random_walks(30, 160, 0.3, 0.02, 11) + np.sin(2.0 * np.pi * np.arange(160) / 8)
    daily = users_of(value, 1 / 8)
    without = msgspec.structs.replace(fitted(daily), rhythm=Rhythm())
    assert any("with the day" in text for text in cautions(without, daily))
    yes_no = users_of(random.integers(0, 2, (30, 20)).astype(float))
    base = load_profile(msgspec.to_builtins(BASE) | {"range": [-1.0, 2.0]})
    assert any("yes and no" in text for text in cautions(fitted(yes_no, base), yes_no))
    few = users_of(random_walks(3, 60, 0.5, 0.1, 12))
    assert any("3 users only" in text for text in cautions(fitted(few), few))
    at_once = users_of(random_walks(30, 20, 0.5, 0.1, 13))
    at_once = at_once._replace(time=at_once.time // (2 * DAY) * 2 * DAY)
    assert any("same time" in text for text in cautions(fitted(at_once), at_once))
    quiet = users_of(random_walks(30, 40, 0.5, 0.1, 14))
    assert cautions(fitted(quiet), quiet) == []


@pytest.mark.thorough
def test_readings_too_far_apart_to_tell_noise_from_movement_are_told():
    random = np.random.default_rng(31)
    # Up and down by 4 kg a month, for four months each, weighed monthly.
    turns = np.cumsum(np.where((np.arange(36) + random.integers(0, 8, (60, 1))) // 4 % 2, 4, -4), 1)
    moved = 95.0 + turns + random.normal(0.0, 10.0, (60, 1)) + random.normal(0, 0.5, turns.shape)
    often = random_walks(60, 36, 0.4, 0.05, 32)
    for value, days, is_told in ((moved, 30.0, True), (often, 1.0, False)):
        found = fit(BASE, users_of(np.round(value, 1), days), lambda _text: None)
        said = about_spacing(BASE, found.profile, found.numbers, found.typical.gap)
        assert [text[:47] for text in said] == (
            ["Noise and movement cannot be told apart at this"] if is_told else []
        )


@pytest.mark.thorough
def test_readings_outside_the_given_range_change_it():
    found = fitted(users_of(10.0 * random_walks(60, 20, 0.5, 0.1, 15)))
    low, high = found.range
    assert low < 400.0
    assert high > 1_100.0


@pytest.mark.parametrize(
    ("values", "given", "found"),
    [
        # Somebody of 80 kg may go on a diet, so users whose weights are alike do not narrow it.
        ((79.0, 81.0), (20.0, 350.0), (20.0, 350.0)),
        ((60.0, 300.0), (20.0, 200.0), (20.0, 540.0)),
        ((0.0, 1.0), (-5.0, 40.0), (-5.0, 40.0)),
        # A range that has nothing to do with the readings.
        ((600.0, 700.0), (20.0, 350.0), (250.0, 1050.0)),
        ((4.0, 6.0), (-1e6, 1e6), (1.0, 9.0)),
        ((0.0, 0.0), (20.0, 350.0), (0.0, 1.0)),
    ],
)
def test_a_range_is_never_narrower_than_the_given_one_of_its_kind(values, given, found):
    readings = users_of(np.linspace(*values, 20)[:, None] * np.ones(5))
    assert plausible(given, readings) == pytest.approx(found, rel=0.05)


def test_a_wild_reading_of_a_user_with_few_does_not_widen_the_range():
    value = np.linspace(60.0, 90.0, 50)[:, None] + np.zeros(4)
    value[7, 2] = 812.0
    assert plausible(BASE.range, users_of(value)) == BASE.range


def test_one_user_can_be_fitted_and_knows_no_population():
    found = fitted(users_of(random_walks(1, 100, 0.5, 0.2, 16)))
    assert found.population.level_mean is None
    assert found.measurement_noise == pytest.approx(0.5, rel=0.4)


def test_typical_numbers_are_those_of_the_readings():
    typical = typical_of(users_of(random_walks(200, 30, 0.5, 0.0, 17), 7.0))
    assert typical.gap == 7.0
    assert typical.change == pytest.approx(0.5, rel=0.1)
    assert typical.bend == pytest.approx(0.5, rel=0.1)
    assert typical.first == pytest.approx(75.0, abs=3.0)


@pytest.mark.thorough
def test_runs_of_another_persons_weights_are_not_taken_for_jumps():
    value = random_walks(60, 30, 0.5, 0.1, 20)
    random = np.random.default_rng(21)
    for user in range(0, 60, 3):
        begin = random.integers(5, 25)
        value[user, begin : begin + 3] = random.normal(75.0, 12.0) + 0.5 * random.normal(size=3)
    found = fitted(users_of(value))
    assert found.faults.share == pytest.approx(20 / 1800, rel=0.6)
    assert found.faults.repeated > 0.4
    assert found.jumps.share < 3e-4


@pytest.mark.thorough
def test_an_occasion_is_no_longer_than_a_tenth_of_the_time_between_readings():
    minutes = fitted(users_of(random_walks(30, 20, 0.5, 0.1, 18), 10.0 / 1440.0))
    assert minutes.faults.occasion == pytest.approx(1.0 / 1440.0, rel=0.01)
    # Three weighings a minute apart, day by day: most gaps are short, but an occasion they are.
    value = np.repeat(random_walks(30, 10, 0.5, 0.1, 19), 3, axis=1)
    often = users_of(value, 1 / 3)
    often = often._replace(time=often.time // DAY * DAY + often.time % DAY // 1000)
    assert occasion_of(BASE, typical_of(often)) == BASE.faults.occasion


def test_one_reading_of_an_occasion_is_kept():
    minutes = np.array([0, 1, 2, 50, 200, 200, 215, 240, 400], float)
    users = users_of(np.arange(9.0)[None])._replace(
        time=np.round(minutes / 1440.0 * DAY).astype(np.int64)
    )
    # From 200 to 240 each is close to the one before: after half an hour one more is kept.
    assert users.one_an_occasion(1 / 48).value.tolist() == [0.0, 3.0, 4.0, 7.0, 8.0]
    quiet = users_of(random_walks(3, 5, 0.5, 0.1, 27))
    assert quiet.one_an_occasion(1 / 48).value.tolist() == quiet.value.tolist()
