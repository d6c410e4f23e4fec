"""Batches for the tests of the state machine, and their results."""

from collections import Counter

from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.ports import Change

NOW = "2026-04-01T00:00:00Z"


def readings(users=8, days=5, value=80.0, start=1):
    return [
        {
            "user_id": f"user-{user}",
            "timestamp": f"2026-03-{start + day:02d}T07:00:00Z",
            "value": value + user + 0.1 * day,
        }
        for day in range(days)
        for user in range(users)
    ]


def batch(source, **options):
    return {"source": source, "now": NOW} | options


def counts(results):
    return Counter((result["status"], result["reason"]) for result in results)


def assert_accounts_for_all(summary, results, received):
    assert summary["readings"]["received"] == received == len(results)
    totals = summary["readings"]
    by_reason = [totals[name].values() for name in ("rejected", "unreadable", "failed")]
    assert totals["accepted"] + totals["duplicate"] + sum(map(sum, by_reason)) == received
    assert [result["index"] for result in results] == list(range(received))
    counted = counts(results)
    for status in ("rejected", "unreadable", "failed"):
        for reason, number in totals[status].items():
            assert counted[status, reason] == number
    assert counted["accepted", None] == totals["accepted"]


def always(function, when=lambda event: True):
    def fault(called, event, number):
        if called == function and when(event):
            raise ValueError("cannot")

    return fault


def other_writer(engine, users):
    """Write users' states as another batch would, from what is stored now."""
    store = DynamoDBStateStore(
        engine.dynamodb, engine.tables["StatesTable"], retry=RetryPolicy(base=0.01, cap=0.1)
    )
    states = store.load("body-weight", users).states
    body = next(iter(states.values())).body if states else b"?"
    changes = [
        Change(user, states.get(user), states[user].body if user in states else body, 1.0, 0.0, 0)
        for user in users
    ]
    token = f"other-{engine.calls.total()}"
    outcome = store.write("body-weight", changes, batch=token, attempt="a", round_=0)
    assert len(outcome.stored) == len(users)
