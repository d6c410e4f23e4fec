"""A table with too little capacity delays a batch, and fails it only after all attempts."""

import time

import pytest

from kalmap_handlers import clients
from tests.support.dynamodb_faults import SlowTable
from tests.support.statemachine_batches import assert_accounts_for_all, batch, readings

USERS = 120


@pytest.fixture
def hurried(engine, monkeypatch):
    """Each call has half a second for the table."""
    engine.milliseconds = 1000
    monkeypatch.setenv("RETRY_CAP_SECONDS", "0.2")
    return engine


@pytest.fixture
def quiet_states(hurried):
    """What a table that is never slow stores."""
    hurried.milliseconds = 300_000
    hurried.run(batch(hurried.put("in/quiet.jsonl", readings(users=USERS, days=2))))
    stored = hurried.stored()
    for user in stored:
        hurried.dynamodb.delete_item(
            TableName=hurried.tables["StatesTable"],
            Key={"user_id": {"S": user}, "profile": {"S": "body-weight"}},
        )
    hurried.milliseconds = 1000
    return stored


def slow(operation, per_second, first=0):
    return SlowTable(clients.state_store()._table._client, operation, per_second, first=first)


def run(hurried, key="in/a.jsonl"):
    ended = hurried.run(batch(hurried.put(key, readings(users=USERS, days=2))))
    return ended, hurried.record(ended["output"]["batch_id"]) if ended["output"] else None


def test_a_slow_table_is_written_in_several_attempts_and_each_state_once(hurried, quiet_states):
    before = hurried.calls["WriteFunction"]
    # Thirty users a shard, of which one try writes about ten.
    with slow("BatchExecuteStatement", per_second=40) as table:
        ended, record = run(hurried)
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert hurried.calls["WriteFunction"] - before > 4
    assert hurried.stored() == quiet_states
    # What was written is not sent again: that would take what others need.
    assert table.done == USERS
    summary = hurried.summary(record)
    assert_accounts_for_all(summary, hurried.results(record), 2 * USERS)
    assert summary["users"]["changed"] == USERS
    assert summary["database"]["conflicts"] == 0
    assert summary["database"]["throttles"] > 0
    assert any("turned requests away" in hint for hint in summary["hints"])


def test_the_summary_has_the_time_that_the_table_took(engine, monkeypatch):
    client = clients.state_store()._table._client
    quick = client.batch_get_item

    def late(**request):
        time.sleep(0.15)
        return quick(**request)

    monkeypatch.setattr(client, "batch_get_item", late)
    ended = engine.run(batch(engine.put("in/late.jsonl", readings(users=4, days=2))))
    summary = engine.summary(engine.record(ended["output"]["batch_id"]))
    load = summary["performance"]["load"]
    assert load["request_ms"] >= 150
    assert load["max_seconds"] >= 0.15 > load["cpu_share"] * load["max_seconds"]


def test_a_slow_table_is_read_in_several_attempts_and_each_state_once(hurried, quiet_states):
    run(hurried)
    before = hurried.calls["LoadFunction"]
    with slow("BatchGetItem", per_second=40) as table:
        ended, record = run(hurried, "in/b.jsonl")
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert hurried.calls["LoadFunction"] - before > 4
    assert table.done == USERS
    assert hurried.stored() == quiet_states
    assert hurried.summary(record)["readings"]["duplicate"] == 2 * USERS


def test_users_left_after_all_attempts_fail_and_the_same_batch_writes_them_later(
    hurried, quiet_states
):
    hurried.milliseconds = 200
    with slow("BatchExecuteStatement", per_second=0.1, first=50) as table:
        ended, record = run(hurried)
    assert ended["status"] == "FAILED"
    assert "could not be written in time." in ended["cause"]
    assert "Start the same batch again: what was written counts once." in ended["cause"]
    assert len(hurried.stored()) == table.done == 50
    hurried.milliseconds = 300_000
    ended, record = run(hurried)
    assert ended["status"] == "SUCCEEDED"
    assert hurried.stored() == quiet_states
    assert hurried.summary(record)["users"]["changed"] == USERS - 50
