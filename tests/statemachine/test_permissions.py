"""Each function's policies allow what its work asks of AWS, and nothing else."""

import json

import msgspec
import pytest

from kalmap.profile import builtin_profile
from tests.support.moto_engine import deployed
from tests.support.policies import Need, covered, functions, grants, key_of, target_of
from tests.support.recorded_calls import recorded
from tests.support.statemachine_batches import always, batch, other_writer, readings

#: Its calls are recorded by tests/api/test_api_permissions.py.
API = "ApiFunction"
OTHERS = "others"
#: What Lambda itself asks for under a function's role, when it sends a failed event to a queue.
BY_LAMBDA = {
    "ReleaseClaimFunction": {
        Need("kms:GenerateDataKey", key_of("DeadLetterQueue")),
        Need("kms:Decrypt", key_of("DeadLetterQueue")),
    }
}


@pytest.fixture(scope="module")
def used():
    """Every path of the pipeline, and what each function asked for on it."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        deployed(monkeypatch) as engine,
        recorded(engine, monkeypatch) as used,
    ):
        engine.s3.put_bucket_versioning(
            Bucket="work", VersioningConfiguration={"Status": "Enabled"}
        )
        engine.s3.create_bucket(Bucket=OTHERS)
        go_well(engine)
        are_claimed(engine)
        meet_conflicts(engine)
        fail(engine)
        lose_their_input(engine)
        # What was made to fail said so; nothing else went wrong.
        expected = {"ValueError", "InputChanged", "InputNotFound", "ChunkFailed"}
        assert {error.split(": ")[1] for error in engine.errors} == expected
        yield engine.template, used


def go_well(engine):
    def run(source, **options):
        ended = engine.run(batch(source, **options))
        assert ended["status"] == "SUCCEEDED", ended["cause"]

    run(engine.put("in/a.jsonl", readings(days=2)))
    run({"bucket": "work", "prefix": "in/"}, write_mode="transactional")
    run({"records": readings(days=3)}, write_mode="transactional")
    mine = msgspec.to_builtins(builtin_profile("body-weight")) | {"name": "mine"}
    run({"records": readings(days=3)}, profile=mine)
    run({"records": readings(days=4)}, write_mode="overwrite")
    run({"records": readings(users=9, days=4)}, write_mode="transactional")
    dropped = engine.put("incoming/a.jsonl", readings(days=4))
    version = engine.s3.head_object(Bucket="work", Key=dropped["key"])["VersionId"]
    item = {"key": dropped["key"], "version-id": version}
    event = {"source": "aws.s3", "detail": {"bucket": {"name": "work"}, "object": item}}
    assert engine.run(event)["status"] == "SUCCEEDED"
    run(others(engine, "a.jsonl", versioned=False))
    run({"bucket": OTHERS, "prefix": "a"}, write_mode="none")
    for source in (
        engine.put("in/v.jsonl", readings(days=2)),
        others(engine, "v.jsonl", versioned=True),
    ):
        run(source)
        head = engine.s3.head_object(Bucket=source["bucket"], Key=source["key"])
        run(source | {"version_id": head["VersionId"]}, write_mode="none")


def others(engine, key, *, versioned):
    """An object in another owner's bucket."""
    status = {"Status": "Enabled" if versioned else "Suspended"}
    engine.s3.put_bucket_versioning(Bucket=OTHERS, VersioningConfiguration=status)
    engine.s3.put_object(Bucket=OTHERS, Key=key, Body=lines(readings(days=2)))
    return {"bucket": OTHERS, "key": key}


def lines(measurements):
    return "\n".join(map(json.dumps, measurements))


def are_claimed(engine):
    """A claim of an execution that no longer exists, and one of an execution that ended."""
    again = engine.put("in/again.jsonl", readings(days=4))
    batch_id = engine.run(batch(again))["output"]["batch_id"]
    orphan = engine.record(batch_id) | {
        "status": "RUNNING",
        "execution_arn": f"{engine.machine.replace('stateMachine', 'execution')}:gone",
    }
    engine.dynamodb.put_item(
        TableName=engine.tables["BatchesTable"],
        Item={name: {"S": str(value)} for name, value in orphan.items()},
    )
    assert engine.run(batch(again))["output"]["received"] == 32
    held = {"batch_id": {"S": "held"}, "execution": {"S": "e"}, "status": {"S": "RUNNING"}}
    table = engine.tables["BatchesTable"]
    engine.dynamodb.put_item(TableName=table, Item=held)
    engine.invoke("ReleaseClaimFunction", {"detail": {"name": "e", "status": "ABORTED"}})
    engine.dynamodb.delete_item(TableName=table, Key={"batch_id": {"S": "held"}})


def meet_conflicts(engine):
    """One that is gone in the next round, and one that never goes."""

    def conflict(function, event, number):
        if function == "WriteFunction" and (lasting or event["round"] == 0):
            other_writer(engine, ["user-1", "user-new"])

    # Few enough for one shard: no other writes at the same time.
    engine.fault = conflict
    for lasting, start in ((False, 10), (True, 20)):
        selection = readings(users=2, days=2, start=start)
        new = selection[1] | {"user_id": "user-new"}
        ended = engine.run(batch(engine.put(f"in/{start}.jsonl", [*selection, new])))
        assert ended["output"]["accepted"] == (2 if lasting else 5)
    engine.fault = None


def fail(engine):
    """Steps that fail, and of which not even that could be recorded."""
    for steps in (["Partition"], ["Filter"], ["Write"], ["Partition", "FailShard"],
                  ["Load", "FailShard"]):  # fmt: skip
        engine.fault = cannot(*steps)
        ended = engine.run(batch(engine.put(f"in/{'-'.join(steps)}.jsonl", readings(days=6))))
        assert ended["status"] == "FAILED"
    engine.fault = always("PartitionFunction")
    others(engine, "b.jsonl", versioned=False)
    for source in ({"bucket": "work", "prefix": "in/"}, {"bucket": OTHERS, "prefix": "b"},
                   others(engine, "w.jsonl", versioned=True)):  # fmt: skip
        assert engine.run(batch(source))["status"] == "FAILED"
    engine.fault = None
    failed = [b for b in engine.batches() if engine.record(b)["status"] == "FAILED"]
    engine.run({"retry_of": failed[0]})


def cannot(*steps):
    faults = [always(f"{step}Function") for step in steps]

    def fault(function, event, number):
        for each in faults:
            each(function, event, number)

    return fault


def lose_their_input(engine):
    """Objects that are gone when a step comes to read them."""
    for bucket in ("work", OTHERS):
        for step in ("Plan", "Partition"):
            key = f"lost/{step}.jsonl"
            engine.s3.put_object(Bucket=bucket, Key=key, Body=lines(readings(days=1)))

            def lose(function, event, number, step=step, bucket=bucket, key=key):
                if function == f"{step}Function":
                    engine.s3.delete_object(Bucket=bucket, Key=key)

            engine.fault = lose
            ended = engine.run(batch({"bucket": bucket, "prefix": key}))
            engine.fault = None
            assert ended["status"] == "FAILED"
            assert "It existed when the batch began" in ended["cause"]


def test_every_function_has_every_permission_that_it_used(used):
    template, asked = used
    for function, needs in asked.items():
        granted = allowed(template, function)
        assert {need for need in needs if not covered(need, granted)} == set(), function


def test_no_function_has_a_permission_that_it_never_uses(used):
    template, asked = used
    assert set(asked) == set(functions(template)) - {API}
    idle = {
        function: allowed(template, function) - asked[function] - BY_LAMBDA.get(function, set())
        for function in asked
    }
    assert {function: sorted(unused) for function, unused in idle.items() if unused} == {}


def test_no_function_has_the_same_right_twice(used):
    template, _ = used
    for function in functions(template):
        granted = allowed(template, function)
        assert len(granted) == len([g for g in grants(template) if g.function == function])
        for need in granted:
            assert need.target == "*" or not covered(need, granted - {need}), function


def allowed(template, function):
    return {Need(g.action, target_of(g)) for g in grants(template) if g.function == function}
