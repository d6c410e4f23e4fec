"""Conditional writes: a statement per user, each with an outcome of its own."""

import math

import pytest

from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.item import key
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.ports import Change
from tests.support.connections import sent_by
from tests.support.dynamodb_faults import (
    CUT,
    KILLED_AFTER,
    LATE_500,
    PARTIAL,
    SLOW,
    THROTTLED,
    Injector,
    Killed,
)


def change(user, old=None, body=b"body", level=81.4):
    return Change(user, old, body, level, -0.01, 1_772_345_520_000_000)


def write(store, changes, batch="b", **options):
    return store.write("p", changes, **{"batch": batch, "attempt": "a", "round_": 0, **options})


def state(store, user):
    return store.load("p", [user]).states.get(user)


def overtake(store, user, times=1, batch="other"):
    """Other batches' writes over a user's state."""
    for time in range(times):
        old = state(store, user)
        done = write(store, [change(user, old, f"{batch} {time}".encode())], f"{batch}-{time}")
        assert done.stored.keys() == {user}


def test_new_users_are_inserted_and_known_ones_updated(store):
    assert write(store, [change("a"), change("b")]).stored.keys() == {"a", "b"}
    old = state(store, "a")
    done = write(store, [change("a", old, b"newer"), change("c")], "b2")
    assert sorted(done.stored) == ["a", "c"]
    assert not done.conflicts
    assert not done.failed
    new = state(store, "a")
    assert new.body == b"newer"
    assert new.tokens == (new.version, old.version)


def test_an_item_is_readable_without_the_code(client, store, table):
    write(store, [change("a")])
    item = client.get_item(TableName=table, Key=key("a", "p"))["Item"]
    assert set(item) == {"user_id", "profile", "version", "level", "slope", "as_of", "state"}
    assert item["level"] == {"N": "81.4"}
    assert item["slope"] == {"N": "-0.01"}
    assert item["as_of"] == {"S": "2026-03-01T06:12:00Z"}


def test_a_level_without_a_number_is_stored_as_null(client, store, table):
    assert write(store, [change("a", level=math.nan)]).stored.keys() == {"a"}
    assert client.get_item(TableName=table, Key=key("a", "p"))["Item"]["level"] == {"NULL": True}


@pytest.mark.parametrize("known", [False, True])
def test_the_same_write_made_twice_changes_nothing_and_is_no_conflict(store, known):
    if known:
        overtake(store, "a")
    changes = [change("a", state(store, "a"), b"mine")]
    write(store, changes)
    before = state(store, "a")
    again = write(store, changes)
    assert again.stored.keys() == {"a"}
    assert again.conflicts == {}
    assert state(store, "a") == before


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("others", [0, 1, 2, 3])
def test_a_repeated_write_is_recognised_after_up_to_three_later_writes(store, known, others):
    if known:
        overtake(store, "a", batch="before")
    changes = [change("a", state(store, "a"), b"mine")]
    write(store, changes)
    overtake(store, "a", others)
    assert write(store, changes).stored.keys() == {"a"}
    assert store.find_written("p", changes, batch="b", attempt="a", round_=0) == {"a"}


def test_a_repeated_write_is_a_conflict_after_four_later_writes(store):
    changes = [change("a")]
    write(store, changes)
    overtake(store, "a", 4)
    again = write(store, changes)
    assert again.conflicts == {"a": state(store, "a")}
    assert store.find_written("p", changes, batch="b", attempt="a", round_=0) == set()


def test_a_conflict_returns_the_stored_state_and_changes_nothing(store):
    overtake(store, "a")
    old = state(store, "a")
    overtake(store, "a", batch="winner")
    winner = state(store, "a")
    done = write(store, [change("a", old, b"late"), change("b")])
    assert done.conflicts == {"a": winner}
    assert done.stored.keys() == {"b"}
    assert state(store, "a") == winner


def test_a_refused_write_returns_the_stored_state_without_another_read(client, store):
    overtake(store, "a")
    old = state(store, "a")
    overtake(store, "a", batch="winner")
    with sent_by(client) as requests:
        done = write(store, [change("a", old)])
    assert [operation for operation, _ in requests] == ["BatchExecuteStatement"]
    assert done.use.read_units == 0


def test_a_new_user_that_another_batch_has_created_meanwhile_is_in_conflict(store):
    overtake(store, "a", batch="winner")
    done = write(store, [change("a")])
    assert done.conflicts == {"a": state(store, "a")}
    assert done.use.read_units == 1


def test_a_state_deleted_meanwhile_is_a_conflict_without_a_stored_state(client, store, table):
    overtake(store, "a")
    old = state(store, "a")
    client.delete_item(TableName=table, Key=key("a", "p"))
    assert write(store, [change("a", old)]).conflicts == {"a": None}
    assert state(store, "a") is None


def test_another_round_attempt_or_batch_is_another_write(store):
    overtake(store, "a")
    changes = [change("a", state(store, "a"))]
    write(store, changes)
    for other in ({"batch": "b2"}, {"attempt": "a2"}, {"round_": 1}):
        assert write(store, changes, **other).conflicts == {"a": state(store, "a")}


def test_a_refused_user_fails_alone_with_the_reason(client, store):
    huge = change("huge", body=bytes(400 * 1024))
    done = write(store, [change("a"), huge, change("b")])
    assert sorted(done.stored) == ["a", "b"]
    assert list(done.failed) == ["huge"]
    assert "Item size" in done.failed["huge"]


def test_each_changed_user_costs_one_write_unit_in_statements_of_25(client, store):
    changes = [change(f"u{number}", body=bytes(700)) for number in range(60)]
    with sent_by(client) as requests:
        done = write(store, changes)
    assert sorted(len(params["Statements"]) for _, params in requests) == [10, 25, 25]
    assert done.use.requests == 3
    assert done.use.write_units == 60
    assert done.use.read_units == 0


def test_no_changes_cost_nothing(store):
    assert write(store, []).use.requests == 0


@pytest.mark.parametrize("kind", [CUT, SLOW, LATE_500])
@pytest.mark.parametrize("known", [False, True])
def test_a_write_whose_answer_is_lost_counts_once(client, store, kind, known):
    if known:
        overtake(store, "a")
    with Injector(client, 0, {kind: 1.0}, budget=1) as faults:
        done = write(store, [change("a", state(store, "a"), b"mine")])
    assert faults.counts[kind] == 1
    assert done.stored.keys() == {"a"}
    assert state(store, "a").body == b"mine"
    assert len(state(store, "a").tokens) == 1 + known


def test_statements_throttled_within_a_good_answer_are_sent_again_alone(client, store):
    changes = [change(f"u{number}") for number in range(25)]
    with Injector(client, 3, {PARTIAL: 1.0}, budget=1), sent_by(client) as requests:
        done = write(store, changes)
    assert sorted(done.stored) == sorted(c.user for c in changes)
    first, second = (params["Statements"] for _, params in requests)
    assert len(first) == 25
    assert 0 < len(second) < 25
    assert all(statement in first for statement in second)
    assert (done.use.requests, done.use.retries, done.use.throttles) == (2, 1, 1)


def test_a_task_killed_between_its_requests_finishes_when_run_again(client, table):
    store = DynamoDBStateStore(client, table, parallelism=1)
    changes = [change(f"u{number}") for number in range(60)]
    with Injector(client, 0, {KILLED_AFTER: 1.0}, every=2), pytest.raises(Killed):
        write(store, changes)
    half = store.find_written("p", changes, batch="b", attempt="a", round_=0)
    assert len(half) == 50
    before = store.load("p", list(half)).states
    assert len(write(store, changes).stored) == 60
    assert store.load("p", list(half)).states == before


def test_users_that_cannot_be_written_fail_with_a_sentence_and_are_unchanged(client, table):
    store = DynamoDBStateStore(client, table, retry=RetryPolicy(base=1e-9, cap=1e-9, attempts=3))
    with Injector(client, 0, {THROTTLED: 1.0}) as faults:
        done = write(store, [change("a"), change("b")])
    assert sorted(done.failed) == ["a", "b"]
    assert "ProvisionedThroughputExceededException" in done.failed["a"]
    assert faults.requests == 4  # Three tries, and a last look whether one was made after all.
    assert store.load("p", ["a", "b"]).states == {}


def test_a_write_without_an_answer_counts_as_stored_if_the_table_has_it(client, table):
    store = DynamoDBStateStore(client, table, retry=RetryPolicy(attempts=1))
    with Injector(client, 0, {CUT: 1.0}, budget=1):
        done = write(store, [change("a")])
    assert done.stored.keys() == {"a"}
    assert done.failed == {}


def test_groups_without_time_left_fail_without_being_sent(client, table):
    changes = [change(f"u{number}") for number in range(100)]
    with sent_by(client) as requests:
        # Each request takes a second.
        policy = RetryPolicy(clock=lambda: float(len(requests)))
        store = DynamoDBStateStore(client, table, retry=policy, parallelism=1)
        done = write(store, changes, deadline=2.0)
    assert len(requests) == 2
    assert len(done.stored) == 50
    assert len(done.failed) == 50
    assert all("no time was left" in sentence for sentence in done.failed.values())


def test_if_the_table_is_missing_every_user_fails_with_a_sentence(client):
    done = write(DynamoDBStateStore(client, "nowhere"), [change("a")])
    assert "ResourceNotFound" in done.failed["a"]


def test_an_unknown_mode_is_refused_in_a_sentence(store):
    with pytest.raises(ValueError, match="write mode must be one of conditional, transactional,"):
        write(store, [change("a")], mode="sideways")
