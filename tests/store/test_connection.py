"""Real connections that break, stay silent or are refused; nothing is injected here."""

import socket

import pytest

from kalmap.errors import StoreUnavailable
from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.ports import Change
from tests.support.connections import answering_server, cutting_proxy, deaf_server
from tests.support.dynamodb import endpoint, new_client

CHANGES = [Change(f"u{number}", None, b"body", 1.0, 0.0, 0) for number in range(60)]


def write(store, mode):
    return store.write("p", CHANGES, batch="b", attempt="a", round_=0, mode=mode)


@pytest.mark.parametrize("mode", ["conditional", "transactional", "overwrite"])
@pytest.mark.parametrize("cuts", [1, 2, 5])
def test_writes_whose_connection_is_cut_after_the_table_made_them_count_once(
    table, store, impatient, mode, cuts
):
    with cutting_proxy(endpoint(), cuts) as address:
        unlucky = DynamoDBStateStore(new_client(address), table, retry=impatient)
        done = write(unlucky, mode)
    assert len(done.stored) == 60
    assert done.use.retries == cuts
    items = list(store.scan())
    assert len(items) == 60
    assert {(item.state.body, len(item.state.tokens)) for item in items} == {(b"body", 1)}


def test_a_read_whose_connection_is_cut_is_repeated(table, store, impatient):
    write(store, "conditional")
    with cutting_proxy(endpoint(), 2) as address:
        loaded = DynamoDBStateStore(new_client(address), table, retry=impatient).load(
            "p", [change.user for change in CHANGES]
        )
    assert len(loaded.states) == 60
    assert loaded.use.retries == 2


def test_a_table_that_never_answers_fails_after_the_timeouts(table):
    with deaf_server() as address:
        store = DynamoDBStateStore(
            new_client(address, timeout=0.1), table, retry=RetryPolicy(attempts=2)
        )
        with pytest.raises(StoreUnavailable, match="Read timeout"):
            store.load("p", ["u0"])
        done = store.write("p", CHANGES[:1], batch="b", attempt="a", round_=0)
    assert "Read timeout" in done.failed["u0"]


def test_an_unreachable_table_fails_with_a_sentence(table):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    store = DynamoDBStateStore(new_client(address), table, retry=RetryPolicy(attempts=2))
    with pytest.raises(StoreUnavailable, match="Could not connect to the endpoint"):
        store.load("p", ["u0"])


@pytest.mark.parametrize(
    ("status", "body", "answers"),
    [
        (503, b"<html>Service Unavailable</html>", 3),
        (502, b"", 3),
        (200, b'{"Responses": {"', 3),
        (403, b'{"__type": "AccessDeniedException", "message": "No."}', 1),
    ],
)
def test_an_unrecognised_answer_is_retried_unless_it_is_a_refusal(status, body, answers):
    with answering_server(status, body, times=10) as (address, requests):
        store = DynamoDBStateStore(
            new_client(address), "states", retry=RetryPolicy(base=1e-9, cap=1e-9, attempts=3)
        )
        with pytest.raises(StoreUnavailable):
            store.load("p", ["u0"])
    assert len(requests) == answers
