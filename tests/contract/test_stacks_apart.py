"""Two stacks in one account and region do not react to each other's events, metrics and alarms."""

import json

import pytest
from moto.events.models import EventPattern

from tests.support.template import definition
from tests.support.transformed_template import filled, of_type, transformed

TEMPLATE = transformed(Schedule="rate(1 day)", ScheduleDays="2")
DEV, PROD = "kalmap-dev", "kalmap"
ENDED = "Step Functions Execution Status Change"


def event(source, kind, detail):
    return {"source": source, "detail-type": kind, "detail": detail}


def dropped(stack, key="incoming/a.jsonl", size=120):
    bucket = filled({"Ref": "WorkBucket"}, stack)
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "size": size}}
    return event("aws.s3", "Object Created", detail)


def requested(stack):
    source = {"bucket": "b", "key": "k"}
    return event("kalmap", "Batch Requested", {"stack": stack, "source": source})


def failed(stack):
    machine = filled({"Ref": "FilterBatchStateMachine"}, stack)
    return event("aws.states", ENDED, {"stateMachineArn": machine, "status": "FAILED"})


def patterns(stack):
    rules = of_type(TEMPLATE, "AWS::Events::Rule")
    return {
        name: filled(rule["EventPattern"], stack)
        for name, rule in rules.items()
        if "EventPattern" in rule
    }


def hearing(stack, event):
    """The rules of a stack that an event is for."""
    return {
        name
        for name, pattern in patterns(stack).items()
        if EventPattern(json.dumps(pattern), pattern).matches_event(event)
    }


def test_every_rule_matches_only_events_of_its_own_stack():
    made = (dropped, requested, failed)
    heard = set().union(*(hearing(DEV, make(DEV)) for make in made))
    assert heard == set(patterns(DEV))
    for make in made:
        assert hearing(PROD, make(DEV)) == hearing(DEV, make(PROD)) == set()


def test_an_event_without_a_stack_matches_no_rule():
    event = requested(DEV)
    del event["detail"]["stack"]
    assert hearing(DEV, event) == set()


@pytest.mark.parametrize(("key", "size"), [("incoming/", 0), ("incoming/2026/", 0), ("in/a", 9)])
def test_a_folder_made_in_the_console_starts_no_batch(key, size):
    assert hearing(DEV, dropped(DEV, key, size)) == set()


def test_every_alarm_looks_at_its_own_stack():
    alarms = of_type(TEMPLATE, "AWS::CloudWatch::Alarm").values()
    assert alarms
    for alarm in alarms:
        assert filled(alarm["Dimensions"], DEV) != filled(alarm["Dimensions"], PROD)


def test_every_event_that_is_published_names_its_stack():
    published = [
        entry
        for state in definition()["States"].values()
        for entry in state.get("Parameters", {}).get("Entries", [])
    ]
    assert {entry["DetailType"] for entry in published} == {"Batch Completed", "Batch Failed"}
    assert {entry["Detail"]["stack"] for entry in published} == {"${StackName}"}
    [machine] = of_type(TEMPLATE, "AWS::StepFunctions::StateMachine").values()
    assert machine["DefinitionSubstitutions"]["StackName"] == {"Ref": "AWS::StackName"}


def test_explicit_names_differ_between_stacks():
    for name, resource in TEMPLATE["Resources"].items():
        properties = resource.get("Properties", {})
        for field in ("Name", "LogGroupName", "TableName", "BucketName", "QueueName",
                      "FunctionName", "StateMachineName", "AlarmName", "RoleName"):  # fmt: skip
            if field in properties and resource["Type"] not in NAMED_WITHIN:
                assert filled(properties[field], DEV) != filled(properties[field], PROD), name


#: Their names count within another resource of the stack.
NAMED_WITHIN = {"AWS::ApiGateway::Stage", "AWS::Lambda::Alias"}
