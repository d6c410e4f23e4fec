"""An execution as AWS tells of it: its history has events that the local cloud leaves out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from kalmap_cli.reporting.execution_view import Items, view_execution

BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:kalmap-filter"
EXECUTION = MACHINE.replace("stateMachine", "execution") + ":run-1"
RUN = MACHINE.replace("stateMachine", "mapRun") + "/Filter:1"
ITEM = EXECUTION + "/item"
COUNTS = dict.fromkeys(
    ("pending", "running", "succeeded", "timedOut", "aborted", "resultsWritten"), 0
) | {"failed": 1, "total": 1}


def events(*kinds: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "events": [
            {"timestamp": BEGAN + timedelta(seconds=n), "type": kind, "id": n + 1} | details
            for n, (kind, details) in enumerate(kinds)
        ]
    }


def entered(kind: str, name: str) -> tuple[str, dict[str, Any]]:
    return f"{kind}StateEntered", {"stateEnteredEventDetails": {"name": name}}


def left(kind: str, name: str) -> tuple[str, dict[str, Any]]:
    return f"{kind}StateExited", {"stateExitedEventDetails": {"name": name}}


def failed(error: str) -> tuple[str, dict[str, Any]]:
    details = {"resourceType": "lambda", "resource": "invoke", "error": error}
    return "TaskFailed", {"taskFailedEventDetails": details}


@pytest.fixture
def aws():
    client = boto3.client("stepfunctions", region_name="us-east-1")
    with Stubber(client) as stubbed:
        yield client, stubbed


def test_retries_are_counted_of_tasks_and_of_a_maps_items(aws) -> None:
    client, stubbed = aws
    scheduled = ("TaskScheduled", {})
    ended = {
        "executionArn": EXECUTION, "stateMachineArn": MACHINE, "status": "FAILED",
        "startDate": BEGAN,
    }  # fmt: skip
    stubbed.add_response("describe_execution", ended)
    stubbed.add_response(
        "get_execution_history",
        events(
            ("ExecutionStarted", {}),
            entered("Task", "IdentifyBatch"), scheduled, failed("Lambda.ServiceException"),
            scheduled, ("TaskSucceeded", {}), left("Task", "IdentifyBatch"),
            entered("Map", "FilterUsers"), ("MapRunStarted", {}), left("Map", "FilterUsers"),
            entered("Fail", "BatchFailed"), ("ExecutionFailed", {}),
        ),
    )  # fmt: skip
    run = {
        "executionArn": EXECUTION, "mapRunArn": RUN, "stateMachineArn": MACHINE, "startDate": BEGAN,
    }  # fmt: skip
    stubbed.add_response("list_map_runs", {"mapRuns": [run]})
    described = {
        "mapRunArn": RUN, "executionArn": EXECUTION, "status": "SUCCEEDED", "startDate": BEGAN,
        "maxConcurrency": 40, "toleratedFailurePercentage": 100.0, "toleratedFailureCount": 0,
        "itemCounts": COUNTS, "executionCounts": COUNTS,
    }  # fmt: skip
    stubbed.add_response("describe_map_run", described)
    item = {
        "executionArn": ITEM, "stateMachineArn": MACHINE, "name": "item", "status": "FAILED",
        "startDate": BEGAN,
    }  # fmt: skip
    stubbed.add_response("list_executions", {"executions": [item]})
    stubbed.add_response(
        "get_execution_history",
        events(
            entered("Task", "Filter"), scheduled, failed("States.Timeout"), scheduled,
            failed("States.Timeout"), scheduled, failed("States.Timeout"), left("Task", "Filter"),
            entered("Task", "RecordShardFailure"), scheduled, ("TaskSucceeded", {}),
            left("Task", "RecordShardFailure"), entered("Fail", "ShardFailed"),
        ),
    )  # fmt: skip
    stubbed.add_client_error("describe_state_machine_for_execution", "AccessDeniedException")
    seen = view_execution(lambda _: client, EXECUTION)
    assert seen is not None
    assert (seen.status, seen.definition) == ("FAILED", {})
    identify, filter_, end = seen.visits
    assert (identify.state, identify.retries, identify.error) == (
        "IdentifyBatch",
        1,
        "Lambda.ServiceException",
    )
    assert identify.left == identify.entered + 5
    assert (filter_.items, filter_.retries) == (Items(1, 0, 1), 2)
    assert (end.state, end.left) == ("BatchFailed", None)
    stubbed.assert_no_pending_responses()


def test_an_execution_that_aws_has_forgotten_is_none(aws) -> None:
    client, stubbed = aws
    stubbed.add_client_error("describe_execution", "ExecutionDoesNotExist")
    assert view_execution(lambda _: client, EXECUTION) is None
