"""Examples of the fold's decisions about readings."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from kalmap.filter.estimates import describe
from kalmap.filter.fold import fold_users
from kalmap.filter.model import measurement_variances, transition
from kalmap.outcome import Reason, Status
from kalmap.profile import Faults, Jumps, Population, Window, builtin_profile, load_profile
from tests.support.histories import DAY, SECOND, START, Reading, columns

PROFILE = builtin_profile("body-weight")
SCALE = PROFILE.source_code("scale")
#: The textbook's filter: nothing is known of users, and their noise is the profile's.
PLAIN = msgspec.structs.replace(PROFILE, population=Population(), learning=None)
NOW = START + 400 * DAY


def fold(history, body=None, profile=PROFILE, now=NOW):
    return fold_users(profile, [body], columns([(0, r) for r in history]), now)


def days(values, first=0):
    return [
        Reading(START + (first + i) * DAY, 0, 9, value, SCALE) for i, value in enumerate(values)
    ]


def test_the_first_reading_starts_the_filter_with_its_own_noise():
    result = fold(days([81.4]), profile=PLAIN)
    assert result.decisions.status.tolist() == [Status.ACCEPTED]
    assert result.decisions.level.tolist() == [81.4]
    assert result.decisions.level_sd.tolist() == [PROFILE.measurement_noise]
    assert result.decisions.slope.tolist() == [0.0]
    assert np.isnan(
        [result.decisions.predicted[0], result.decisions.innovation[0], result.decisions.nis[0]]
    ).all()
    assert result.decisions.quality.tolist() == [1.0 - PROFILE.faults.share]
    assert result.users.new.tolist() == [True]


def test_the_second_reading_is_the_textbook_update():
    result = fold(days([80.0, 81.0]), profile=PLAIN)
    step = transition(PROFILE, np.array([1.0]))
    noise = measurement_variances(PROFILE)[SCALE]
    prior = noise + step.gain[0] ** 2 * PROFILE.slope_prior**2 + step.q00[0]
    assert result.decisions.predicted[1] == 80.0
    assert result.decisions.innovation[1] == 1.0
    assert result.decisions.nis[1] == pytest.approx(1.0 / (prior + noise), rel=1e-14)
    assert result.decisions.level[1] == pytest.approx(80.0 + prior / (prior + noise), rel=1e-15)
    assert result.decisions.level_sd[1] == pytest.approx(
        np.sqrt(prior * noise / (prior + noise)), rel=1e-14
    )


def test_a_first_reading_is_weighed_against_the_population():
    population = PROFILE.population
    noise = measurement_variances(PROFILE)[SCALE]
    prior = population.level_sd**2
    level = fold(days([81.4])).decisions.level[0]
    share = prior / (prior + noise)
    expected = population.level_mean + share * (81.4 - population.level_mean)
    assert level == pytest.approx(expected, rel=1e-14)
    # A weight that few people have may be in pounds: the level is between the two.
    far = fold(days([180.0])).decisions
    assert 180.0 / 2.2046 < far.level[0] < 180.0
    assert far.level_sd[0] > 30.0


def test_every_reason_of_the_fold_has_its_status():
    readings = [
        *days([80.0] * 6),
        Reading(START + 7 * DAY, 0, 9, 130.0, SCALE),
        Reading(START + 9 * DAY, 0, 9, 80.0 / 0.45359237, SCALE),  # pounds
        Reading(START + 10 * DAY, 0, 9, 500.0, SCALE),
        Reading(NOW + 301 * SECOND, 0, 9, 80.0, SCALE),
        Reading(START, 0, 9, 80.0, SCALE),
        Reading(START, 0, 9, 82.0, SCALE),
    ]
    result = fold(readings)
    assert [Reason(code) for code in result.decisions.reason[6:].tolist()] == [
        Reason.OUTLIER, Reason.UNIT_SUSPECT, Reason.OUT_OF_RANGE, Reason.IN_FUTURE,
        Reason.DUPLICATE, Reason.ID_CONFLICT,
    ]  # fmt: skip
    assert result.decisions.status[6:].tolist() == [Status.REJECTED] * 4 + [
        Status.DUPLICATE, Status.REJECTED
    ]  # fmt: skip
    never_folded = np.isnan(result.decisions.level)
    assert never_folded.tolist() == [False] * 8 + [True] * 4
    assert np.isnan(result.decisions.quality[never_folded]).all()


def test_a_reading_at_the_edge_of_the_future_is_taken_and_one_after_it_is_not():
    edge = NOW + 300 * SECOND
    result = fold([Reading(edge, 0, 1, 80.0, 3), Reading(edge + 1, 0, 1, 80.0, 3)])
    assert result.decisions.reason.tolist() == [Reason.NONE, Reason.IN_FUTURE]


def test_too_late_is_exactly_at_and_below_the_checkpoints_key():
    profile = msgspec.structs.replace(PROFILE, window=Window(2, 60.0))
    body = fold(days([80.0] * 4), profile=profile).bodies[0]
    last = START + DAY  # the second of four: K = 2 leaves the last two in the window
    readings = [
        Reading(last, 0, 8, 80.0, 3),
        Reading(last, 0, 9, 80.0, 3),
        Reading(last, 0, 10, 80.0, 3),
        Reading(last, 1, 0, 80.0, 3),
        Reading(last + 1, 0, 0, 80.0, 3),
        Reading(last - 1, 1, 99, 80.0, 3),
        Reading(START + 2 * DAY, 0, 9, 80.0, 3),
    ]
    result = fold(readings, body, profile)
    assert [Reason(code) for code in result.decisions.reason.tolist()] == [
        Reason.TOO_LATE, Reason.TOO_LATE, Reason.NONE, Reason.NONE, Reason.NONE, Reason.TOO_LATE,
        Reason.DUPLICATE,
    ]  # fmt: skip


def test_a_reading_exactly_as_old_as_the_window_allows_stays():
    span = round(PROFILE.window.days) * DAY
    for times, expected in (((0, span), 2), ((0, span + 1), 1), ((0, 1, span + 1), 2)):
        history = [Reading(START + time, 0, 1, 80.0, SCALE) for time in times]
        assert describe(fold(history).bodies[0], PROFILE).window == expected


def test_a_negative_zero_is_zero():
    profile = msgspec.structs.replace(PLAIN, range=(-10.0, 10.0))
    one, other = Reading(START, 1, 1, -0.0, SCALE), Reading(START, 1, 1, 0.0, SCALE)
    results = [fold(batch, profile=profile) for batch in ([one, other], [other, one])]
    assert results[0].bodies == results[1].bodies
    assert [result.decisions.reason.tolist() for result in results] == [[0, Reason.DUPLICATE]] * 2


def test_a_late_reading_revises_what_was_decided_after_it():
    # 86 kg looks wild after 80 kg a week before, until the days between arrive.
    body = fold([*days([80.0] * 5), *days([86.0], first=12)]).bodies[0]
    result = fold(days([80.75, 81.5, 82.25, 83.0, 83.75, 84.5, 85.25], first=5), body)
    revised = result.revisions
    assert revised.user.tolist() == [0]
    assert revised.time.tolist() == [START + 12 * DAY]
    assert revised.value.tolist() == [86.0]
    assert (revised.old_status[0], revised.new_status[0]) == (Status.REJECTED, Status.ACCEPTED)
    assert revised.old_reason[0] == Reason.OUTLIER
    assert revised.new_reason[0] == Reason.NONE


def test_a_reading_that_changes_nothing_before_it_revises_nothing():
    body = fold(days([80.0] * 5)).bodies[0]
    assert fold(days([80.1], first=6), body).revisions.user.size == 0


def test_a_thousand_readings_at_once_leave_the_last_window_and_absorb_the_rest():
    history = days((80.0 + np.sin(np.arange(1000) / 9.0)).tolist())
    now = START + 2000 * DAY
    at_once = fold(history, now=now).bodies[0]
    body = None
    for first in range(0, 1000, 37):
        body = fold(history[first : first + 37], body, now=now).bodies[0]
    assert body == at_once


def test_results_come_in_the_order_of_the_readings():
    history = days([80.0, 80.5, 81.0, 80.2])
    shuffled = [history[i] for i in (2, 0, 3, 1)]
    ordered, mixed = fold(history), fold(shuffled)
    assert mixed.decisions.level.tolist() == ordered.decisions.level[[2, 0, 3, 1]].tolist()
    assert mixed.bodies == ordered.bodies


def test_an_empty_batch_changes_nothing():
    body = fold(days([80.0])).bodies[0]
    result = fold_users(PROFILE, [body, None], columns([]), NOW)
    assert result.bodies == [None, None]
    assert not result.users.changed.any()
    assert result.decisions.status.size == 0
    assert fold_users(PROFILE, [], columns([]), NOW).bodies == []


def test_the_readable_estimate_is_that_of_the_newest_reading():
    result = fold(days([80.0, 80.4, 80.2])[::-1])
    assert result.users.level.tolist() == [result.decisions.level[0]]
    assert result.users.slope.tolist() == [result.decisions.slope[0]]
    assert result.users.as_of.tolist() == [START + 2 * DAY]


def test_quality_is_the_probability_that_the_reading_is_right():
    result = fold(days([80.0, 80.1, 81.5, 80.0, 95.0, 80.0])).decisions
    assert result.reason.tolist() == [0, 0, 0, 0, Reason.OUTLIER, 0]
    assert (result.quality[[1, 2, 3, 5]] > 0.95).all()
    assert result.quality[4] < 0.5
    assert result.quality[2] < result.quality[1]


def test_without_faults_every_reading_is_believed():
    profile = msgspec.structs.replace(PROFILE, faults=Faults(share=0.0))
    result = fold(days([80.0, 80.1, 170.0, 80.0]), profile=profile).decisions
    assert not result.reason.any()
    assert (result.quality == 1.0).all()


def test_a_jump_is_believed_sooner_where_jumps_are_frequent():
    def accepted(share):
        profile = msgspec.structs.replace(PROFILE, jumps=Jumps(share, 8.0))
        reason = fold(days([80.0] * 8 + [90.0] * 8), profile=profile).decisions.reason
        return int(np.flatnonzero(reason[8:] == 0)[0])

    assert accepted(0.2) == 0 < accepted(1e-4)


def test_a_noisier_user_has_wider_intervals_after_some_readings():
    random = np.random.default_rng(3)
    calm, noisy = (80.0 + sd * random.normal(size=30) for sd in (0.2, 1.2))
    assert fold(days(noisy)).decisions.level_sd[-1] > 2.0 * fold(days(calm)).decisions.level_sd[-1]


def test_what_a_source_and_a_weekday_add_is_not_in_the_level():
    weekly = (0.5, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0)
    profile = msgspec.structs.replace(
        PROFILE,
        biases={"scale": 2.0},
        rhythm=msgspec.structs.replace(PROFILE.rhythm, weekly=weekly),
    )
    plain = fold(days([80.0] * 20), profile=PROFILE).decisions
    # START is a Tuesday.
    added = [2.0 + weekly[(1 + day) % 7] for day in range(20)]
    shifted = fold(days([80.0 + one for one in added]), profile=profile).decisions
    np.testing.assert_allclose(shifted.level, plain.level, rtol=1e-12)
    np.testing.assert_allclose(shifted.innovation[1:], plain.innovation[1:], atol=1e-9)


def test_the_growth_of_chicks_is_accepted():
    text = Path(__file__).parents[2].joinpath("examples/chick-growth.json").read_bytes()
    profile = load_profile(text)
    # From 40 g to 400 g in three weeks: 11.6 % a day.
    weights = [40.0 * 10.0 ** (day / 21.0) for day in range(0, 22, 2)]
    history = [Reading(START + 2 * i * DAY, 0, 1, weight, 255) for i, weight in enumerate(weights)]
    result = fold(history, profile=profile)
    assert not result.decisions.reason.any()
    assert abs(result.decisions.level[-1] - weights[-1]) < 10.0
