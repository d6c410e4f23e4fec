"""An execution of the state machine: start, watch and stop it. The same on AWS and locally."""

import contextlib
import json
import math
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from kalmap.batch.remedies import START_INTERRUPTED_AGAIN
from kalmap_cli.errors import as_sentence
from kalmap_cli.local.clients import Clients
from kalmap_cli.stack import Stack

_HISTORY_PAGE = 100
#: The output of this state has the batch's id and the prefix of its objects.
_FIRST_STATE = "IdentifyBatch"
#: An execution that has entered this state may have written states.
_WRITING_STATE = "WriteStates"


class Progress(NamedTuple):
    """The state of the state machine that an execution is in."""

    event: int
    """Id of the event of entering the state. One state may be entered several times."""
    entered: float
    """Time of that event by the cloud's clock, seconds since 1970."""
    state: str
    done: int
    """Map items that have ended, successfully or not; 0 in other states."""
    failed: int
    total: int
    """Map items; 0 in other states."""


class ExecutionEnd(NamedTuple):
    """How an execution ended."""

    succeeded: bool
    reason: str
    """Why it failed, as a sentence; empty on success."""
    prefix: str | None
    """Prefix of the batch's objects; None if the execution failed before it had any."""
    batch_id: str | None
    ran_before: bool = False
    """This execution did nothing, because another execution has run or is running this batch."""
    rehearsed: bool = False
    """It succeeded and wrote no state."""


def new_execution_arn(stack: Stack) -> str:
    """The ARN, with a new name, of an execution that is not started yet."""
    *prefix, _, machine = stack.state_machine.split(":")[:7]
    return ":".join((*prefix, "execution", machine, f"run-{uuid.uuid4().hex}"))


def start_execution(clients: Clients, stack: Stack, batch: Mapping[str, Any], arn: str) -> None:
    """Start a batch.

    Args:
        clients: Of the cloud that runs it.
        stack: The deployed stack.
        batch: The execution's input.
        arn: From `new_execution_arn`.
    """
    clients("stepfunctions").start_execution(
        stateMachineArn=stack.state_machine,
        name=arn.rpartition(":")[2],
        input=json.dumps(batch),
    )


class PollIntervals(NamedTuple):
    """Seconds between two requests for an execution's progress."""

    shortest: float
    """While the progress changes."""
    longest: float
    """After a long time without a change."""
    progress: float = 0.0
    """At least, between two looks at the progress. Whether it has ended is looked at each time."""


def watch_execution(clients: Clients, arn: str, intervals: PollIntervals) -> Iterator[Progress]:
    """Follow an execution to its end.

    Args:
        clients: Of the cloud that runs it.
        arn: The execution's ARN.
        intervals: How long to wait between two requests.

    Yields:
        Each state when it is entered, and again whenever its counts have changed.
    """
    stepfunctions = clients("stepfunctions")
    latest: Progress | None = None
    in_map = False
    maps = 0
    interval = intervals.shortest
    looked = -math.inf
    while True:
        before = latest
        # The status first: the next round finds all states that are entered after this request.
        status = stepfunctions.describe_execution(executionArn=arn)["status"]
        now = time.monotonic()
        if status == "RUNNING" and now - looked < intervals.progress:
            time.sleep(interval)
            continue
        looked = now
        for entry, is_map in _states_entered(stepfunctions, arn, latest.event if latest else 0):
            if latest and in_map:
                yield _with_item_counts(stepfunctions, arn, latest, maps)
            latest, in_map = entry, is_map
            maps += is_map
            yield latest
        if latest and in_map:
            counted = _with_item_counts(stepfunctions, arn, latest, maps)
            if counted != latest:
                latest = counted
                yield latest
        if status != "RUNNING":
            return
        # A batch of hours needs no request a second, and AWS limits the account's requests.
        changed = latest != before
        interval = intervals.shortest if changed else min(interval * 1.5, intervals.longest)
        time.sleep(interval)


def get_progress(clients: Clients, arn: str) -> Progress | None:
    """The state that an execution is in; None if it has not entered any."""
    stepfunctions = clients("stepfunctions")
    entered = list(_states_entered(stepfunctions, arn, 0))
    if not entered:
        return None
    progress, is_map = entered[-1]
    if not is_map:
        return progress
    maps = sum(entry_is_map for _, entry_is_map in entered)
    return _with_item_counts(stepfunctions, arn, progress, maps)


def _states_entered(
    stepfunctions: Any, arn: str, last_event: int
) -> Iterator[tuple[Progress, bool]]:
    """The states entered after an event, oldest first, each with whether it is a Map."""
    entered: list[tuple[Progress, bool]] = []
    next_page: dict[str, str] = {}
    while True:
        page = stepfunctions.get_execution_history(
            executionArn=arn,
            reverseOrder=True,
            includeExecutionData=False,
            maxResults=_HISTORY_PAGE,
            **next_page,
        )
        for event in page["events"]:
            if event["id"] <= last_event:
                return iter(entered[::-1])
            if details := event.get("stateEnteredEventDetails"):
                when = event["timestamp"].timestamp()
                progress = Progress(event["id"], when, details["name"], 0, 0, 0)
                entered.append((progress, event["type"] == "MapStateEntered"))
        if not page.get("nextToken"):
            return iter(entered[::-1])
        next_page = {"nextToken": page["nextToken"]}


def _with_item_counts(stepfunctions: Any, arn: str, progress: Progress, maps: int) -> Progress:
    """Add the item counts of the execution's Map Run number `maps`, counted from 1."""
    runs = stepfunctions.list_map_runs(executionArn=arn)["mapRuns"]
    if len(runs) < maps:
        return progress
    # Maps run one after the other, and each entry into a Map starts one Map Run.
    run = sorted(runs, key=lambda run: run["startDate"])[maps - 1]
    counts = stepfunctions.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
    failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
    return progress._replace(
        done=counts["succeeded"] + failed, failed=failed, total=counts["total"]
    )


def get_execution_end(clients: Clients, arn: str) -> ExecutionEnd:
    """How an execution ended, and the prefix of its batch's objects."""
    stepfunctions = clients("stepfunctions")
    execution = stepfunctions.describe_execution(executionArn=arn)
    batch = _identified_batch(stepfunctions, arn)
    prefix, batch_id = batch.get("prefix"), batch.get("batch_id")
    if execution["status"] == "SUCCEEDED":
        output = json.loads(execution.get("output") or "{}")
        if "summary" in output:
            rehearsed = output.get("status") == "rehearsed"
            return ExecutionEnd(True, "", prefix, batch_id, rehearsed=rehearsed)
        reason = "Another execution has already run this batch."
        return ExecutionEnd(False, reason, prefix, batch_id, ran_before=True)
    return ExecutionEnd(False, as_sentence(_failure_reason(execution)), prefix, batch_id)


def get_batch_prefix(clients: Clients, arn: str) -> str | None:
    """The prefix of a running batch's objects; None if it has none yet."""
    return _identified_batch(clients("stepfunctions"), arn).get("prefix")


def _identified_batch(stepfunctions: Any, arn: str) -> dict[str, Any]:
    pages = stepfunctions.get_paginator("get_execution_history").paginate(executionArn=arn)
    for page in pages:
        for event in page["events"]:
            details = event.get("stateExitedEventDetails")
            if details and details["name"] == _FIRST_STATE:
                # If the state failed, its output is the caught error and has no batch.
                batch: dict[str, Any] = json.loads(details["output"]).get("batch", {})
                return batch
    return {}


def _failure_reason(execution: Mapping[str, Any]) -> str:
    cause = str(execution.get("cause") or "")
    # Unless a state has extracted the message, the cause is JSON: the error that a Catch
    # received, and in it the error of a Lambda function.
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        cause = str(json.loads(cause).get("Cause") or cause)
        cause = str(json.loads(cause).get("errorMessage") or cause)
    error = str(execution.get("error") or "")
    if cause:
        return cause
    if execution["status"] == "ABORTED":
        return "The execution was stopped."
    if execution["status"] == "TIMED_OUT":
        return f"The batch took longer than a day and was stopped. {START_INTERRUPTED_AGAIN}"
    return f"The execution ended as {execution['status']}{f' ({error})' if error else ''}."


def stop_execution(clients: Clients, arn: str) -> bool | None:
    """Stop an execution. If it has already ended, do nothing.

    Returns:
        Whether it had begun to write states; None if it was never started.
    """
    stepfunctions = clients("stepfunctions")
    try:
        stepfunctions.stop_execution(
            executionArn=arn, error="Interrupted", cause="kalmap run was interrupted."
        )
    except stepfunctions.exceptions.ExecutionDoesNotExist:
        return None
    except ClientError:
        # The cloud may refuse to stop an execution that has just ended.
        if stepfunctions.describe_execution(executionArn=arn)["status"] == "RUNNING":
            raise
    return any(entry.state == _WRITING_STATE for entry, _ in _states_entered(stepfunctions, arn, 0))
