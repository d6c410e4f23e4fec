"""Batches from a dropped file, an event or a schedule, and how they end."""

import json
import time
from datetime import UTC, datetime

import pytest

from kalmap_cli.deployment import local_parameters
from kalmap_cli.errors import RunFailed
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import STACK, deploy
from tests.support.deployed_stack import PATIENCE, Stack, daily_readings


@pytest.fixture
def stack(shared):
    return Stack(shared.cloud)


def output(execution):
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    return json.loads(execution["output"])


def test_a_file_dropped_under_incoming_is_a_batch(stack):
    stack.client("s3").put_object(
        Bucket=stack.bucket, Key="incoming/dropped.jsonl", Body=daily_readings("dropped")
    )
    [execution] = stack.ended("incoming/dropped.jsonl")
    assert output(execution)["accepted"] == 3


def test_a_file_under_another_prefix_starts_no_batch(stack):
    stack.client("s3").put_object(
        Bucket=stack.bucket, Key="elsewhere/x.jsonl", Body=daily_readings("else")
    )
    stack.client("s3").put_object(
        Bucket=stack.bucket, Key="incoming/y.jsonl", Body=daily_readings("here")
    )
    stack.ended("incoming/y.jsonl")
    assert stack.executions("elsewhere/x.jsonl") == []


def test_an_event_requests_a_batch_and_the_same_event_again_makes_no_second(stack):
    key = "events/requested.jsonl"
    stack.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=daily_readings("requested"))
    entry = {
        "Source": "kalmap",
        "DetailType": "Batch Requested",
        "Detail": json.dumps({"stack": STACK, "source": {"bucket": stack.bucket, "key": key}}),
    }
    stack.client("events").put_events(Entries=[entry, entry])
    first, second = sorted(map(output, stack.ended(key, count=2)), key=len)
    assert ("accepted" in first) != ("accepted" in second)
    claimed = first if "first" in first else second
    assert claimed["first"]["execution_arn"]
    ran = second if claimed is first else first
    assert ran["accepted"] == 3


def test_a_stopped_execution_releases_its_claim_and_leaves_a_message(stack):
    key = "events/stopped.jsonl"
    stack.client("s3").put_object(Bucket=stack.bucket, Key=key, Body=daily_readings("stopped"))
    states = stack.client("stepfunctions")
    batch_input = {"source": {"bucket": stack.bucket, "key": key}}

    def start():
        return states.start_execution(
            stateMachineArn=stack.outputs["StateMachineArn"], input=json.dumps(batch_input)
        )["executionArn"]

    arn = start()
    deadline = time.monotonic() + PATIENCE
    while "PlanBatch" not in str(states.get_execution_history(executionArn=arn)["events"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    states.stop_execution(executionArn=arn)
    history = states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    [identified] = [
        json.loads(e["stateExitedEventDetails"]["output"])
        for e in history
        if e.get("stateExitedEventDetails", {}).get("name") == "IdentifyBatch"
    ]
    batch_id = identified["batch"]["batch_id"]
    while stack.record(batch_id)["status"]["S"] != "FAILED":
        assert time.monotonic() < deadline, "the claim is not released"
        time.sleep(0.1)
    assert "Start the same batch again" in stack.record(batch_id)["reason"]["S"]
    again = start()
    while (execution := states.describe_execution(executionArn=again))["status"] == "RUNNING":
        time.sleep(0.1)
    assert output(execution)["accepted"] == 3
    messages = stack.client("sqs").receive_message(
        QueueUrl=stack.outputs["FailedBatchesQueue"], MaxNumberOfMessages=10, WaitTimeSeconds=5
    )
    assert any(arn in message["Body"] for message in messages["Messages"])


def test_a_schedule_runs_what_lies_below_its_prefix(tmp_path):
    parameters = local_parameters() | {"Schedule": "rate(1 minute)", "SchedulePrefix": "nightly/"}
    with DataDirectory(tmp_path) as data, LocalCloud(data) as cloud:
        with pytest.raises(RunFailed, match="ScheduleDays - how many days of files a run reads"):
            deploy(cloud.clients, parameters)
        deploy(cloud.clients, parameters | {"ScheduleDays": "2"})
        stack = Stack(cloud)
        stack.client("s3").put_object(
            Bucket=stack.bucket, Key="nightly/a.jsonl", Body=daily_readings("nightly")
        )
        rules = stack.client("events").list_rules()["Rules"]
        [rule] = [r for r in rules if r.get("ScheduleExpression") == "rate(1 minute)"]
        [target] = stack.client("events").list_targets_by_rule(Rule=rule["Name"])["Targets"]
        assert target["Arn"] == stack.outputs["StateMachineArn"]
        # What the rule sends at its time; waiting for the minute would test only the clock.
        sent = target["InputTransformer"]
        assert sent["InputPathsMap"] == {"time": "$.time"}
        # A rule's time has no fractions of a second: it must not lie before the file's.
        time.sleep(1.1)
        time_of_the_rule = json.dumps(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        states = stack.client("stepfunctions")
        execution_input = sent["InputTemplate"].replace("<time>", time_of_the_rule)
        states.start_execution(stateMachineArn=target["Arn"], input=execution_input)
        [execution] = stack.ended("nightly/")[:1]
        assert output(execution)["accepted"] == 3
