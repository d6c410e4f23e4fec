"""Comparing what a rehearsed batch would store with what is stored."""

import msgspec
import pytest

from kalmap.store.profiles import Profiles
from kalmap_cli.operations.state_comparison import Comparison, Pair, compare_states, quantiles
from kalmap_cli.operations.written_states import attempts_of
from tests.support.written_batches import PROFILE, new_bucket, run_batch

#: Faults are much rarer in it, and readings less exact: readings 9 kg off are jumps or noise.
TRUSTING = msgspec.structs.replace(
    PROFILE,
    measurement_noise=4.0,
    faults=msgspec.structs.replace(PROFILE.faults, share=1e-6),
)
USERS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def objects():
    return new_bucket()


def compared(objects, store, batch):
    Profiles(objects).save(TRUSTING)
    [attempt] = attempts_of(objects, batch)
    new = {
        change.user: change.body
        for shard in attempt.shards
        for change in attempt.folder.changes(*shard)
    }
    stored = store.load("body-weight", list(new)).states
    pairs = [
        Pair(user, stored[user].body if user in stored else None, body)
        for user, body in new.items()
    ]
    result = Comparison()
    compare_states(pairs, Profiles(objects), stored="body-weight", new="body-weight", into=result)
    return result


def test_it_says_whose_decisions_and_levels_change_and_by_how_much(objects, store):
    readings = {user: list(range(1, 10)) for user in USERS}
    run_batch(objects, store, readings, batch="shadow", write=False, profile=TRUSTING)
    run_batch(objects, store, {user: readings[user] for user in ("a", "b")}, batch="real")
    run_batch(objects, store, {"b": [10]}, batch="later")
    result = compared(objects, store, "shadow")
    assert (result.same, result.compared, result.other_reading, result.not_stored) == (0, 1, 1, 1)
    assert result.readings == 9
    # Reading 5 is 9 kg off (tests/support/store_batches.py).
    assert result.decisions == {("outlier", "accepted"): 1}
    [user] = result.users
    assert user.user_id == "a"
    assert user.change == pytest.approx(user.new_level - user.stored_level) != 0.0
    assert user.change_in_sd == pytest.approx(abs(user.change) / user.stored_sd)
    assert [(each.value > 85, each.stored, each.new) for each in user.decisions] == [
        (True, "outlier", "accepted")
    ]
    assert quantiles(result)[1.0] == user.change_in_sd


def test_only_readings_that_both_windows_have_are_compared(objects, store):
    run_batch(objects, store, {"a": [1, 2, 3, 9]}, batch="fewer", write=False, profile=TRUSTING)
    run_batch(objects, store, {"a": [2, 3, 4, 9]}, batch="others")
    result = compared(objects, store, "fewer")
    assert (result.compared, result.readings) == (1, 3)


def test_the_same_profile_changes_nothing(objects, store):
    readings = {user: [1, 2, 5] for user in USERS}
    run_batch(objects, store, readings, batch="same-shadow", write=False)
    run_batch(objects, store, readings, batch="same-real")
    result = compared(objects, store, "same-shadow")
    assert (result.same, result.compared, result.users) == (3, 0, [])
    assert set(quantiles(result).values()) == {0.0}


def test_damaged_states_and_those_of_an_unknown_profile_are_counted_apart(objects, store):
    unknown = msgspec.structs.replace(PROFILE, slope_prior=0.123)
    run_batch(objects, store, {"a": [1, 2]}, batch="unknown", write=False, profile=unknown)
    run_batch(objects, store, {"a": [1, 2]}, batch="known")
    assert compared(objects, store, "unknown").unreadable == 1
    result = Comparison()
    pair = Pair("a", b"garbage", store.load("body-weight", ["a"]).states["a"].body)
    compare_states([pair], Profiles(objects), stored="body-weight", new="body-weight", into=result)
    assert (result.unreadable, result.compared) == (1, 0)
