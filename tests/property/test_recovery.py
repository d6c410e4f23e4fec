"""Law 4 and its limits: the filter follows a new level, but not single wild readings."""

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kalmap.filter.fold import Folded, fold_users
from kalmap.outcome import Reason
from kalmap.profile import builtin_profile
from kalmap.units import mix_ups
from tests.support.histories import DAY, NOW, START, Reading, columns

PROFILE = builtin_profile("body-weight")
RULE = PROFILE.recovery


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
    st.integers(RULE, 30),
    st.lists(st.sampled_from([0.01, 0.5, 1.0, 3.0]), min_size=40, max_size=40),
)
def test_a_real_jump_is_accepted_within_the_recovery_rule(jump, noise, before, gaps):
    old, new = jump
    values = [(old if i < before else new) + wobble for i, wobble in enumerate(noise)]
    result = folded(values, gaps)
    accepted = np.flatnonzero(result.outcomes.reason[before:] == Reason.NONE)
    assert accepted[0] < RULE
    assert abs(result.outcomes.level[-1] - new) < 2.0
    assert result.outcomes.restarted[before + accepted[0]] or accepted[0] == 0


@settings(max_examples=60, deadline=None)
@given(levels, noise, st.lists(st.integers(4, 39), min_size=1, max_size=12), st.data())
def test_single_wild_readings_between_good_ones_never_restart_the_filter(level, noise, days, data):
    values = [level + wobble * 0.5 for wobble in noise]
    wild: list[int] = []
    for day in sorted(set(days)):
        if not wild or day > wild[-1] + 1:
            values[day] = data.draw(st.floats(20.0, 350.0).filter(lambda v: abs(v - level) > 9))
            wild.append(day)
    result = folded(values)
    assert not result.outcomes.restarted.any()
    assert np.flatnonzero(result.outcomes.reason).tolist() == wild


@settings(max_examples=40, deadline=None)
@given(levels, noise, st.integers(RULE, 20))
def test_readings_of_a_scale_left_in_pounds_are_unit_suspect_and_rejected(level, noise, before):
    pounds = 1.0 / 0.45359237
    assume(level * pounds < 340.0)
    values = [
        (level + wobble * 0.5) * (1.0 if i < before else pounds) for i, wobble in enumerate(noise)
    ]
    result = folded(values)
    assert (result.outcomes.reason[before:] == Reason.UNIT_SUSPECT).all()
    assert not result.outcomes.restarted.any()


@settings(max_examples=40, deadline=None)
@given(st.floats(45.0, 150.0), noise)
def test_a_first_reading_in_pounds_does_not_lock_out_the_kilograms(level, noise):
    values = [level + wobble * 0.5 for wobble in noise]
    values[0] /= 0.45359237
    result = folded(values)
    assert result.outcomes.restarted[RULE]
    assert (result.outcomes.reason[RULE:] == Reason.NONE).all()


def test_a_second_person_on_the_same_scale_does_not_change_the_first_persons_level():
    values = [80.0] * 5 + [60.0, 80.1, 60.2, 79.9, 60.1, 80.0, 60.0, 80.2]
    result = folded(values)
    assert not result.outcomes.restarted.any()
    rejected = [v for v, reason in zip(values, result.outcomes.reason, strict=True) if reason]
    assert rejected == [60.0, 60.2, 60.1, 60.0]


def test_a_change_of_person_is_reported_as_a_restart():
    values = ([80.0] * 4 + [60.0] * 4) * 3
    result = folded(values)
    levels = np.round(result.outcomes.level / 20.0) * 20.0
    jumps = np.flatnonzero(levels[1:] != levels[:-1]) + 1
    assert jumps.size == 5
    assert result.outcomes.restarted[jumps].all()


@pytest.mark.parametrize("wild", [30.0, 120.0, 176.0])
def test_a_wild_reading_during_a_recovery_only_delays_it(wild):
    result = folded([80.0] * 6 + [90.0, wild, 90.2, 89.9, 90.1, 90.0])
    assert result.outcomes.restarted.sum() == 1
    assert result.outcomes.reason[-1] == Reason.NONE
    assert abs(result.outcomes.level[-1] - 90.0) < 0.5


def test_without_known_units_every_agreed_jump_is_followed():
    profile = msgspec.structs.replace(PROFILE, unit="points")
    result = folded([80.0] * 5 + [80.0 / 0.45359237] * 4, profile=profile)
    assert result.outcomes.restarted.sum() == 1
