"""The API's function under its role, which the local cloud enforces when told to."""

import contextlib
import copy
import json
from types import SimpleNamespace

import pytest
import urllib3

from tests.e2e.signed import Client
from tests.e2e.test_roles import guarded, role_of  # noqa: F401 - a fixture, of this module too
from tests.online.ways import reading

ONE = {"measurements": [reading("u-role", 0)]}
RECORDS = {"source": {"records": [reading("u-role", 0)]}}


@pytest.fixture(scope="module")
def stack(guarded):  # noqa: F811 - the fixture
    # The local cloud speaks plain HTTP, which the bucket's policy forbids to everybody.
    guarded.client("s3").delete_bucket_policy(Bucket=guarded.bucket)
    # AWS asks for dynamodb:PartiQLInsert and PartiQLUpdate; the local cloud for what AWS has not.
    allow = {"Effect": "Allow", "Action": "dynamodb:BatchExecuteStatement", "Resource": "*"}
    guarded.client("iam").put_role_policy(
        RoleName=role_of(guarded, "ApiFunction"),
        PolicyName="local-cloud-only",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    return guarded


@pytest.fixture(scope="module")
def api(stack):
    endpoint = stack.client("s3").meta.endpoint_url
    return Client(SimpleNamespace(clients=stack.client, endpoint=endpoint))


@contextlib.contextmanager
def without(stack, action, resource):
    """The function's role while one action on one kind of resource is taken out of it."""
    iam, role = stack.client("iam"), role_of(stack, "ApiFunction")
    changed = {}
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        less = copy.deepcopy(policy)
        for statement in less["Statement"]:
            actions, resources = as_list(statement["Action"]), as_list(statement["Resource"])
            if action in actions and any(resource in arn for arn in resources):
                kept = [arn for arn in resources if resource not in arn]
                if kept:
                    statement["Resource"] = kept
                else:
                    statement["Action"] = [a for a in actions if a != action] or ["s3:nothing"]
        if less != policy:
            changed[name] = policy
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(less))
    assert changed, f"the role has no {action} on {resource}"
    yield
    for name, policy in changed.items():
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


def as_list(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    ("action", "resource", "method", "path", "body", "header"),
    [
        ("dynamodb:BatchGetItem", "StatesTable", "POST", "/measurements", ONE, {}),
        ("dynamodb:GetItem", "StatesTable", "GET", "/users/u-role", None, {}),
        ("dynamodb:Scan", "BatchesTable", "GET", "/batches", None, {}),
        ("dynamodb:GetItem", "BatchesTable", "GET", f"/batches/{'0' * 32}", None, {}),
        ("dynamodb:PutItem", "IdempotencyTable", "POST", "/measurements", ONE, {"key": "put"}),
        ("dynamodb:UpdateItem", "IdempotencyTable", "POST", "/measurements", ONE, {"key": "set"}),
        ("s3:PutObject", "/inline/", "POST", "/batches", RECORDS, {}),
        ("states:StartExecution", "filter-batch", "POST", "/batches", RECORDS, {}),
    ],
)
def test_each_permission_is_needed_and_enough(
    stack, api, action, resource, method, path, body, header
):
    def ask(number):
        # New users, records and keys: what was kept or made before needs no permission.
        sent = json.loads(json.dumps(body).replace("u-role", f"u-{number}-{action}"))
        given = {"Idempotency_Key": f"{header['key']}-{number}"} if header else {}
        return api.call(method, path, sent, **given)

    with without(stack, action, resource):
        refused = ask(1)
    assert refused.status in {500, 503}
    assert refused.body["code"] in {"internal", "unavailable"}
    allowed = ask(2)
    assert allowed.status < 300 or (method, allowed.status) == ("GET", 404)


def test_an_uploads_address_puts_where_the_function_itself_may(stack, api):
    def put(place):
        url = api.post("/batches/uploads").body["url"].replace("/incoming/", place)
        return urllib3.request("PUT", url, body=b"x", retries=False).status

    assert put("/incoming/") == 200
    # The signature is for that very key.
    assert put("/elsewhere/") == 403
    with without(stack, "s3:PutObject", "/incoming/"):
        assert put("/incoming/") == 403
