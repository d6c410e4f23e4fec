"""Laws 1 to 3: the readings alone determine the state, not their batches or other users."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalmap.filter import forward
from kalmap.filter.fold import Folded, fold_users
from kalmap.outcome import Reason, Status
from kalmap.profile import Profile, builtin_profile
from tests.support.histories import (
    NOW,
    Reading,
    assert_same_results,
    cases,
    columns,
    histories,
    profiles,
)

NEVER_STORED = {Reason.IN_FUTURE, Reason.OUT_OF_RANGE}


@pytest.fixture(params=[1, 10**9], ids=["vector pass", "scalar pass"], scope="module", autouse=True)
def width(request):
    """Test each law in the vector pass, which so few users would not reach, and the scalar pass."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "VECTOR_WIDTH", request.param)
        yield


def apply(
    profile: Profile, body: bytes | None, batch: list[Reading]
) -> tuple[bytes | None, Folded]:
    folded = fold_users(profile, [body], columns([(0, reading) for reading in batch]), NOW)
    assert folded.users.failure[0] == 0, folded.errors
    return (folded.bodies[0] if folded.users.changed[0] else body), folded


@settings(max_examples=400, deadline=None)
@given(cases())
def test_splitting_readings_into_batches_does_not_change_the_state(case):
    profile, history, batches = case
    at_once, _ = apply(profile, None, history)
    in_parts: bytes | None = None
    for batch in batches:
        in_parts, folded = apply(profile, in_parts, batch)
        assert Reason.TOO_LATE not in set(
            folded.decisions.reason[folded.decisions.status == Status.ACCEPTED]
        )
    assert in_parts == at_once


@settings(max_examples=80, deadline=None)
@given(cases(most=60))
def test_one_reading_at_a_time_in_order_gives_the_same_state(case):
    profile, history, _ = case
    at_once, _ = apply(profile, None, history)
    one_by_one: bytes | None = None
    for reading in history:
        one_by_one, _ = apply(profile, one_by_one, [reading])
    assert one_by_one == at_once


@settings(max_examples=150, deadline=None)
@given(cases())
def test_a_batch_applied_again_changes_nothing(case):
    profile, _, batches = case
    body: bytes | None = None
    for batch in batches:
        body, first = apply(profile, body, batch)
        again = fold_users(profile, [body], columns([(0, reading) for reading in batch]), NOW)
        assert not again.users.changed[0]
        assert again.bodies == [None]
        for before, after in zip(
            first.decisions.reason.tolist(), again.decisions.reason.tolist(), strict=True
        ):
            # A reading that was never stored is judged again, and may now come too late.
            again_allowed = {before} if before in NEVER_STORED else {Reason.DUPLICATE}
            assert after in again_allowed | {Reason.TOO_LATE}


@settings(max_examples=50, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_all_earlier_readings_can_be_sent_again_in_any_order(case, random):
    profile, history, batches = case
    body: bytes | None = None
    for batch in batches:
        body, _ = apply(profile, body, batch)
    everything = history * 2
    random.shuffle(everything)
    after, folded = apply(profile, body, everything)
    assert after == body
    assert set(folded.decisions.reason) <= {Reason.DUPLICATE, Reason.TOO_LATE, *NEVER_STORED}


@settings(max_examples=25, deadline=None)
@given(profiles(), st.lists(histories(most=12), min_size=2, max_size=6), st.data())
def test_a_users_results_do_not_depend_on_who_else_is_in_the_batch(profile, users, data):
    pairs = [(user, reading) for user, history in enumerate(users) for reading in history]
    pairs = data.draw(st.permutations(pairs))
    # Half of each user's readings first, so that the second batch meets stored states.
    cut = len(pairs) // 2
    bodies: list[bytes | None] = [None] * len(users)
    alone: list[bytes | None] = [None] * len(users)
    for part in (pairs[:cut], pairs[cut:]):
        readings = columns(part)
        together = fold_users(profile, bodies, readings, NOW)
        for user in range(len(users)):
            mine = readings.user == user
            own = fold_users(
                profile, [alone[user]], columns([(0, r) for u, r in part if u == user]), NOW
            )
            assert_same_results(together, own, mine)
            assert together.bodies[user] == own.bodies[0]
            alone[user] = own.bodies[0] or alone[user]
        bodies = [new or old for new, old in zip(together.bodies, bodies, strict=True)]
    assert bodies == alone


@settings(max_examples=100, deadline=None)
@given(profiles(), histories(), st.floats(20.0, 350.0))
def test_the_same_key_with_another_value_is_a_conflict_and_changes_nothing(profile, history, value):
    body, first = apply(profile, None, history)
    held = [r for r, reason in zip(history, first.decisions.reason, strict=True) if reason < 4]
    others = [reading._replace(value=value) for reading in held if reading.value != value]
    if body is None or not others:
        return
    after, again = apply(profile, body, others)
    assert after == body
    assert set(again.decisions.reason) <= {Reason.ID_CONFLICT, Reason.TOO_LATE}


def test_within_a_batch_the_lowest_index_wins_a_key():
    first = Reading(NOW - 1, 1, 7, 80.0, 3)
    _, folded = apply(
        builtin_profile("body-weight"),
        None,
        [first, first._replace(value=81.0), first, first._replace(source=1)],
    )
    assert folded.decisions.reason.tolist() == [
        Reason.NONE,
        Reason.ID_CONFLICT,
        Reason.DUPLICATE,
        Reason.ID_CONFLICT,
    ]
