"""Law 4 and its limits: the filter follows a new level, but not single wild readings."""

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kalmap.filter.fold import Folded, fold_users
from kalmap.filter.model import transition
from kalmap.filter.parameters import parameters_of
from kalmap.outcome import Reason
from kalmap.profile import builtin_profile
from kalmap.units import mix_ups
from tests.support.histories import DAY, NOW, START, Reading, columns

PROFILE = builtin_profile("body-weight")
#: Readings after which a new level is accepted at last: after good readings, after anything.
AFTER_GOOD, AFTER_ANYTHING = 12, 60


def folded(values: list[float], gaps: list[float] | None = None, profile=PROFILE) -> Folded:
    """One user's readings, a day apart unless `gaps` says otherwise."""
    days = np.cumsum(gaps or [1.0] * len(values))
    readings = [
        Reading(START + int(day * DAY), 0, 5, value, profile.source_code("scale"))
        for day, value in zip(days.tolist(), values, strict=True)
    ]
    return fold_users(profile, [None], columns([(0, r) for r in readings]), NOW)


def _in_another_unit(level: float, other: float) -> bool:
    return any(abs(other * ratio - level) < 15.0 for ratio in mix_ups("kg"))


levels = st.floats(45.0, 250.0)
noise = st.lists(st.floats(-0.8, 0.8), min_size=40, max_size=40)


@st.composite
def jumps(draw: st.DrawFn) -> tuple[float, float]:
    """Two plausible levels, far apart, neither being the other in another unit."""
    old = draw(levels)
    new = draw(levels.filter(lambda level: abs(level - old) > 10.0))
    assume(not _in_another_unit(old, new))
    return old, new


@settings(max_examples=60, deadline=None)
@given(
    jumps(),
    noise,
    st.integers(3, 25),
    st.lists(st.sampled_from([0.1, 0.5, 1.0, 3.0]), min_size=40, max_size=40),
)
def test_a_real_jump_is_accepted_within_a_dozen_readings(jump, noise, before, gaps):
    old, new = jump
    values = [(old if i < before else new) + wobble for i, wobble in enumerate(noise)]
    result = folded(values, gaps)
    accepted = np.flatnonzero(result.decisions.reason[before:] == Reason.NONE)
    assert accepted[0] < AFTER_GOOD
    assert abs(result.decisions.level[-1] - new) < 2.0
    assert not result.decisions.reason[before + accepted[0] :].any()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["same", "same", "jump", "other", "pounds", "kilograms", "wild"]),
            st.floats(21.0, 349.0),
            st.integers(1, 4),
        ),
        max_size=12,
    ),
    levels,
    noise,
)
def test_no_mixture_of_faults_and_jumps_locks_a_level_out_for_ever(events, level, noise):
    values, current = [80.0], 80.0
    for event, number, times in events:
        if event == "jump":
            current = min(max(number, 45.0), 250.0)
        factor = {"pounds": 1.0 / 0.45359237, "kilograms": 0.45359237}.get(event, 1.0)
        shown = number if event in ("other", "wild") else current * factor
        values += [min(max(shown + noise[i], 20.0), 350.0) for i in range(times)]
    before = len(values)
    values += [level + 0.5 * wobble for wobble in noise + noise[::-1]]
    result = folded(values)
    refused = np.flatnonzero(result.decisions.reason[before:])
    assert refused.size == 0 or refused[-1] < AFTER_ANYTHING
    assert abs(result.decisions.level[-1] - level) < 2.0


@pytest.mark.parametrize("gap", [1.0, 7.0, 30.0, 60.0, 90.0, 365.0])
@pytest.mark.parametrize("level", [110.0, 130.0, 260.0])
def test_a_new_level_is_accepted_at_any_gap_between_readings(gap, level):
    """After a long gap, that two readings are alike is no news: another person changes, too."""
    result = folded([80.0] * 5 + [level] * 30, [1.0] * 5 + [gap] * 30)
    refused = np.flatnonzero(result.decisions.reason[5:])
    assert refused.size == 0 or refused[-1] < AFTER_GOOD
    assert abs(result.decisions.level[-1] - level) < 1.0


@settings(max_examples=60, deadline=None)
@given(
    st.floats(45.0, 150.0),
    noise,
    st.lists(st.integers(4, 39), min_size=1, max_size=12),
    st.data(),
)
def test_a_single_wild_reading_between_good_ones_does_not_move_the_level(level, noise, days, data):
    values = [level + wobble * 0.5 for wobble in noise]
    wild: list[int] = []
    for day in sorted(set(days)):
        if not wild or day > wild[-1] + 1:
            far = st.floats(20.0, 350.0).filter(lambda v: abs(v - level) > 15.0)
            values[day] = data.draw(far)
            wild.append(day)
    result = folded(values)
    assert set(wild) == set(np.flatnonzero(result.decisions.reason).tolist())
    after = [day + 1 for day in wild if day < 39]
    assert (np.abs(result.decisions.level[after] - level) < 1.5).all()


@settings(max_examples=40, deadline=None)
@given(st.floats(45.0, 150.0), noise, st.integers(5, 20))
def test_four_readings_of_a_scale_left_in_pounds_are_unit_suspect(level, noise, before):
    pounds = 1.0 / 0.45359237
    values = [
        (level + wobble * 0.5) * (pounds if before <= i < before + 4 else 1.0)
        for i, wobble in enumerate(noise)
    ]
    result = folded(values)
    assert (result.decisions.reason[before : before + 4] == Reason.UNIT_SUSPECT).all()
    assert not np.delete(result.decisions.reason, np.arange(before, before + 4)).any()
    assert abs(result.decisions.level[before + 3] - level) < 2.0


@settings(max_examples=40, deadline=None)
@given(st.floats(45.0, 150.0), noise)
def test_a_first_reading_in_pounds_does_not_lock_out_the_kilograms(level, noise):
    values = [level + wobble * 0.5 for wobble in noise]
    values[0] /= 0.45359237
    result = folded(values)
    assert not result.decisions.reason[1:].any()
    assert abs(result.decisions.level[9] - level) < 2.0


def test_a_second_person_on_the_same_scale_does_not_change_the_first_persons_level():
    values = [80.0] * 5 + [60.0, 80.1, 60.2, 79.9, 60.1, 80.0, 60.0, 80.2]
    result = folded(values)
    rejected = [v for v, reason in zip(values, result.decisions.reason, strict=True) if reason]
    assert rejected == [60.0, 60.2, 60.1, 60.0]
    assert abs(result.decisions.level[-1] - 80.0) < 0.5


def test_three_weighings_of_another_person_in_a_row_are_one_occasion():
    minute = 1.0 / 1440.0
    gaps = [1.0] * 8 + [1.0, minute, minute, 1.0]
    result = folded([80.0] * 8 + [62.0, 62.1, 62.0, 80.1], gaps)
    assert np.flatnonzero(result.decisions.reason).tolist() == [8, 9, 10]
    assert abs(result.decisions.level[-1] - 80.0) < 0.5


def test_readings_a_minute_apart_are_occasions_of_their_own_if_the_profile_says_so():
    minute = 1.0 / 1440.0
    faults = msgspec.structs.replace(PROFILE.faults, occasion=0.1 * minute)
    profile = msgspec.structs.replace(PROFILE, faults=faults)
    values, gaps = [80.0] * 8 + [62.0, 62.1, 62.0, 61.9], [minute] * 12
    assert folded(values, gaps, profile=profile).decisions.restarted.any()
    assert not folded(values, gaps).decisions.restarted.any()


def test_days_are_no_occasion_however_fast_a_slope_is_forgotten():
    # The gain of a transition never exceeds 1 / slope_damping, which is a quarter of an hour here.
    profile = msgspec.structs.replace(PROFILE, slope_damping=100.0)
    values = [80.0] * 6 + [88.0, 88.1, 87.9, 88.0]
    assert folded(values, profile=profile).decisions.restarted.any()
    assert parameters_of(profile).occasion_gain < transition(profile, np.ones(1)).gain[0]


def test_a_change_of_person_is_reported_as_a_restart():
    values = ([80.0] * 6 + [60.0] * 6) * 3
    result = folded(values)
    levels = np.round(result.decisions.level / 20.0) * 20.0
    changes = np.flatnonzero(levels[1:] != levels[:-1]) + 1
    assert changes.size == 5
    restarts = np.flatnonzero(result.decisions.restarted)
    assert all(np.abs(restarts - change).min() <= 1 for change in changes.tolist())


@pytest.mark.parametrize("wild", [30.0, 120.0, 176.0])
def test_a_wild_reading_after_a_jump_only_delays_its_acceptance(wild):
    result = folded([80.0] * 6 + [90.0, wild, 90.2, 89.9, 90.1, 90.0])
    assert result.decisions.restarted.any()
    assert result.decisions.reason[-1] == Reason.NONE
    assert abs(result.decisions.level[-1] - 90.0) < 0.5


def test_without_known_units_a_jump_by_a_units_ratio_is_followed():
    profile = msgspec.structs.replace(PROFILE, unit="points")
    result = folded([80.0] * 5 + [80.0 / 0.45359237] * 10, profile=profile)
    assert result.decisions.restarted.any()
    assert result.decisions.reason[-1] == Reason.NONE
