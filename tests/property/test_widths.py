"""The same bits whatever stands beside a user: vector pass, tail, and cohorts of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalmap.filter import fold, forward
from kalmap.profile import builtin_profile
from tests.property.histories import (
    DAY,
    NOW,
    START,
    Reading,
    columns,
    extreme_profiles,
    histories,
    profiles,
)
from tests.property.test_batches import same


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(profiles(), extreme_profiles()),
    st.lists(histories(most=40), min_size=1, max_size=12),
    st.sampled_from([1, 2, 3, 7, 20]),
)
def test_the_vector_pass_and_the_tail_give_the_same_bits(profile, users, width):
    readings = columns([(user, r) for user, history in enumerate(users) for r in history])
    results = []
    with pytest.MonkeyPatch.context() as patch:
        for threshold in (width, 10**9):
            patch.setattr(forward, "VECTOR_WIDTH", threshold)
            results.append(fold.fold_users(profile, [None] * len(users), readings, NOW))
    vector, scalar = results
    same(vector, scalar)
    assert vector.bodies == scalar.bodies


@pytest.mark.parametrize("users", [1, 3, 31, 32, 33, 64, 1000])
@pytest.mark.parametrize("cohort", [1, 97, 10**6])
def test_a_users_state_is_the_same_bits_in_cohorts_of_any_size(users, cohort, monkeypatch):
    profile = builtin_profile("body-weight")
    # Every user the same readings: so every body must be the same, wherever he stands.
    random = np.random.default_rng(5)
    days = np.cumsum(random.exponential(1.0, 37))
    values = 80.0 + random.normal(0.0, 0.6, 37)
    values[[9, 15, 16, 17, 18, 30]] += [20.0, 9.0, 9.1, 8.8, 9.3, -30.0]
    history = [
        Reading(START + int(day * DAY), 0, 11, value, 3)
        for day, value in zip(days, values.tolist(), strict=True)
    ]
    monkeypatch.setattr(fold, "COHORT_READINGS", cohort)
    readings = columns([(user, reading) for user in range(users) for reading in history])
    folded = fold.fold_users(profile, [None] * users, readings, NOW)
    assert len(set(folded.bodies)) == 1
    monkeypatch.setattr(forward, "VECTOR_WIDTH", 10**9)
    alone = fold.fold_users(profile, [None], columns([(0, r) for r in history]), NOW)
    assert folded.bodies[0] == alone.bodies[0]
