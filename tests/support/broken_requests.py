"""Broken and odd requests, of every shape that the API reads, and what must hold for each."""

import copy
import gzip
import json

from tests.support.broken_records import ODD, SOUND, broken
from tests.support.random_inputs import MORE, a_body, changed

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
    """A body of the route's own shape or of another; it may be broken or gzipped."""
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
    """Send one request; returns its status."""
    headers = {name: chance.choice(odd) for name, odd in HEADERS.items() if chance.random() < 0.15}
    if chance.random() < 0.6:
        route = chance.choice(list(BODIES))
        sent = {"raw": the_body(route, chance)}
        response = api.call("POST", route, **sent, **headers)
    else:
        route = chance.choice(list(QUERIES))
        query = {name: chance.choice(TEXTS) for name in QUERIES[route] if chance.random() < 0.5}
        sent = {"query": query, "path": dict.fromkeys(("batch_id", "user_id"), chance.choice(IDS))}
        response = api.call("GET", route, **sent, **headers)
    assert response.status < 500, (route, sent, headers, response.body)
    if response.status >= 400:
        assert set(response.body) == {"code", "message", "field", "request_id"}
        assert response.body["message"].endswith((".", "?"))
    return response.status


def put_object(api):
    """Put the object that the sound request to start a batch names."""
    api.s3.create_bucket(Bucket="bucket")
    api.s3.put_object(Bucket="bucket", Key="none", Body=json.dumps(SOUND).encode())


def accept_starts(monkeypatch):
    """Let the API start executions of a state machine that accepts every input."""

    class StepFunctions:
        def start_execution(self, *, input, **_):  # noqa: A002 - boto3's name for it
            assert len(input) < 262_144
            return {"executionArn": "arn:started"}

    monkeypatch.setattr("kalmap_handlers.http.batches.step_functions", StepFunctions)
