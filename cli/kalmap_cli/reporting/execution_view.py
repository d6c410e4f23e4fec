"""What an execution did, from its history: each state's outcome, duration, retries and items."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from kalmap.store.objects import at_once
from kalmap_cli.local.clients import Clients

#: The retries of a Map's items are counted if it has so few: each takes a request.
MOST_ITEMS = 16
#: Events that begin an attempt of a Task. The first one of a visit is no retry.
_ATTEMPTS = frozenset({"TaskScheduled", "LambdaFunctionScheduled"})
#: Events of an attempt that has failed.
_FAILURES = {
    "TaskFailed": "taskFailedEventDetails",
    "TaskTimedOut": "taskTimedOutEventDetails",
    "TaskStartFailed": "taskStartFailedEventDetails",
    "TaskSubmitFailed": "taskSubmitFailedEventDetails",
    "LambdaFunctionFailed": "lambdaFunctionFailedEventDetails",
    "LambdaFunctionTimedOut": "lambdaFunctionTimedOutEventDetails",
    "MapRunFailed": "mapRunFailedEventDetails",
}


class Items(NamedTuple):
    """The items of a Map Run."""

    total: int
    succeeded: int
    failed: int
    """With those that timed out or were stopped."""


class Visit(NamedTuple):
    """One visit of a state. Times are seconds since 1970, by the cloud's clock."""

    state: str
    entered: float
    left: float | None
    """None if the execution ended in it or is still in it."""
    retries: int
    """Of a Map: those of all its items, if they are few; else 0."""
    error: str
    """Of its last failed attempt; empty if none has failed."""
    is_map: bool
    items: Items | None = None
    """None in states that are no Map."""


class ExecutionView(NamedTuple):
    """An execution and the definition that it ran."""

    status: str
    visits: list[Visit]
    definition: Mapping[str, Any]
    """Empty if it is not known any more."""


def view_execution(clients: Clients, arn: str) -> ExecutionView | None:
    """Look at an execution; None if it no longer exists. AWS keeps it for 90 days."""
    stepfunctions = clients("stepfunctions")
    try:
        execution = stepfunctions.describe_execution(executionArn=arn)
        visits = _with_items(stepfunctions, arn, _visits(_events(stepfunctions, arn)))
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
            return None
        raise
    definition: dict[str, Any] = {}
    with contextlib.suppress(ClientError):
        machine = stepfunctions.describe_state_machine_for_execution(executionArn=arn)
        definition = json.loads(machine["definition"])
    return ExecutionView(
        execution["status"],
        visits,
        definition,
    )


def _events(stepfunctions: Any, arn: str) -> Iterator[dict[str, Any]]:
    pages = stepfunctions.get_paginator("get_execution_history")
    for page in pages.paginate(executionArn=arn, includeExecutionData=False):
        yield from page["events"]


def _visits(events: Iterator[dict[str, Any]]) -> list[Visit]:
    """The visits of states, in order. One state may be visited several times."""
    visits: list[Visit] = []
    attempts = 0
    for event in events:
        kind, when = event["type"], event["timestamp"].timestamp()
        if details := event.get("stateEnteredEventDetails"):
            is_map = kind == "MapStateEntered"
            visits.append(Visit(details["name"], when, None, 0, "", is_map))
            attempts = 0
        elif not visits:
            continue
        elif kind in _ATTEMPTS:
            attempts += 1
            visits[-1] = visits[-1]._replace(retries=attempts - 1)
        elif kind in _FAILURES:
            details = event.get(_FAILURES[kind]) or {}
            visits[-1] = visits[-1]._replace(error=str(details.get("error") or kind))
        elif "stateExitedEventDetails" in event:
            visits[-1] = visits[-1]._replace(left=when)
    return visits


def _with_items(stepfunctions: Any, arn: str, visits: list[Visit]) -> list[Visit]:
    """Add the counts of the Map Runs: they ran one after the other, one for each visit of a Map."""
    pages = stepfunctions.get_paginator("list_map_runs").paginate(executionArn=arn)
    runs = sorted((run for page in pages for run in page["mapRuns"]), key=lambda r: r["startDate"])
    maps = [number for number, visit in enumerate(visits) if visit.is_map]
    for number, run in zip(maps, runs, strict=False):
        counts = stepfunctions.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
        failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
        items = Items(counts["total"], counts["succeeded"], failed)
        retries = 0
        if items.total <= MOST_ITEMS:
            retries = _retries_of_items(stepfunctions, run["mapRunArn"])
        visits[number] = visits[number]._replace(items=items, retries=retries)
    return visits


def _retries_of_items(stepfunctions: Any, map_run: str) -> int:
    """How often the Tasks of a Map Run's items were tried again."""
    items = stepfunctions.list_executions(mapRunArn=map_run, maxResults=MOST_ITEMS)["executions"]

    def retries(item: dict[str, Any]) -> int:
        kinds = [event["type"] for event in _events(stepfunctions, item["executionArn"])]
        attempts = sum(kind in _ATTEMPTS for kind in kinds)
        # An item that has failed has recorded that by a Task of its own. The local cloud leaves out
        # the events by which AWS says that a state was entered.
        tasks = kinds.count("TaskStateEntered") or 1 + (item["status"] == "FAILED")
        return max(attempts - tasks, 0)

    return sum(at_once(retries, items))
