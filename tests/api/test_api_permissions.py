"""The API's policies allow what its requests ask of AWS, and nothing else."""

import json
import uuid

import msgspec
import pytest

from kalmap.profile import builtin_profile
from kalmap_cli.local.deploy import read_template
from tests.support.api_function import Api
from tests.support.both_paths import reading
from tests.support.policies import Cloud, Need, covered, grants, record, target_of
from tests.support.template import TEMPLATE
from tests.support.unclaimed_batch import unclaimed_batch

RESOURCES = read_template(TEMPLATE)["Resources"]
ALLOWED = {Need(g.action, target_of(g)) for g in grants(RESOURCES) if g.function == "ApiFunction"}


@pytest.fixture(scope="module")
def used():
    """What the function asked for on every path of the API."""
    needs, answering = set(), []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("kalmap_handlers.http.container._PUBLISH_SECONDS", 0.0)
        api = Api(monkeypatch)
        # The tests call, too, between requests.
        call = api.call

        def note(*args, **options):
            answering.append(True)
            try:
                return call(*args, **options)
            finally:
                answering.pop()

        monkeypatch.setattr(api, "call", note)
        cloud = Cloud.of(RESOURCES, api.bucket, api.tables)
        record(cloud, monkeypatch, lambda client: needs if answering else None)
        measure(api, monkeypatch)
        read_the_secret(api, monkeypatch)
        start_batches(api)
        look_at_batches(api)
    return needs


def measure(api, monkeypatch):
    assert api.post([reading("u-1", 0)]).status == 200
    assert api.post([reading("u-1", 1)]).status == 200
    # A new container reads the users that the first one recorded.
    api.cold_start()
    for hours, key in ((2, "a"), (2, "a"), (3, "b")):
        assert api.post([reading("u-1", hours)], Idempotency_Key=key).status == 200
    mine = msgspec.to_builtins(builtin_profile("body-weight")) | {"name": "mine"}
    body = {"measurements": [reading("u-1", 0)], "profile": mine}
    assert api.call("POST", "/measurements", body).status == 200
    assert api.post([1] * 501, Idempotency_Key="c").status == 413
    assert api.call("GET", "/users/{user_id}", path={"user_id": "u-1"}).status == 200
    with monkeypatch.context() as patch:
        patch.setattr("kalmap.api.measurements.LINK_FROM", 1)
        assert api.post([reading("u-1", 4)]).body["results_url"]


def read_the_secret(api, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("CACHE_SECRET", f"not-there-{uuid.uuid4().hex}")
        api.cold_start()
        assert api.post([reading("u-1", 5)]).status == 200
    api.cold_start()


def start_batches(api):
    def start(source):
        # There is no state machine here: to be asked for one is all that is looked at.
        return api.call("POST", "/batches", {"source": source}).body["code"]

    body = json.dumps(reading("u-1", 0))
    assert start({"records": [reading("u-1", 0)]}) == "internal"
    others = f"others-{uuid.uuid4().hex}"
    api.s3.create_bucket(Bucket=others)
    for bucket in (api.bucket, others):
        versioned = {"Status": "Enabled"}
        api.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioned)
        put = api.s3.put_object(Bucket=bucket, Key="in/a.jsonl", Body=body)
        source = {"bucket": bucket, "key": "in/a.jsonl"}
        assert start(source) == "internal"
        assert start(source | {"version_id": put["VersionId"]}) == "internal"
        assert start({"bucket": bucket, "prefix": "in/"}) == "internal"
        assert start({"bucket": bucket, "key": "in/none.jsonl"}) == "not_found"
    assert api.call("POST", "/batches/uploads").status == 201


def look_at_batches(api):
    batch_id = "a" * 32
    at = {"path": {"batch_id": batch_id}}
    assert api.call("GET", "/batches/{batch_id}", **at).status == 404
    key, content = unclaimed_batch("b" * 32, "e")
    api.s3.put_object(Bucket=api.bucket, Key=key, Body=content)
    never_began = api.call("GET", "/batches/{batch_id}", path={"batch_id": "b" * 32})
    assert never_began.body["status"] == "FAILED"
    item = {
        "batch_id": batch_id,
        "execution": "e",
        "prefix": f"batches/{batch_id}/e",
        "profile": "body-weight",
        "started_at": "2026-03-01T00:00:00Z",
        "status": "FAILED",
    }
    api.dynamodb.put_item(
        TableName=api.tables["BatchesTable"],
        Item={name: {"S": value} for name, value in item.items()},
    )
    assert api.call("GET", "/batches").status == 200
    assert api.call("GET", "/batches/{batch_id}", **at).status == 200
    assert api.call("GET", "/batches/{batch_id}/results", **at).status == 404
    api.s3.put_object(Bucket=api.bucket, Key=f"{item['prefix']}/summary.json", Body=b"{}")
    assert api.call("GET", "/batches/{batch_id}", **at).body["links"]["summary"]


def test_the_api_has_every_permission_that_it_used(used):
    assert {need for need in used if not covered(need, ALLOWED)} == set()


def test_the_api_has_no_permission_that_it_never_uses(used):
    assert sorted(ALLOWED - used) == []
