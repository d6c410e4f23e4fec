"""Broken and odd requests, always the same ones: a small part of what `make fuzz` sends."""

import random

import pytest

from tests.support.broken_records import SOUND
from tests.support.broken_requests import BODIES, accept_starts, put_object, send

REQUESTS = 700


@pytest.fixture
def filled_api(api, monkeypatch):
    """The API with a state machine that takes every start, an object and a state to be found."""
    accept_starts(monkeypatch)
    put_object(api)
    assert api.call("POST", "/measurements", BODIES["/measurements"]).status == 200
    return api


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_broken_requests_never_cause_a_server_error(filled_api, seed):
    chance = random.Random(seed)
    assert {send(filled_api, chance) for _ in range(REQUESTS)} >= {200, 202, 400, 404}


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
def test_invalid_batch_input_is_refused_with_a_sentence(filled_api, body):
    response = filled_api.call("POST", "/batches", body)
    assert (response.status, response.body["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("version", ["no version", "0" * 32, "\n", "\x00", "x" * 2000, "\u00fc", 5])
def test_an_invalid_object_version_is_refused(filled_api, version):
    filled_api.s3.put_bucket_versioning(
        Bucket="bucket", VersioningConfiguration={"Status": "Enabled"}
    )
    put_object(filled_api)
    source = {"bucket": "bucket", "key": "none", "version_id": version}
    response = filled_api.call("POST", "/batches", {"source": source})
    assert response.status in {400, 404}


@pytest.mark.parametrize(
    "at", ["2026-03-02t00:00:00z", "2026-03-02T00:00:00z", "9999-12-31T23:59:59Z"]
)
def test_a_time_may_be_in_lower_case_and_far_in_the_future(filled_api, at):
    response = filled_api.call(
        "GET", "/users/{user_id}", path={"user_id": "u-18"}, query={"at": at}
    )
    assert response.status == 200
