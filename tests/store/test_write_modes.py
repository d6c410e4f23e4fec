"""The other two modes, on both engines that run here.

PartiQL statements are left out of the second opinion: moto 5.2 crashes on an INSERT with
parameters, knows no repeated SET, and calls an UPDATE whose condition fails a success.
"""

import boto3
import moto
import pytest

from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.item import key
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.dynamodb.table import client_config
from kalmap.store.ports import Change
from tests.support.connections import sent_by
from tests.support.dynamodb import new_client, new_table
from tests.support.dynamodb_faults import CUT, LATE_500, PARTIAL, SLOW, THROTTLED, Injector


@pytest.fixture(params=["ministack", "moto"])
def client(request):
    if request.param == "ministack":
        yield new_client()
        return
    with moto.mock_aws():
        yield boto3.client(
            "dynamodb",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=client_config(),
        )


@pytest.fixture
def store(client, table, impatient):
    # One request at a time: moto's transactions are not safe from several threads.
    return DynamoDBStateStore(client, table, retry=impatient, parallelism=1)


def change(user, old=None, body=b"body"):
    return Change(user, old, body, 81.4, -0.01, 1_772_345_520_000_000)


def changes(count, body=b"body"):
    return [change(f"u{number}", None, body) for number in range(count)]


def write(store, group, mode="transactional", batch="b"):
    return store.write("p", group, batch=batch, attempt="a", round_=0, mode=mode)


def state(store, user):
    return store.load("p", [user]).states.get(user)


def test_a_transaction_writes_up_to_a_hundred_users(client, store):
    with sent_by(client) as requests:
        done = write(store, changes(150))
    assert len(done.stored) == 150
    assert sorted(len(params["TransactItems"]) for _, params in requests) == [50, 100]
    assert len(store.load("p", [c.user for c in changes(150)]).states) == 150


def test_known_users_are_updated_under_their_version_in_a_transaction(store):
    write(store, changes(2))
    old = state(store, "u0")
    done = write(store, [change("u0", old, b"newer"), change("new")], batch="b2")
    assert sorted(done.stored) == ["new", "u0"]
    assert state(store, "u0").body == b"newer"
    assert state(store, "u0").tokens == (state(store, "u0").version, old.version)


@pytest.mark.parametrize("known", [False, True])
def test_one_conflict_cancels_a_transaction_and_the_others_are_sent_again_without_it(
    client, store, known
):
    old = None
    if known:
        write(store, [change("u1")], batch="before")
        old = state(store, "u1")
    write(store, [change("u1", old, b"winner")], batch="winner")
    winner = state(store, "u1")
    group = [change("u0"), change("u1", old, b"late"), change("u2")]
    with sent_by(client) as requests:
        done = write(store, group)
    sent = [params["TransactItems"] for name, params in requests if name == "TransactWriteItems"]
    assert [len(actions) for actions in sent] == [3, 2]
    assert done.conflicts == {"u1": winner}
    assert sorted(done.stored) == ["u0", "u2"]
    assert state(store, "u1") == winner


def test_nothing_of_a_cancelled_transaction_is_written(client, table):
    store = DynamoDBStateStore(client, table, retry=RetryPolicy(attempts=1))
    with Injector(client, 0, {PARTIAL: 1.0}):
        done = write(store, changes(5))
    assert len(done.failed) == 5
    assert list(store.scan()) == []


def test_the_same_transaction_sent_twice_is_recognised(store):
    group = changes(3)
    write(store, group)
    # The first group's token no longer answers for a request of another content, and the
    # table would do so for ten minutes only: the items' tokens tell.
    other = [*group, change("more")]
    done = write(store, other)
    assert sorted(done.stored) == ["more", "u0", "u1", "u2"]
    assert not done.conflicts


def test_a_request_token_stands_for_the_tables_name_and_the_states(client, store, impatient):
    elsewhere = DynamoDBStateStore(client, new_table(client), retry=impatient)
    with sent_by(client) as requests:
        write(store, changes(3))
        assert len(write(elsewhere, changes(3)).stored) == 3
        write(store, changes(3, b"else"))
        write(store, changes(3))
    tokens = [p["ClientRequestToken"] for name, p in requests if name == "TransactWriteItems"]
    assert all(len(token) <= 36 for token in tokens)
    assert len(set(tokens)) == 3
    assert tokens[0] == tokens[3]
    assert len(list(elsewhere.scan())) == 3


@pytest.mark.parametrize("mode", ["transactional", "overwrite"])
@pytest.mark.parametrize("kind", [CUT, SLOW, LATE_500, THROTTLED, PARTIAL])
def test_transactional_and_overwriting_writes_survive_each_fault(client, store, mode, kind):
    with Injector(client, 5, {kind: 1.0}, budget=2) as faults:
        done = write(store, changes(7), mode)
    assert faults.counts[kind] == 2
    assert len(done.stored) == 7
    assert done.use.retries == 2
    assert {item.state.body for item in store.scan()} == {b"body"}


def test_overwrite_replaces_any_stored_state(client, store, table):
    write(store, [change("u0")], batch="before")
    client.put_item(TableName=table, Item={**key("u1", "p"), "state": {"S": "foreign"}})
    with sent_by(client) as requests:
        done = write(store, changes(60, b"backfill"), "overwrite")
    assert len(done.stored) == 60
    assert len(requests) == 3
    assert {item.state.body for item in store.scan()} == {b"backfill"}
    assert len(state(store, "u0").tokens) == 1


def test_overwrite_asks_again_for_the_items_left_unprocessed(client, store):
    with Injector(client, 1, {PARTIAL: 1.0}, budget=3) as faults:
        done = write(store, changes(25), "overwrite")
    assert faults.counts[PARTIAL] == 3
    assert len(done.stored) == 25
    assert (done.use.throttles, done.use.retries, done.use.requests) == (3, 3, 4)
    assert len(list(store.scan())) == 25
