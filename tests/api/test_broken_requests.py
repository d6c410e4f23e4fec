"""Broken and odd requests, always the same ones: a small part of what `make fuzz` sends."""

import copy
import json
import random

import pytest

from tests.fuzz.records import ODD, SOUND, broken

REQUESTS = 1000
#: Sound requests, to be broken. The batch's object is not there: nothing is to be started.
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
TEXTS = [text for text in ODD if isinstance(text, str) and "\ud800" not in text]
IDS = [*TEXTS, "u-17"]
HEADERS = {
    "Idempotency_Key": ["", "k", "k" * 300, "\u00fc", "a b"],
    "Content_Type": ["application/json", "text/csv", "", "application/json; charset=utf-8"],
    "Content_Encoding": ["gzip", "br", ""],
    "Accept_Encoding": ["gzip", "*;q=0", ","],
}


def changed(body, chance):
    """The body with a value somewhere in it replaced, taken out, or doubled."""
    body = copy.deepcopy(body)
    place = body
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            return body
        at = chance.choice(list(keys))
        if not isinstance(place[at], dict | list) or chance.random() < 0.3:
            break
        place = place[at]
    match chance.choice(("replace", "replace", "drop", "add")):
        case "replace":
            place[at] = chance.choice(ODD)
        case "drop":
            del place[at]
        case "add" if isinstance(place, dict):
            place[chance.choice(TEXTS)] = place[at]
        case "add":
            place.append(place[at])
    return body


def a_body(route, chance):
    body = BODIES[route]
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        body = changed(body, chance)
    raw = json.dumps(body).encode()
    return broken(raw, chance) if chance.random() < 0.3 else raw


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_request_however_broken_is_answered_by_a_fault_of_ours(api, seed):
    chance = random.Random(seed)
    answered = set()
    for _ in range(REQUESTS):
        headers = {
            name: chance.choice(odd) for name, odd in HEADERS.items() if chance.random() < 0.15
        }
        if chance.random() < 0.6:
            route = chance.choice(list(BODIES))
            told = api.call("POST", route, raw=a_body(route, chance), **headers)
        else:
            route = chance.choice(list(QUERIES))
            query = {name: chance.choice(TEXTS) for name in QUERIES[route] if chance.random() < 0.5}
            path = dict.fromkeys(("batch_id", "user_id"), chance.choice(IDS))
            told = api.call("GET", route, query=query, path=path, **headers)
        answered.add(told.status)
        assert told.status < 500, (route, told.body)
        if told.status >= 400:
            assert set(told.body) == {"code", "message", "field", "request_id"}
            assert told.body["message"].endswith((".", "?"))
    assert answered >= {200, 400, 404}
