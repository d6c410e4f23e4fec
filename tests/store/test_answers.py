"""The table of answered requests: one answer for each key."""

import gzip
import hashlib
import json
import time
from base64 import b64decode, b64encode

import pytest

from kalmap.api.idempotency import ComputedAnswer, KeyedRequest, answer_once
from kalmap.errors import Contradiction
from kalmap.store.dynamodb.answers import DynamoDBAnswerStore
from kalmap.store.ports import AnswerClaim
from tests.support.dynamodb import endpoint
from tests.support.template import create_tables

REQUEST = KeyedRequest("arn:aws:iam::1:user/ann", "k-1", b'{"measurements": []}', 29.0)


@pytest.fixture
def table(client):
    return create_tables(client)["IdempotencyTable"]


@pytest.fixture
def answers(table, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint())
    return DynamoDBAnswerStore(table)


def final(payload):
    return lambda: ComputedAnswer(payload, final=True)


def sha256_of_json(text):
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()


def items(client, table):
    return client.scan(TableName=table)["Items"]


def test_the_first_answer_is_returned_again(answers):
    assert answer_once(REQUEST, answers, final(b"first")) == b"first"
    assert answer_once(REQUEST, answers, final(b"second")) == b"first"


def test_the_format_of_a_stored_answer_does_not_change(answers, client, table):
    """Answers of the version before are read after a deployment, and the other way round."""
    before = time.time()
    answer_once(REQUEST, answers, final(b"an answer"))
    [item] = items(client, table)
    payload_digest = hashlib.sha256(REQUEST.payload).hexdigest()
    assert item["id"] == {"S": "v1#" + sha256_of_json("arn:aws:iam::1:user/ann\nk-1")}
    assert item["validation"] == {"S": sha256_of_json(payload_digest)}
    assert item["status"] == {"S": "COMPLETED"}
    assert 86_399 <= int(item["expiration"]["N"]) - before < 86_500
    assert 28_000 <= int(item["in_progress_expiration"]["N"]) - 1000 * before < 60_000
    packed = json.loads(item["data"]["S"])
    assert set(packed) == {"packed"}
    assert gzip.decompress(b64decode(packed["packed"])) == b"an answer"


def test_an_answer_that_was_stored_before_is_read(answers, client, table):
    packed = b64encode(gzip.compress(b"earlier")).decode()
    client.put_item(
        TableName=table,
        Item={
            "id": {"S": "v1#" + sha256_of_json("arn:aws:iam::1:user/ann\nk-1")},
            "validation": {"S": sha256_of_json(hashlib.sha256(REQUEST.payload).hexdigest())},
            "status": {"S": "COMPLETED"},
            "expiration": {"N": str(int(time.time()) + 1000)},
            "data": {"S": json.dumps({"packed": packed})},
        },
    )
    assert answer_once(REQUEST, answers, final(b"new")) == b"earlier"


def test_an_answer_that_is_not_final_is_returned_and_not_stored(answers, client, table):
    partial = ComputedAnswer(b"some failed", final=False)
    assert answer_once(REQUEST, answers, lambda: partial) == b"some failed"
    assert items(client, table) == []
    assert answer_once(REQUEST, answers, final(b"complete")) == b"complete"


def test_an_error_releases_the_claim_and_reaches_the_caller(answers, client, table):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answer_once(REQUEST, answers, fail)
    assert items(client, table) == []


def test_an_idempotency_key_with_another_body_is_refused(answers):
    answer_once(REQUEST, answers, final(b"first"))
    with pytest.raises(Contradiction, match="another body"):
        answer_once(REQUEST._replace(payload=b"other"), answers, final(b"second"))


def test_an_idempotency_key_belongs_to_its_caller(answers):
    answer_once(REQUEST, answers, final(b"ann's"))
    bob = REQUEST._replace(caller="arn:aws:iam::1:user/bob")
    assert answer_once(bob, answers, final(b"bob's")) == b"bob's"


def test_a_request_that_is_still_being_answered_is_refused_with_the_same_key(table, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint())
    # A function answers one request at a time, so the two requests reach two containers.
    one, other = DynamoDBAnswerStore(table), DynamoDBAnswerStore(table)

    def answer_while_the_other_asks():
        with pytest.raises(Contradiction, match="being answered right now"):
            answer_once(REQUEST, other, final(b"second"))
        return ComputedAnswer(b"first", final=True)

    assert answer_once(REQUEST, one, answer_while_the_other_asks) == b"first"
    assert answer_once(REQUEST, other, final(b"second")) == b"first"


def test_a_claim_ends_with_the_time_of_its_request(answers):
    claim = AnswerClaim("caller\nk-1", "digest", 0.0)

    def lost():
        # The container ends here: its claim stays in the table.
        time.sleep(0.01)
        return answers.answer_once(claim, lambda: b"second request")

    assert answers.answer_once(claim, lost) == b"second request"
