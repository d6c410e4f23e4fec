"""The API's function under its role, which the local cloud enforces in this test."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
import urllib3

from kalmap.profile import builtin_profile
from tests.support.both_paths import reading
from tests.support.deployed_stack import daily_readings
from tests.support.policies import target_of
from tests.support.roles_cloud import GRANTS, OTHERS, Guarded, guarded_stack
from tests.support.signed_client import Client
from tests.support.unclaimed_batch import unclaimed_batch


def permission(grant):
    return grant.action, target_of(grant)


OF_THE_API = [grant for grant in GRANTS if grant.function == "ApiFunction"]
#: What the local cloud does not refuse, and why; recorded calls are held against these
#: (tests/api/test_api_permissions.py).
NOT_TRIED = {
    ("dynamodb:PartiQLInsert", "StatesTable"): "It asks for an action that AWS does not have.",
    ("dynamodb:PartiQLUpdate", "StatesTable"): "It asks for an action that AWS does not have.",
    **{permission(g): "It uses a key for everybody." for g in OF_THE_API if "kms:" in g.action},
    ("secretsmanager:GetSecretValue", "CacheSecret"): "Only logged if refused.",
    ("s3:PutObject", "cache"): "Done by containers of five minutes, and only logged if refused.",
}


class Caller:
    """Asks what needs one permission; each time with a new name, as of what is new to the API."""

    def __init__(self, stack: Guarded) -> None:
        self._stack = stack
        self._api = Client(stack.cloud)
        self.name = ""

    def call(self, method: str, path: str, body: object = None, **headers: str) -> int:
        self.response = self._api.call(method, path, body, **headers)
        return self.response.status

    def measure(self, readings: int = 1, **headers: str) -> int:
        """Measurements of a user."""
        sent = [reading(self.name, hour) for hour in range(readings)]
        return self.call("POST", "/measurements", {"measurements": sent}, **headers)

    def measure_with_a_profile(self) -> int:
        """Measurements under a profile that is new here."""
        mine = msgspec.to_builtins(builtin_profile("body-weight")) | {"name": self.name}
        body = {"measurements": [reading(self.name, 0)], "profile": mine}
        return self.call("POST", "/measurements", body)

    def measure_once(self) -> int:
        """Measurements with a key."""
        return self.measure(Idempotency_Key=self.name)

    def measure_wrongly_once(self) -> int:
        """A request that is wrong and gives its key back."""
        return self.call("POST", "/measurements", {"measurements": 1}, Idempotency_Key=self.name)

    def start(self) -> int:
        """A batch of records sent along."""
        records = [reading(self.name, 0)]
        return self.call("POST", "/batches", {"source": {"records": records}})

    def start_of(self, bucket: str, *, by: str) -> int:
        """A batch of what lies in a bucket."""
        source = self._stack.put(f"in/{self.name}.jsonl", daily_readings(self.name), bucket)
        head = self._stack.client("s3").head_object(Bucket=bucket, Key=source["key"])
        batch_input: dict[str, Any] = {
            "key": source,
            "version": source | {"version_id": head["VersionId"]},
            "prefix": {"bucket": bucket, "prefix": source["key"]},
        }[by]
        return self.call("POST", "/batches", {"source": batch_input})

    def look_at_an_unclaimed_batch(self) -> int:
        """A batch that was identified long ago, and that no execution has claimed."""
        key, content = unclaimed_batch(self.name, "e")
        self._stack.client("s3").put_object(Bucket=self._stack.bucket, Key=key, Body=content)
        return self.call("GET", f"/batches/{self.name}")

    def upload(self, place: str = "/incoming/") -> int:
        """A file put where the API signed an address for."""
        self.call("POST", "/batches/uploads")
        url = self.response.body["url"].replace("/incoming/", place)
        return int(
            urllib3.request("PUT", url, body=daily_readings(self.name), retries=False).status
        )


class Way(NamedTuple):
    """A request that needs a permission: how it is answered without it, and with it."""

    ask: Callable[[Caller], int]
    refused: int
    answered: int


def own(by: str) -> Way:
    return Way(lambda caller: caller.start_of(caller._stack.bucket, by=by), 400, 202)


def others(by: str) -> Way:
    return Way(lambda caller: caller.start_of(OTHERS, by=by), 400, 202)


WAYS = {
    ("s3:PutObject", "batches"): Way(Caller.start, 500, 202),
    ("s3:PutObject", "inline"): Way(Caller.start, 500, 202),
    ("s3:PutObject", "incoming"): Way(Caller.upload, 403, 200),
    ("s3:PutObject", "answers"): Way(lambda caller: caller.measure(4500), 500, 200),
    ("s3:PutObject", "profiles"): Way(Caller.measure_with_a_profile, 500, 200),
    ("s3:GetObject", "*"): own(by="key"),
    ("s3:GetObjectVersion", "*"): own(by="version"),
    ("s3:ListBucket", "*"): own(by="prefix"),
    ("s3:GetObject", "InputBucket"): others(by="key"),
    ("s3:GetObjectVersion", "InputBucket"): others(by="version"),
    ("s3:ListBucket", "InputBucket"): others(by="prefix"),
    ("dynamodb:BatchGetItem", "StatesTable"): Way(Caller.measure, 503, 200),
    ("dynamodb:GetItem", "StatesTable"): Way(lambda c: c.call("GET", f"/users/{c.name}"), 503, 404),
    ("dynamodb:Query", "BatchesTable/index/by-start"): Way(
        lambda c: c.call("GET", "/batches"), 500, 200
    ),
    ("dynamodb:GetItem", "BatchesTable"): Way(Caller.start, 500, 202),
    ("dynamodb:PutItem", "IdempotencyTable"): Way(Caller.measure_once, 500, 200),
    ("dynamodb:UpdateItem", "IdempotencyTable"): Way(Caller.measure_once, 500, 200),
    ("dynamodb:DeleteItem", "IdempotencyTable"): Way(Caller.measure_wrongly_once, 500, 400),
    ("states:StartExecution", "filter-batch"): Way(Caller.start, 500, 202),
    ("states:DescribeExecution", "filter-batch"): Way(Caller.look_at_an_unclaimed_batch, 500, 200),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Guarded]:
    with guarded_stack(tmp_path_factory.mktemp("guarded-api")) as stack:
        yield stack


@pytest.fixture
def caller(stack):
    caller = Caller(stack)
    caller.name = uuid.uuid4().hex
    return caller


def test_every_path_works_under_the_role(stack, caller):
    assert caller.measure() == 200
    assert caller.call("GET", f"/users/{caller.name}") == 200
    assert caller.measure_once() == 200
    assert caller.measure_once() == 200
    assert caller.call("GET", "/health") == 200
    assert caller.call("GET", "/openapi.json") == 200
    caller.name = uuid.uuid4().hex
    assert caller.start() == 202
    batch = caller.response.body["status_url"]
    deadline = time.monotonic() + 60
    while caller.call("GET", batch) == 200 and caller.response.body["status"] != "SUCCEEDED":
        assert caller.response.body["status"] != "FAILED", caller.response
        assert time.monotonic() < deadline
        time.sleep(0.5)
    [link] = caller.response.body["links"]["results"]
    assert json.loads(urllib3.request("GET", link, retries=False).data)["status"] == "accepted"
    assert caller.call("GET", f"{batch}/results") == 200
    assert len(caller.response.body["results"]) == 1
    assert caller.call("GET", "/batches") == 200
    assert caller.upload() == 200
    [ended] = stack.ended(caller.response.body["key"])
    assert ended["status"] == "SUCCEEDED", ended.get("cause")


@pytest.mark.parametrize(
    "grant", [g for g in OF_THE_API if permission(g) not in NOT_TRIED], ids=str
)
def test_the_api_needs_each_of_its_permissions(stack, caller, grant):
    assert permission(grant) in WAYS, "There is no request here that needs this permission."
    way = WAYS[permission(grant)]
    with stack.without(grant):
        assert way.ask(caller) == way.refused, caller.response
    if way.refused == 400:
        assert "kalmap may not read this source" in caller.response.body["message"]
    caller.name = uuid.uuid4().hex
    assert way.ask(caller) == way.answered, caller.response
    # That it was started is enough.
    if way.answered == 202:
        stack.client("stepfunctions").stop_execution(
            executionArn=caller.response.body["execution_arn"]
        )


def test_permissions_not_tried_here_are_in_the_template(stack):
    assert {permission(g) for g in OF_THE_API} == set(WAYS) | set(NOT_TRIED)


def test_an_upload_url_is_valid_only_for_its_own_key(caller):
    assert caller.upload("/elsewhere/") == 403
