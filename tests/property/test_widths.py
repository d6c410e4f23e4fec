"""A user's numbers are the same bits in the vector pass, the scalar pass, and any cohort."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalmap.filter import fold, forward, vector
from kalmap.profile import Population, Window, builtin_profile
from tests.support.histories import (
    DAY,
    NOW,
    START,
    Reading,
    assert_same_results,
    columns,
    extreme_profiles,
    histories,
    profiles,
)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(profiles(), extreme_profiles()),
    st.lists(histories(most=40), min_size=1, max_size=12),
    st.sampled_from([1, 2, 3, 7, 20]),
)
def test_the_vector_pass_and_the_scalar_pass_give_the_same_bits(profile, users, width):
    everything = [(user, r) for user, history in enumerate(users) for r in history]
    # The second batch continues from the first one's checkpoints.
    assert_passes_agree(profile, [everything[::2], everything[1::2]], len(users), width)


def fold_batches(profile, batches, users, width, few):
    """Fold batches one after the other.

    Vector steps have at least this width; so few questions in a step are weighed one by one.
    """
    results, bodies = [], [None] * users
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "VECTOR_WIDTH", width)
        patch.setattr(vector, "FEW", few)
        for batch in batches:
            results.append(fold.fold_users(profile, bodies, columns(batch), NOW))
            bodies = [new or old for new, old in zip(results[-1].bodies, bodies, strict=True)]
    return results


def assert_passes_agree(profile, batches, users, *widths):
    """Hold folds with vector steps of at least these widths to one without any vector step."""
    scalar = fold_batches(profile, batches, users, 10**9, 0)
    for width in widths:
        for few in (0, 2):
            side_by_side = fold_batches(profile, batches, users, width, few)
            for ours, theirs in zip(side_by_side, scalar, strict=True):
                assert_same_results(ours, theirs)
                assert ours.bodies == theirs.bodies


@pytest.mark.parametrize("population", [Population(), Population(77.0, 18.0)])
@pytest.mark.parametrize(
    "jump", [4, *(pytest.param(n, marks=pytest.mark.thorough) for n in (1, 2, 3, 5, 6, 7))]
)
def test_a_jump_is_found_at_the_same_reading_for_any_steps_and_checkpoints(population, jump):
    profile = msgspec.structs.replace(
        builtin_profile("body-weight"),
        population=population,
        window=Window(readings=2, days=3000.0),
    )
    # Users 0 to 2 jump, each at another reading, and user 3's readings end sooner: with steps of
    # at least two or three users, the scalar pass takes over in the middle of a jump.
    for end in range(max(jump - 1, 1), jump + 4):
        values = {
            user: [80.0 if day < jump + user else 95.0 + user / 10 for day in range(12)]
            for user in range(3)
        } | {3: [80.0] * end}
        everything = [
            (user, Reading(START + day * DAY, 0, 7, value, 3))
            for user, history in values.items()
            for day, value in enumerate(history)
        ]
        for cut in (0, 2, jump + 1, jump + 2):
            batches = [
                [(u, r) for u, r in everything if (r.time < START + cut * DAY) is early]
                for early in (True, False)
            ]
            assert_passes_agree(profile, [b for b in batches if b], 4, 1, 2, 4)


# A cohort of 1 or 97 readings has one or two users, however many there are in all.
@pytest.mark.parametrize(
    ("users", "cohort"),
    [*itertools.product([1, 3, 31, 32, 33, 64], [1, 97, 10**6]), (1000, 10**6)],
)
def test_a_users_state_is_the_same_bits_in_cohorts_of_any_size(users, cohort, monkeypatch):
    profile = builtin_profile("body-weight")
    # Every user has the same readings, so every body must be the same.
    random = np.random.default_rng(5)
    days = np.cumsum(random.exponential(1.0, 37))
    values = 80.0 + random.normal(0.0, 0.6, 37)
    values[[9, 15, 16, 17, 18, 30]] += [20.0, 9.0, 9.1, 8.8, 9.3, -30.0]
    history = [
        Reading(START + int(day * DAY), 0, 11, value, 3)
        for day, value in zip(days, values.tolist(), strict=True)
    ]
    monkeypatch.setattr(fold, "COHORT_READINGS", cohort)
    monkeypatch.setattr(vector, "FEW", 0)
    readings = columns([(user, reading) for user in range(users) for reading in history])
    folded = fold.fold_users(profile, [None] * users, readings, NOW)
    assert len(set(folded.bodies)) == 1
    monkeypatch.setattr(forward, "VECTOR_WIDTH", 10**9)
    alone = fold.fold_users(profile, [None], columns([(0, r) for r in history]), NOW)
    assert folded.bodies[0] == alone.bodies[0]
