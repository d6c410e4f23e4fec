"""Problems: every refused request is answered in one form."""

import base64
import json
import re

import boto3
import pytest

from kalmap_cli.local.deploy import read_template
from tests.support.api_function import CHICKS, assert_problem
from tests.support.both_paths import reading
from tests.support.template import TEMPLATE


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "measurements"),
        ({"measurements": []}, "measurements"),
        ({"measurements": 5}, "measurements"),
        ({"measurements": [1], "profil": "x"}, "profil"),
        ({"measurements": [1], "profile": 5}, "profile"),
        ({"measurements": [1], "adopt_profile": "yes"}, "adopt_profile"),
        ([], None),
    ],
    ids=str,
)
def test_a_wrong_body_is_refused_with_the_fields_name(api, body, field):
    response = api.call("POST", "/measurements", body)
    assert_problem(response, 400, "invalid_request", field)


@pytest.mark.parametrize("raw", [b"", b" ", b"{", b"\xff", b"[" * 10_000, b"nul"], ids=repr)
def test_what_is_not_json_is_refused(api, raw):
    assert_problem(api.call("POST", "/measurements", raw=raw), 400, "invalid_request")


def test_a_profile_that_is_wrong_or_unknown_is_refused(api):
    for profile in ("no-such", {"name": "x"}, CHICKS | {"slope_prior": -1}):
        body = {"measurements": [1], "profile": profile}
        response = api.call("POST", "/measurements", body)
        assert_problem(response, 400, "invalid_profile", "profile")


def test_files_are_refused_and_referred_to_batches(api):
    for route in ("/measurements", "/batches", "/batches/uploads"):
        response = api.call("POST", route, raw=b"user_id,timestamp\n", Content_Type="text/csv")
        assert_problem(response, 415, "unsupported_media_type")
        assert "/batches/uploads" in response.body["message"]


@pytest.mark.parametrize(
    ("route", "query", "known"),
    [
        ("/users/{user_id}", {"profil": "chicks"}, "profile, at"),
        ("/users/{user_id}", {"at": "2027-01-01T00:00:00Z", "Profile": "x"}, "profile, at"),
        ("/batches", {"status": "FAILED"}, "limit, cursor"),
        ("/health", {"x" * 5000: ""}, "There are none"),
    ],
)
def test_an_unknown_parameter_is_refused(api, route, query, known):
    response = api.call("GET", route, path={"user_id": "u-1"}, query=query)
    name = list(query)[-1]
    assert_problem(response, 400, "invalid_request", name[:200])
    assert known in response.body["message"]
    assert name[:60] in response.body["message"]


def test_signature_parameters_in_the_query_are_ignored(api):
    query = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Signature": "0"}
    assert api.call("GET", "/health", query=query).status == 200
    response = api.call("POST", "/batches/uploads", query={"name": "a.csv"})
    assert_problem(response, 400, "invalid_request", "name")


def test_errors_from_the_gateway_have_the_same_format():
    known = boto3.client("apigateway").meta.service_model.shape_for("GatewayResponseType").enum
    api = read_template(TEMPLATE)["Resources"]["Api"]["Properties"]
    codes = {}
    for kind, response in api["GatewayResponses"].items():
        assert kind in known
        template = response["ResponseTemplates"]["application/json"]
        # What the gateway fills in: a text with its quotation marks, and others without.
        filled = template.replace("$context.error.messageString", '"Forbidden"')
        body = json.loads(re.sub(r"\$context[.\w]+", "x", filled))
        assert set(body) == {"code", "message", "field", "request_id"}
        codes[kind] = body["code"]
    assert codes["REQUEST_TOO_LARGE"] == "too_large"
    assert codes["THROTTLED"] == "too_many_requests"


def test_a_body_that_lambda_would_not_take_is_refused_everywhere(api):
    response = api.call("POST", "/batches", raw=b" " * 4_400_001)
    assert_problem(response, 413, "too_large")
    # Lambda's limit is 6 MB; beside the body there are the headers, at most 10 KB, twice.
    assert len(base64.b64encode(b" " * 4_400_000)) + 2 * 10_240 < 6 * 2**20


def test_a_path_that_does_not_exist_is_not_found(api):
    assert_problem(api.call("GET", "/nothing"), 404, "not_found")


def test_an_unexpected_error_reveals_nothing_of_the_request(api, monkeypatch, log):
    def broken(*_):
        raise ZeroDivisionError("secret user u-123 weighs 77.77")

    monkeypatch.setattr("kalmap_handlers.http.measurements.answer_request", broken)
    response = api.post([reading("u-123", 0, 77.77)])
    assert_problem(response, 500, "internal")
    logged = log.getvalue()
    assert "ZeroDivisionError" in logged
    assert "u-123" not in logged
    assert "77.77" not in logged


def test_a_record_without_its_fields_is_a_problem_and_is_logged(api, log):
    batch_id = "c" * 32
    item = {"batch_id": {"S": batch_id}}
    api.dynamodb.put_item(TableName=api.tables["BatchesTable"], Item=item)
    response = api.call("GET", "/batches/{batch_id}", path={"batch_id": batch_id})
    assert_problem(response, 500, "internal")
    assert batch_id in response.body["message"]
    assert '"error":"BrokenRecord"' in log.getvalue()


def test_a_record_without_its_fields_is_listed_as_broken_and_the_others_are_as_they_are(api):
    started = {"listed": {"S": "batches"}, "started_at": {"S": "2026-03-01T00:00:00Z"}}
    whole = {name: {"S": "e"} for name in ("execution", "prefix")} | {"status": {"S": "FAILED"}}
    for batch_id, fields in (("c" * 32, {}), ("d" * 32, whole)):
        item = {"batch_id": {"S": batch_id}} | started | fields
        api.dynamodb.put_item(TableName=api.tables["BatchesTable"], Item=item)
    response = api.call("GET", "/batches")
    assert response.status == 200
    batches = {batch["batch_id"]: batch for batch in response.body["batches"]}
    assert batches["c" * 32]["status"] == "BROKEN"
    assert "Delete the record" in batches["c" * 32]["reason"]
    assert (batches["d" * 32]["status"], batches["d" * 32]["reason"]) == ("FAILED", None)
