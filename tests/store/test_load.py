import pytest

from kalmap.errors import StoreUnavailable
from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.item import key
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.ports import Change
from tests.support.connections import sent_by
from tests.support.dynamodb import new_table
from tests.support.dynamodb_faults import PARTIAL, THROTTLED, Injector


def users(count):
    return [f"u{number}" for number in range(count)]


def fill(store, names, profile="p", batch="b"):
    changes = [Change(name, None, name.encode(), 1.0, 0.0, 0) for name in names]
    outcome = store.write(profile, changes, batch=batch, attempt="a", round_=0)
    assert sorted(outcome.stored) == sorted(names)
    return changes


def test_stored_users_come_with_body_version_and_tokens_and_others_are_absent(store):
    fill(store, ["a", "b"])
    loaded = store.load("p", ["a", "nobody", "b"])
    assert set(loaded.states) == {"a", "b"}
    state = loaded.states["a"]
    assert state.body == b"a"
    assert state.tokens == (state.version,)


def test_a_load_of_no_users_makes_no_request(store):
    loaded = store.load("p", [])
    assert loaded.states == {}
    assert loaded.use.requests == 0


def test_a_user_has_a_state_of_its_own_under_each_profile(store):
    fill(store, ["a"], "weight")
    assert store.load("height", ["a"]).states == {}


def test_users_are_read_a_hundred_at_a_time_each_once_consistently_and_only_the_fields_needed(
    client, store
):
    fill(store, users(205))
    with sent_by(client) as requests:
        loaded = store.load("p", users(205) + users(150))
    assert len(loaded.states) == 205
    assert loaded.use.requests == len(requests) == 3
    asked = [next(iter(params["RequestItems"].values())) for _, params in requests]
    assert sorted(len(part["Keys"]) for part in asked) == [5, 100, 100]
    for part in asked:
        assert part["ConsistentRead"] is True
        assert sorted(part["ExpressionAttributeNames"].values()) == ["state", "user_id", "version"]
        # Names stand as placeholders, since `state` is reserved.
        assert part["ProjectionExpression"].count("#") == 3


def test_each_key_costs_a_read_unit_whether_found_or_not(store):
    fill(store, users(30))
    assert store.load("p", users(50)).use.read_units == 50


def test_keys_left_unprocessed_are_asked_for_until_all_have_come(client, store):
    fill(store, users(150))
    with Injector(client, 1, {PARTIAL: 1.0}, budget=6):
        loaded = store.load("p", users(150))
    assert set(loaded.states) == set(users(150))
    assert loaded.use.throttles == 6
    assert loaded.use.retries == loaded.use.requests - 2
    assert loaded.use.read_units == 150


@pytest.mark.parametrize("every", [2, 3, 5])
def test_a_read_succeeds_if_every_nth_request_is_throttled(client, store, every):
    fill(store, users(450))
    with Injector(client, 0, {THROTTLED: 1.0}, every=every) as faults:
        loaded = store.load("p", users(450))
    assert len(loaded.states) == 450
    assert loaded.use.throttles == faults.counts[THROTTLED] >= 1
    assert loaded.use.requests == 5 + loaded.use.retries


def test_a_table_that_stays_throttled_fails_after_the_policys_attempts(client, table):
    store = DynamoDBStateStore(client, table, retry=RetryPolicy(base=1e-9, cap=1e-9, attempts=4))
    with (
        Injector(client, 0, {THROTTLED: 1.0}) as faults,
        pytest.raises(StoreUnavailable) as refused,
    ):
        store.load("p", ["a"])
    assert faults.requests == 4
    assert table in str(refused.value)
    assert "ProvisionedThroughputExceededException" in str(refused.value)


def test_retries_end_with_the_time_that_is_left(client, table):
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    retry = RetryPolicy(
        base=1, cap=1, attempts=100, jitter=False, clock=lambda: now[0], sleep=sleep
    )
    store = DynamoDBStateStore(client, table, retry=retry)
    with Injector(client, 0, {THROTTLED: 1.0}) as faults, pytest.raises(StoreUnavailable):
        store.load("p", ["a"], deadline=5.5)
    assert now[0] == 5
    assert faults.requests == 6


def test_without_time_left_the_table_is_not_asked(client, table):
    store = DynamoDBStateStore(client, table, retry=RetryPolicy(clock=lambda: 10.0))
    with sent_by(client) as requests, pytest.raises(StoreUnavailable, match="no time was left"):
        store.load("p", ["a"], deadline=10.0)
    assert requests == []


def test_a_missing_table_is_reported_immediately_and_not_retried(client):
    with (
        sent_by(client) as requests,
        pytest.raises(StoreUnavailable, match="The state table nowhere refused a request"),
    ):
        DynamoDBStateStore(client, "nowhere").load("p", ["a"])
    assert len(requests) == 1


def test_a_damaged_item_is_returned_unchanged(client, store, table):
    fill(store, ["a", "b", "c"])
    encoded = client.get_item(TableName=table, Key=key("a", "p"))["Item"]["state"]["B"]
    for user, attribute in (("a", {"B": encoded[:-5]}), ("b", {"S": "text"})):
        client.update_item(
            TableName=table,
            Key=key(user, "p"),
            UpdateExpression="SET #state = :state",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={":state": attribute},
        )
    states = store.load("p", ["a", "b", "c"]).states
    assert (states["a"].body, states["a"].tokens) == (encoded[:-5], ())
    assert (states["b"].body, states["b"].tokens) == (b"", ())
    assert states["c"].body == b"c"


def test_a_scan_returns_every_item_of_every_profile_over_many_pages(client):
    store = DynamoDBStateStore(client, new_table(client))
    body = bytes(700)
    names = users(1500)
    changes = [Change(name, None, body, 81.5, -0.25, 1_772_345_520_000_000) for name in names]
    for profile in ("p", "q"):
        store.write(profile, changes, batch="b", attempt="a", round_=0)
    with sent_by(client) as requests:
        items = list(store.scan())
    assert len(requests) > 1
    assert sorted((item.profile, item.user) for item in items) == sorted(
        (profile, name) for profile in ("p", "q") for name in names
    )
    assert {(item.state.body, item.level, item.slope, item.as_of) for item in items} == {
        (body, 81.5, -0.25, 1_772_345_520_000_000)
    }


def test_the_states_of_one_user_are_those_under_every_profile(store):
    for profile in ("weight", "glucose"):
        fill(store, ["a", "b"], profile, batch=profile)
    with sent_by(store._table._client) as requests:
        states = list(store.of_user("a"))
    assert [(state.user, state.profile) for state in states] == [("a", "glucose"), ("a", "weight")]
    for state in states:
        assert state.state == store.load(state.profile, ["a"]).states["a"]
    assert [(name, request["ConsistentRead"]) for name, request in requests] == [("Query", True)]


def test_a_write_returns_the_states_that_the_table_then_has(store):
    changes = [Change(name, None, name.encode(), 1.0, 0.0, 0) for name in ("a", "b")]
    outcome = store.write("p", changes, batch="b", attempt="a", round_=0)
    assert outcome.stored == store.load("p", ["a", "b"]).states
