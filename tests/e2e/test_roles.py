"""Each step under its role, which the local cloud enforces in this test.

Steps are tried with the very events of batches that ran, one permission taken away at a time;
a whole batch for each would take minutes. That a step which is refused ends its batch is tried
with the first and the last, and with two that are a Map's children.
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator

import msgspec
import pytest

from kalmap.profile import builtin_profile
from tests.support.deployed_stack import daily_readings
from tests.support.policies import functions
from tests.support.roles_cloud import GRANTS, OTHERS, RESOURCES, Guarded, guarded_stack, is_refusal

STEPS = [name for name in functions(RESOURCES) if name != "ApiFunction"]
#: What the local cloud does not check, and why. Recorded calls are held against these
#: (tests/statemachine/test_permissions.py).
MISSING = (
    "It reports a missing object to every reader. AWS reports it only to a reader that may "
    "also list."
)
PARTIQL = "It asks for dynamodb:BatchExecuteStatement, an action that AWS does not have."
KMS = "It decrypts for every reader."
NOT_ASKED_FOR = {
    **{(g.function, g.action): KMS for g in GRANTS if g.action.startswith("kms:")},
    ("PlanFunction", "s3:ListBucket"): MISSING,
    ("PartitionFunction", "s3:ListBucket"): MISSING,
    ("FailShardFunction", "s3:ListBucket"): MISSING,
    ("PlanShardsFunction", "s3:ListBucket"): MISSING,
    ("FilterFunction", "s3:ListBucket"): MISSING,
    ("LoadFunction", "s3:ListBucket"): MISSING,
    ("WriteFunction", "s3:ListBucket"): MISSING,
    ("WriteFunction", "dynamodb:PartiQLInsert"): PARTIQL,
    ("WriteFunction", "dynamodb:PartiQLUpdate"): PARTIQL,
}
#: A write that was made needs no permission any more: these take a batch that is new.
NEW_BATCHES = {
    ("WriteFunction", "dynamodb:UpdateItem"): "transactional",
    ("WriteFunction", "dynamodb:BatchWriteItem"): "overwrite",
}
#: They find other things to do when the steps before them, or they, have run again.
NOT_THE_SAME_TWICE = {"WriteFunction", "FailShardFunction"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Guarded]:
    with guarded_stack(tmp_path_factory.mktemp("guarded")) as stack:
        yield stack


@pytest.fixture(scope="module")
def events(stack):
    """For each function, what makes the events it got on the pipeline's paths, under its role."""
    requests = defaultdict(list)

    def ran(batch_input):
        execution = stack.run(batch_input)
        assert execution["status"] == "SUCCEEDED", execution.get("cause")
        for function, event in stack.invoked(execution):
            if function in NOT_THE_SAME_TWICE:
                event = stack.apart(event, f"{function}-{event.get('step')}")  # noqa: PLW2901
            requests[function].append(lambda event=event: event)
        return execution

    one = ran({"source": stack.put("in/a.jsonl", daily_readings("pinned"))})
    ran({"source": {"bucket": stack.bucket, "prefix": "in/"}, "write_mode": "transactional"})
    ran(
        {
            "source": {"records": [json.loads(daily_readings("inline", days=1))]},
            "write_mode": "overwrite",
        }
    )
    ran(
        {
            "source": {
                "bucket": OTHERS,
                "prefix": stack.put("a.jsonl", daily_readings("a"), OTHERS)["key"],
            }
        }
    )
    mine = msgspec.to_builtins(builtin_profile("body-weight")) | {"name": "mine"}
    ran({"source": stack.put("in/mine.jsonl", daily_readings("mine")), "profile": mine})
    for bucket in (stack.bucket, OTHERS):
        source = stack.put("in/v.jsonl", daily_readings("v"), bucket)
        version = stack.client("s3").head_object(Bucket=bucket, Key=source["key"])["VersionId"]
        ran({"source": source})
        ran({"source": source | {"version_id": version}, "write_mode": "none"})
    stopped = {"detail": {"name": one["name"], "status": "ABORTED"}}
    requests["ReleaseClaimFunction"].append(lambda: stopped)
    requests["IdentifyFunction"].append(lambda: orphaned(stack, one))
    requests["IdentifyFunction"].append(lambda: with_new_records(one))
    return requests


def with_new_records(execution):
    """An event with new records, because records that were sent before are not stored again."""
    record = json.loads(daily_readings(uuid.uuid4().hex, days=1))
    batch_input = {"source": {"records": [record]}}
    started = execution["startDate"].isoformat()
    return {"input": batch_input, "execution": uuid.uuid4().hex, "started_at": started}


def orphaned(stack, execution):
    """An event of a batch whose claim is held by an execution that no longer exists."""
    key = {"batch_id": {"S": json.loads(execution["output"])["batch_id"]}}
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["BatchesTable"],
        Key=key,
        UpdateExpression="SET #s = :running, execution_arn = :gone",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={
            ":running": {"S": "RUNNING"},
            ":gone": {"S": execution["executionArn"].replace(execution["name"], "gone")},
        },
    )
    batch_input = json.loads(execution["input"])
    started = execution["startDate"].isoformat()
    return {"input": batch_input, "execution": uuid.uuid4().hex, "started_at": started}


def errors(stack, events, function):
    """What each event of a function makes it fail of."""
    return (stack.invoke(function, event()) for event in events[function])


def asked_for(grant):
    return (grant.function, grant.action) not in NOT_ASKED_FOR


OF_STEPS = [grant for grant in GRANTS if grant.function in STEPS]


@pytest.mark.parametrize("function", functions(RESOURCES))
def test_a_deployed_role_allows_what_the_template_says_and_nothing_else(stack, function):
    expected = {
        (g.action, arn, g.only and stack.resolved(g.only))
        for g in GRANTS
        if g.function == function
        for arn in stack.resolved(g.resource).split(",")
    }
    if function == "ReleaseClaimFunction":  # SAM adds what its EventInvokeConfig takes
        expected.add(("sqs:SendMessage", stack.queue("DeadLetterQueue"), None))
    assert stack.allowed(function) == expected


@pytest.mark.parametrize("function", STEPS)
def test_a_step_does_all_its_work_under_its_role(stack, events, function):
    failures = list(errors(stack, events, function))
    assert failures
    assert [error for error in failures if error] == []


@pytest.mark.parametrize("grant", [g for g in OF_STEPS if asked_for(g)], ids=str)
def test_a_step_needs_each_of_its_permissions(stack, events, grant):
    mode = NEW_BATCHES.get((grant.function, grant.action))
    with stack.without(grant):
        if mode:
            source = stack.put(f"in/{mode}.jsonl", daily_readings(mode))
            failures = iter([stack.run({"source": source, "write_mode": mode}).get("cause")])
        else:
            failures = errors(stack, events, grant.function)
        assert any(is_refusal(error, grant) for error in failures)


@pytest.mark.parametrize("function", sorted({f for f, _ in NOT_ASKED_FOR} & {*STEPS}))
def test_the_permissions_that_the_local_cloud_checks_are_tried(stack, events, function):
    taken = [g for g in OF_STEPS if g.function == function and not asked_for(g)]
    with stack.without(*taken):
        assert [error for error in errors(stack, events, function) if error] == []


@pytest.mark.parametrize(
    "function", ["IdentifyFunction", "PartitionFunction", "WriteFunction", "CompleteFunction"]
)
def test_a_step_that_is_refused_ends_its_batch_with_the_reason(stack, function):
    [grant] = [g for g in GRANTS if (g.function, g.action) == (function, "s3:PutObject")
               and g.resource.endswith("/batches/*")]  # fmt: skip
    batch_input = {"source": stack.put(f"in/{function}.jsonl", daily_readings(function))}
    with stack.without(grant):
        execution = stack.run(batch_input)
    assert execution["status"] == "FAILED"
    assert is_refusal(execution["cause"], grant)
    assert f"assumed-role/{stack.role(function)}/" in execution["cause"]


def test_a_failed_batch_is_run_again_under_the_roles(stack):
    [grant] = [
        g for g in GRANTS if (g.function, g.action) == ("LoadFunction", "dynamodb:BatchGetItem")
    ]
    with stack.without(grant):
        execution = stack.run({"source": stack.put("in/again.jsonl", daily_readings("again"))})
    assert execution["status"] == "FAILED"
    assert is_refusal(execution["cause"], grant)
    [event, *_] = [
        event for function, event in stack.invoked(execution) if function == "PlanFunction"
    ]
    again = stack.run({"retry_of": event["batch"]["batch_id"]})
    assert again["status"] == "SUCCEEDED", again.get("cause")
    assert json.loads(again["output"])["accepted"] == 3


def test_the_state_machines_own_role_is_not_enforced_locally(stack):
    # Its statements are held against the definition (tests/contract/test_state_machine.py).
    iam, role = stack.client("iam"), stack.role("StateMachine")
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName=name)
    try:
        execution = stack.run({"source": stack.put("in/machine.jsonl", daily_readings("machine"))})
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    assert execution["status"] == "SUCCEEDED"


def test_the_bucket_refuses_requests_without_tls(stack):
    source = stack.put("in/plain.jsonl", daily_readings("plain"))
    stack.client("s3").put_bucket_policy(Bucket=stack.bucket, Policy=stack.bucket_policy)
    try:
        execution = stack.run({"source": source})
    finally:
        stack.client("s3").delete_bucket_policy(Bucket=stack.bucket)
    assert execution["status"] == "FAILED"
    assert "Forbidden" in execution["cause"]
