"""Broken and odd requests, always the same ones: a small part of what `make fuzz` sends.

`python -m tests.api.test_broken_requests N` sends N others, and says with which seed.
"""

import copy
import gzip
import json
import random
import sys

import pytest

from tests.api.function import Api
from tests.fuzz.records import ODD, SOUND, broken
from tests.fuzz.shapes import MORE, a_body, changed

REQUESTS = 700
#: Sound requests, to be broken.
BODIES = {
    "/measurements": {"measurements": [SOUND, SOUND | {"user_id": "u-18"}], "adopt_profile": True},
    "/batches": {
        "source": {"bucket": "bucket", "key": "none"},
        "profile": "body-weight",
        "write_mode": "none",
        "limits": {"failed_shards": 0.0, "unusable": 0.2},
    },
    "/batches/uploads": {"name": "weights.csv"},
}
QUERIES = {
    "/batches": ("limit", "cursor"),
    "/batches/{batch_id}": (),
    "/batches/{batch_id}/results": ("status", "user", "limit", "cursor"),
    "/users/{user_id}": ("profile", "at"),
}
TEXTS = [text for text in (*ODD, *MORE) if isinstance(text, str) and "\ud800" not in text]
IDS = [*TEXTS, "u-17"]
HEADERS = {
    "Idempotency_Key": ["", "k", "k" * 300, "\u00fc", "a b"],
    "Content_Type": ["application/json", "text/csv", "", "application/json; charset=utf-8"],
    "Content_Encoding": ["gzip", "br", ""],
    "Accept_Encoding": ["gzip", "*;q=0", ","],
}


def the_body(route, chance):
    """A body: of the route's own shape, or of any that the code reads; broken or zipped."""
    if chance.random() < 0.5:
        raw = a_body(chance)
    else:
        body = copy.deepcopy(BODIES[route])
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            body = changed(body, chance)
        raw = json.dumps(body).encode()
    if chance.random() < 0.1:
        raw = gzip.compress(raw, mtime=0)
    return broken(raw, chance) if chance.random() < 0.2 else raw


def send(api, chance):
    """One request; gives its status."""
    headers = {name: chance.choice(odd) for name, odd in HEADERS.items() if chance.random() < 0.15}
    if chance.random() < 0.6:
        route = chance.choice(list(BODIES))
        sent = {"raw": the_body(route, chance)}
        told = api.call("POST", route, **sent, **headers)
    else:
        route = chance.choice(list(QUERIES))
        query = {name: chance.choice(TEXTS) for name in QUERIES[route] if chance.random() < 0.5}
        sent = {"query": query, "path": dict.fromkeys(("batch_id", "user_id"), chance.choice(IDS))}
        told = api.call("GET", route, **sent, **headers)
    assert told.status < 500, (route, sent, headers, told.body)
    if told.status >= 400:
        assert set(told.body) == {"code", "message", "field", "request_id"}
        assert told.body["message"].endswith((".", "?"))
    return told.status


@pytest.fixture
def whole(api, monkeypatch):
    """The API with a state machine that takes every start, an object and a state to be found."""
    started_by(monkeypatch)
    put_object(api)
    assert api.call("POST", "/measurements", BODIES["/measurements"]).status == 200
    return api


def put_object(api):
    """What the sound request to start a batch names."""
    api.s3.create_bucket(Bucket="bucket")
    api.s3.put_object(Bucket="bucket", Key="none", Body=json.dumps(SOUND).encode())


def started_by(monkeypatch):
    class StepFunctions:
        def start_execution(self, *, input, **_):  # noqa: A002 - boto3's name for it
            assert len(input) < 262_144
            return {"executionArn": "arn:started"}

    monkeypatch.setattr("handlers.api_batches._step_functions", StepFunctions)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_request_however_broken_is_answered_by_a_fault_of_ours(whole, seed):
    chance = random.Random(seed)
    assert {send(whole, chance) for _ in range(REQUESTS)} >= {200, 202, 400, 404}


def s3_event(bucket, **more):
    item = {"key": "in/a.csv", **more}
    return {"source": "aws.s3", "detail": {"bucket": {"name": bucket}, "object": item}}


@pytest.mark.parametrize(
    "body",
    [
        s3_event("bucket"),
        s3_event(5),
        {"detail-type": "x", "detail": {"source": {"records": [SOUND]}}},
        {"detail-type": "x", "detail": {"source": 5}},
        {"source": {"records": [SOUND]}, "profile": {"bucket": 1e30, "key": "k"}},
        {"source": {"records": [SOUND]}, "profile": {"bucket": "a b", "key": "k"}},
        {"source": {"records": [SOUND]}, "profile": {"bucket": "abc", "key": ""}},
        {"source": {"records": [SOUND]}, "now": "0001-01-01T00:00:00+23:59"},
        {"source": {"records": [SOUND]}, "now": "9999-12-31T23:59:59-23:59"},
    ],
    ids=str,
)
def test_what_is_no_batchs_input_is_refused_with_a_sentence(whole, body):
    told = whole.call("POST", "/batches", body)
    assert (told.status, told.body["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "at", ["2026-03-02t00:00:00z", "2026-03-02T00:00:00z", "9999-12-31T23:59:59Z"]
)
def test_a_time_may_be_written_in_lower_case_and_lie_far_ahead(whole, at):
    told = whole.call("GET", "/users/{user_id}", path={"user_id": "u-18"}, query={"at": at})
    assert told.status == 200


if __name__ == "__main__":
    import tests.conftest  # noqa: F401

    number, seed = int(sys.argv[1]), random.randrange(2**32)
    sys.stderr.write(f"{number} requests with seed {seed}\n")
    with pytest.MonkeyPatch.context() as patch:
        started_by(patch)
        container, drawing = Api(patch), random.Random(seed)
        put_object(container)
        for _ in range(number):
            send(container, drawing)
