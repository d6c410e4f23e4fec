"""Each function's policies allow what its work asks of AWS, and nothing else."""

import pytest

from tests.statemachine.batches import always, batch, other_writer, readings
from tests.statemachine.engine import deployed
from tests.statemachine.permissions import allowed, recorded

#: Called by the API, or by the platform, and not by this state machine.
OTHERS_TEST_THEM = {"ApiFunction"}


@pytest.fixture(scope="module")
def used():
    """Every path of the pipeline, and what each function asked for on it."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        deployed(monkeypatch) as engine,
        recorded(engine, monkeypatch) as used,
    ):
        monkeypatch.setattr("kalmap.pipeline.aggregate.random.randint", lambda low, high: 0)
        engine.s3.put_bucket_versioning(
            Bucket="work", VersioningConfiguration={"Status": "Enabled"}
        )
        engine.run(batch(engine.put("in/a.jsonl", readings(days=2))))
        engine.run(batch({"bucket": "work", "prefix": "in/"}, write_mode="transactional"))
        engine.run(batch({"records": readings(days=3)}, write_mode="transactional"))
        engine.run(batch({"records": readings(days=4)}, write_mode="overwrite"))
        engine.run(batch({"records": readings(users=9, days=4)}, write_mode="transactional"))
        dropped = engine.put("incoming/a.jsonl", readings(days=4))
        version = engine.s3.head_object(Bucket="work", Key=dropped["key"])["VersionId"]
        item = {"key": dropped["key"], "version-id": version}
        event = {"source": "aws.s3", "detail": {"bucket": {"name": "work"}, "object": item}}
        assert engine.run(event)["status"] == "SUCCEEDED"
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
        moved = []

        def conflict(function, event, number):
            if function == "WriteFunction" and not moved:
                moved.append(True)
                other_writer(engine, ["user-1", "user-new"])

        engine.fault = conflict
        new = [line | {"user_id": "user-new"} for line in readings(users=1, days=1)]
        engine.run(batch(engine.put("in/b.jsonl", readings(days=5) + new)))
        for step in ("Partition", "Filter", "Write"):
            engine.fault = always(f"{step}Function")
            ended = engine.run(batch(engine.put(f"in/{step}.jsonl", readings(days=6))))
            assert ended["status"] == "FAILED"
        engine.fault = always("PartitionFunction")
        assert engine.run(batch({"bucket": "work", "prefix": "in/"}))["status"] == "FAILED"
        engine.fault = None
        failed = [b for b in engine.batches() if engine.record(b)["status"] == "FAILED"]
        engine.run({"retry_of": failed[0]})
        held = {"batch_id": {"S": "held"}, "execution": {"S": "e"}, "status": {"S": "RUNNING"}}
        engine.dynamodb.put_item(TableName=engine.tables["BatchesTable"], Item=held)
        engine.invoke("ReleaseClaimFunction", {"detail": {"name": "e", "status": "ABORTED"}})
        assert not [error for error in engine.errors if "cannot" not in error]
        yield engine.template, used


def test_every_function_may_do_what_it_did(used):
    template, asked = used
    for function, permissions in asked.items():
        granted = allowed(template, function)
        covered = granted | {(action, where) for action, place in granted if place == "*"
                             for where in ("batches", "inline")}  # fmt: skip
        assert permissions <= covered, function


def test_no_function_may_do_what_it_never_does(used):
    template, asked = used
    functions = {
        name for name, r in template.items() if r["Type"] == "AWS::Serverless::Function"
    } - OTHERS_TEST_THEM
    assert set(asked) == functions
    idle = {function: allowed(template, function) - asked[function] for function in functions}
    assert {function: sorted(unused) for function, unused in idle.items() if unused} == {}
