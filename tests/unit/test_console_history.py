"""What the states of an execution were given and gave, from a history as AWS writes it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from kalmap_cli.console.history import Attempt, attempts_of, steps_of

BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:kalmap-filter:run-1"
LAMBDA = {"resourceType": "lambda", "resource": "invoke"}


def scheduled() -> tuple[str, dict[str, Any]]:
    details = LAMBDA | {"region": "us-east-1", "parameters": "{}"}
    return "TaskScheduled", {"taskScheduledEventDetails": details}


def failed(error: str, cause: str) -> tuple[str, dict[str, Any]]:
    details = LAMBDA | {"error": error, "cause": cause}
    return "TaskFailed", {"taskFailedEventDetails": details}


def entered(kind: str, name: str, given: str) -> tuple[str, dict[str, Any]]:
    return f"{kind}StateEntered", {"stateEnteredEventDetails": {"name": name, "input": given}}


def left(kind: str, name: str, gave: str) -> tuple[str, dict[str, Any]]:
    return f"{kind}StateExited", {"stateExitedEventDetails": {"name": name, "output": gave}}


HISTORY = [
    ("ExecutionStarted", {"executionStartedEventDetails": {"input": "{}"}}),
    entered("Task", "PlanBatch", '{"n": 1}'),
    scheduled(),
    ("TaskStarted", {"taskStartedEventDetails": LAMBDA}),
    failed("Lambda.Unknown", "It ended."),
    scheduled(),
    ("TaskSucceeded", {"taskSucceededEventDetails": LAMBDA | {"output": '{"n": 2}'}}),
    left("Task", "PlanBatch", '{"n": 3}'),
    entered("Map", "FilterUsers", '{"n": 3}'),
    ("MapRunFailed", {"mapRunFailedEventDetails": {"error": "States.TooMany", "cause": "Half."}}),
    left("Map", "FilterUsers", '{"n": 4}'),
    entered("Map", "WriteStates", '{"n": 4}'),
]


@pytest.fixture
def clients():
    client = boto3.client("stepfunctions", region_name="us-east-1")
    answer = {
        "events": [
            {"timestamp": BEGAN + timedelta(seconds=n), "type": kind, "id": n + 1} | details
            for n, (kind, details) in enumerate(HISTORY)
        ]
    }
    with Stubber(client) as stubbed:
        stubbed.add_response("get_execution_history", answer)
        yield lambda service: client


def test_a_state_has_what_it_was_given_and_gave_and_each_attempt(clients) -> None:
    plan, filter_users, write = steps_of(clients, EXECUTION)
    assert (plan.state, plan.kind, plan.input, plan.output) == (
        "PlanBatch", "Task", '{"n": 1}', '{"n": 3}',
    )  # fmt: skip
    assert plan.left - plan.entered == 6.0
    assert plan.attempts == [
        Attempt("invoke", "", "Lambda.Unknown", "It ended."),
        Attempt("invoke", '{"n": 2}', "", ""),
    ]
    assert [attempt.cause for attempt in plan.failures] == ["It ended."]
    assert [(one.map, one.left) for one in (plan, write)] == [(0, plan.left), (2, None)]
    assert filter_users.map == 1
    assert [attempt.error for attempt in filter_users.failures] == ["States.TooMany"]


def test_the_attempts_of_an_item_come_in_their_order(clients) -> None:
    errors = [attempt.error for attempt in attempts_of(clients, EXECUTION)]
    assert errors == ["Lambda.Unknown", "", "States.TooMany"]
