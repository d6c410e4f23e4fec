"""The deployed functions under their roles, which the local cloud enforces when told to."""

import json
import time

import pytest

from kalmap_cli import cloud as cloud_module
from kalmap_cli.cloud import LocalCloud
from kalmap_cli.data_dir import DataDirectory
from kalmap_cli.deploy import deploy
from kalmap_cli.run import local_parameters
from tests.e2e.test_events import Stack, lines


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A stack on a local cloud that enforces roles and bucket policies."""
    inherited = cloud_module._environment
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            cloud_module,
            "_environment",
            lambda data, port: (
                inherited(data, port)
                | {"AUTH": "true", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
            ),
        )
        directory = tmp_path_factory.mktemp("guarded")
        with DataDirectory(directory) as data, LocalCloud(data, idle=30.0) as cloud:
            deploy(cloud.clients, local_parameters())
            yield Stack(cloud)


def run(stack, name):
    key = f"in/{name}.jsonl"
    stack.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=lines(name))
    states = stack.client("stepfunctions")
    given = {"source": {"bucket": stack.bucket, "key": key}}
    arn = states.start_execution(
        stateMachineArn=stack.outputs["StateMachineArn"], input=json.dumps(given)
    )["executionArn"]
    while (found := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.1)
    return found


def role_of(stack, function):
    resources = stack.client("cloudformation").describe_stack_resources(StackName="kalmap")
    [role] = [
        r["PhysicalResourceId"]
        for r in resources["StackResources"]
        if r["LogicalResourceId"] == f"{function}Role"
    ]
    return role


def test_without_tls_the_bucket_refuses_everybody_and_with_its_roles_everything_works(guarded):
    # The local cloud speaks plain HTTP, so the bucket's policy must refuse the functions...
    found = run(guarded, "plain")
    assert found["status"] == "FAILED"
    assert "Forbidden" in found["cause"]
    # ...and without that policy, only the roles stand.
    guarded.client("s3").delete_bucket_policy(Bucket=guarded.bucket)
    # AWS asks PartiQL's senders for dynamodb:PartiQLInsert and PartiQLUpdate, which the role
    # has; the local cloud asks for an action that AWS does not know.
    guarded.client("iam").put_role_policy(
        RoleName=role_of(guarded, "WriteFunction"),
        PolicyName="local-cloud-only",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": "dynamodb:BatchExecuteStatement",
                        "Resource": "*",
                    }
                ],
            }
        ),
    )
    found = run(guarded, "roles")
    assert found["status"] == "SUCCEEDED", found.get("cause")
    assert json.loads(found["output"])["accepted"] == 3


@pytest.mark.parametrize(
    ("function", "action"),
    [("LoadFunction", "dynamodb:BatchGetItem"), ("CompleteFunction", "dynamodb:UpdateItem")],
)
def test_without_a_permission_the_step_that_needs_it_is_refused(guarded, function, action):
    iam, role = guarded.client("iam"), role_of(guarded, function)
    [name] = [
        name
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        if action in str(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    ]
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName=name)
    try:
        found = run(guarded, f"without-{function}")
        assert found["status"] == "FAILED"
        assert action in found["cause"]
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
    assert run(guarded, f"with-{function}")["status"] == "SUCCEEDED"
