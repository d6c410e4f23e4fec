"""Fuzz the API's function: bodies of every shape that the code reads, broken and odd requests.

    python -m tests.fuzz.requests [--requests N] [--seed S]

The function runs in this process, on the local cloud's table and bucket, and none of its answers
may be a 5xx; every problem has its one form. `make fuzz` runs it;
`tests/api/test_broken_requests.py` has a small part of it that is always the same.
"""

import argparse
import contextlib
import copy
import gzip
import io
import json
import random
import sys
from collections import Counter

import pytest

import tests.conftest  # noqa: F401
from tests.fuzz.records import ODD, SOUND, broken
from tests.support.api_function import Api
from tests.support.random_inputs import MORE, a_body, changed

REQUESTS = 20_000
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


def put_object(api):
    """What the sound request to start a batch names."""
    api.s3.create_bucket(Bucket="bucket")
    api.s3.put_object(Bucket="bucket", Key="none", Body=json.dumps(SOUND).encode())


def started_by(monkeypatch):
    class StepFunctions:
        def start_execution(self, *, input, **_):  # noqa: A002 - boto3's name for it
            assert len(input) < 262_144
            return {"executionArn": "arn:started"}

    monkeypatch.setattr("handlers.http.batches._step_functions", StepFunctions)


def main(requests: int, seed: int) -> int:
    print(f"The API's function, with seed {seed}", flush=True)
    chance, told = random.Random(seed), Counter()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        started_by(patch)
        api = Api(patch)
        put_object(api)
        for _ in range(requests):
            told[send(api, chance)] += 1
    print(f"{requests:,} requests, none answered by a fault of ours: {dict(sorted(told.items()))}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.requests")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    sys.exit(main(arguments.requests, arguments.seed))
