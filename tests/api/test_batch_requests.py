"""The paths below /batches: which sources, uploads and pages are accepted or refused."""

import json
import re

import pytest

from tests.support.api_function import assert_problem
from tests.support.both_paths import reading


def test_an_unknown_batch_is_not_found(api):
    for batch in ("0" * 32, "x", "../../etc", "%2e%2e"):
        for route in ("/batches/{batch_id}", "/batches/{batch_id}/results"):
            response = api.call("GET", route, path={"batch_id": batch})
            assert_problem(response, 404, "not_found")


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"bucket": "b"},
        {"bucket": "b", "key": "k", "prefix": "p"},
        {"key": "k"},
        {"records": []},
        {"records": 5},
        {"records": [5]},
        {"bucket": "", "key": "k"},
        {"bucket": "b/c", "key": "k"},
        {"bucket": "bucket", "key": ""},
        {"bucket": "bucket", "key": "k" * 1025},
        {"bucket": "bucket", "key": "k", "version_id": ""},
        5,
    ],
    ids=str,
)
def test_a_batch_without_a_sound_source_is_refused(api, source):
    response = api.call("POST", "/batches", {"source": source})
    assert_problem(response, 400, "invalid_request", response.body["field"])


@pytest.mark.parametrize(
    "location", ["", "b", "batches/", "batches/0/", "map-runs/", "answers/", "cache/", "profiles/"]
)
def test_kalmaps_own_objects_are_refused_as_a_source(api, location):
    api.s3.put_object(Bucket=api.bucket, Key=f"{location or 'in/'}a.jsonl", Body=b"{}")
    own = {"bucket": api.bucket, "prefix": location}
    response = api.call("POST", "/batches", {"source": own})
    assert_problem(response, 400, "invalid_request", "source.prefix")
    if location.endswith("/"):
        key = {"bucket": api.bucket, "key": f"{location}a.jsonl"}
        response = api.call("POST", "/batches", {"source": key})
        assert_problem(response, 400, "invalid_request", "source.key")
        records = {"records": [reading("u", 0)]}
        response = api.call("POST", "/batches", {"source": records, "profile": key})
        assert_problem(response, 400, "invalid_request", "profile.key")


def test_other_buckets_and_other_prefixes_are_accepted_as_sources(api):
    api.s3.create_bucket(Bucket="elsewhere")
    for bucket, prefix in (("elsewhere", ""), ("elsewhere", "batches/"), (api.bucket, "in/")):
        source = {"bucket": bucket, "prefix": prefix}
        response = api.call("POST", "/batches", {"source": source})
        assert_problem(response, 404, "not_found")


@pytest.mark.parametrize("retry_of", ["", "x", "0" * 33])
def test_a_retry_of_an_invalid_batch_id_is_refused(api, retry_of):
    response = api.call("POST", "/batches", {"retry_of": retry_of})
    assert_problem(response, 400, "invalid_request", "retry_of")
    assert_problem(api.call("POST", "/batches", {"retry_of": "0" * 32}), 404, "not_found")


def test_a_batch_whose_source_does_not_exist_is_not_found(api):
    for source in (
        {"bucket": api.bucket, "key": "none"},
        {"bucket": "no-such-bucket-at-all", "key": "k"},
        {"bucket": api.bucket, "prefix": "none/"},
    ):
        assert_problem(api.call("POST", "/batches", {"source": source}), 404, "not_found")


def test_wrong_page_parameters_are_refused(api):
    for query in ({"limit": "0"}, {"limit": "x"}, {"limit": "99999"}, {"limit": "²"}):
        assert_problem(api.call("GET", "/batches", query=query), 400, "invalid_request", "limit")
    for cursor in ("x", "!!", "AAAA", "ü", "kgAA" * 50):
        response = api.call("GET", "/batches", query={"cursor": cursor})
        assert_problem(response, 400, "invalid_request", "cursor")


def test_an_upload_url_is_under_incoming(api):
    response = api.call("POST", "/batches/uploads", {"name": "weights.csv.gz"})
    assert response.status == 201
    assert re.fullmatch(r"incoming/[0-9a-f]{32}/weights\.csv\.gz", response.body["key"])
    assert api.call("POST", "/batches/uploads").status == 201
    assert response.body["headers"] == {}
    for name in ("", "../x", "a/b", "x" * 200, "a b"):
        assert api.call("POST", "/batches/uploads", {"name": name}).status == 400


def test_an_upload_with_a_mapping_is_signed_with_it(api):
    mapping = {"columns": {"timestamp": "Zeit", "value": "Größe"}, "user": "anna"}
    response = api.call("POST", "/batches/uploads", {"mapping": mapping})
    assert response.status == 201
    [(name, text)] = response.body["headers"].items()
    assert name == "x-amz-meta-kalmap-mapping"
    assert name in response.body["url"]
    assert text.isascii()
    assert json.loads(text) == mapping


def test_a_wrong_mapping_of_an_upload_is_refused(api):
    good = {"columns": {"timestamp": "t", "value": "v"}, "user": "u"}
    for change, field in (
        ({"user": None}, "mapping"),
        ({"tz": "Nowhere"}, "mapping.tz"),
        ({"skip": -1}, "mapping.skip"),
        ({"only": {"x": ["y" * 2500]}}, "mapping"),
    ):
        response = api.call("POST", "/batches/uploads", {"mapping": good | change})
        assert_problem(response, 400, "invalid_request", field)
        assert "source." not in response.body["message"].partition(". ")[0]
    unknown = api.call("POST", "/batches/uploads", {"mapping": good | {"extra": 1}})
    assert unknown.status == 400
