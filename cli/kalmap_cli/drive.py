"""Drive a deployed stack: upload, start, watch, stop. The same on AWS and on the local cloud."""

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from kalmap.store.objects import Objects
from kalmap_cli.exits import WrongUsage, as_sentence
from kalmap_cli.given_names import keep_names, printable
from kalmap_cli.local.clients import Clients

_HISTORY_PAGE = 100
#: The state whose output says where the batch's objects lie.
_FIRST_STATE = "IdentifyBatch"
#: From here on states are written.
_WRITING_STATE = "WriteStates"


class Stack(NamedTuple):
    """Where a deployed kalmap's parts are."""

    state_machine: str
    """ARN."""
    bucket: str
    states_table: str
    batches_table: str


class Progress(NamedTuple):
    """Where a batch is; every state is given once when entered, and whenever its counts change."""

    event: int
    """Identifies the entry into the state; the same state may be entered again."""
    entered: float
    """When, in seconds since 1970, by the cloud's clock."""
    state: str
    done: int
    """Map items that ended, well or not; 0 in other states."""
    failed: int
    total: int
    """Map items; 0 in states that are no Map."""


class Ended(NamedTuple):
    """How a batch ended."""

    succeeded: bool
    reason: str
    """A sentence; empty on success."""
    prefix: str | None
    """Where the batch's objects lie; None where it failed before it had any."""
    batch_id: str | None
    ran_before: bool = False
    """Another execution has this very batch, or had it: this one did nothing."""
    rehearsed: bool = False
    """It succeeded, and wrote no state."""


def find_stack(clients: Clients, name: str) -> Stack:
    """A deployed stack by its name.

    Raises:
        WrongUsage: There is none of this name, or it is not a kalmap.
    """
    try:
        found = clients("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            raise WrongUsage(
                f"There is no stack named {name} in this account and region. Deploy one with "
                f"`sam deploy`, or name another with --stack."
            ) from error
        raise
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}
    try:
        return Stack(
            outputs["StateMachineArn"],
            outputs["WorkBucket"],
            outputs["StatesTable"],
            outputs["BatchesTable"],
        )
    except KeyError as error:
        raise WrongUsage(
            f"The stack {name} is not a deployed kalmap: it has no output {error}."
        ) from error


def upload(clients: Clients, stack: Stack, files: Sequence[Path]) -> str:
    """Upload files under a prefix of their own, in their order; the same files make a new batch.

    Returns:
        The prefix.
    """
    prefix = f"uploads/{uuid.uuid4().hex}/"
    s3 = clients("s3")
    keys = {f"{prefix}{n:03d}-{printable(file.name)}": file for n, file in enumerate(files)}
    for key, file in keys.items():
        s3.upload_file(str(file), stack.bucket, key)
    names = {key: printable(file) for key, file in keys.items()}
    keep_names(Objects(s3, stack.bucket), prefix, names)
    return prefix


def new_execution(stack: Stack) -> str:
    """The ARN of an execution that is still to be started, under a new name."""
    *place, _, machine = stack.state_machine.split(":")[:7]
    return ":".join((*place, "execution", machine, f"run-{uuid.uuid4().hex}"))


def start(clients: Clients, stack: Stack, batch: Mapping[str, Any], execution: str) -> None:
    """Start a batch.

    Args:
        clients: of the cloud to run it on.
        stack: the deployed stack.
        batch: the execution's input.
        execution: its ARN, from `new_execution`.
    """
    clients("stepfunctions").start_execution(
        stateMachineArn=stack.state_machine,
        name=execution.rpartition(":")[2],
        input=json.dumps(batch),
    )


class Pauses(NamedTuple):
    """Seconds between two looks at a batch."""

    first: float
    """While something changes."""
    longest: float
    """After long quiet."""


def watch(clients: Clients, execution: str, pauses: Pauses) -> Iterator[Progress]:
    """Follow an execution to its end.

    Args:
        clients: of the cloud it runs on.
        execution: its ARN.
        pauses: how long to wait between two looks.
    """
    steps = clients("stepfunctions")
    shown: Progress | None = None
    in_map = False
    maps = 0
    pause = pauses.first
    while True:
        before = shown
        # Asked first: what is entered after this look is found by the next one.
        status = steps.describe_execution(executionArn=execution)["status"]
        for entry, is_map in _entered(steps, execution, shown.event if shown else 0):
            if shown and in_map:
                yield _counted(steps, execution, shown, maps)
            shown, in_map = entry, is_map
            maps += is_map
            yield shown
        if shown and in_map:
            counted = _counted(steps, execution, shown, maps)
            if counted != shown:
                shown = counted
                yield shown
        if status != "RUNNING":
            return
        # A batch of hours needs no look a second, and AWS counts the account's looks together.
        pause = pauses.first if shown != before else min(pause * 1.5, pauses.longest)
        time.sleep(pause)


def look(clients: Clients, execution: str) -> Progress | None:
    """Where an execution is now; None where it has entered no state yet."""
    steps = clients("stepfunctions")
    entered = list(_entered(steps, execution, 0))
    if not entered:
        return None
    progress, is_map = entered[-1]
    return _counted(steps, execution, progress, sum(m for _, m in entered)) if is_map else progress


def _entered(steps: Any, execution: str, seen: int) -> Iterator[tuple[Progress, bool]]:
    """States entered after the event `seen`, oldest first, and whether each is a Map."""
    entered: list[tuple[Progress, bool]] = []
    more: dict[str, str] = {}
    while True:
        page = steps.get_execution_history(
            executionArn=execution,
            reverseOrder=True,
            includeExecutionData=False,
            maxResults=_HISTORY_PAGE,
            **more,
        )
        for event in page["events"]:
            if event["id"] <= seen:
                return iter(entered[::-1])
            if details := event.get("stateEnteredEventDetails"):
                when = event["timestamp"].timestamp()
                progress = Progress(event["id"], when, details["name"], 0, 0, 0)
                entered.append((progress, event["type"] == "MapStateEntered"))
        if not page.get("nextToken"):
            return iter(entered[::-1])
        more = {"nextToken": page["nextToken"]}


def _counted(steps: Any, execution: str, progress: Progress, maps: int) -> Progress:
    """The progress with the counts of the execution's Map Run number `maps`, from 1."""
    runs = steps.list_map_runs(executionArn=execution)["mapRuns"]
    if len(runs) < maps:
        return progress
    # Maps run one after the other, and each entry into one starts one Map Run.
    run = sorted(runs, key=lambda run: run["startDate"])[maps - 1]
    counts = steps.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
    failed = counts["failed"] + counts["timedOut"] + counts["aborted"]
    return progress._replace(
        done=counts["succeeded"] + failed, failed=failed, total=counts["total"]
    )


def ended(clients: Clients, execution: str) -> Ended:
    """How an execution ended, and where its batch's objects are."""
    steps = clients("stepfunctions")
    found = steps.describe_execution(executionArn=execution)
    batch = _identified(steps, execution)
    prefix, batch_id = batch.get("prefix"), batch.get("batch_id")
    if found["status"] == "SUCCEEDED":
        output = json.loads(found.get("output") or "{}")
        if "summary" in output:
            rehearsed = output.get("status") == "rehearsed"
            return Ended(True, "", prefix, batch_id, rehearsed=rehearsed)
        reason = "Another execution has already run this batch."
        return Ended(False, reason, prefix, batch_id, ran_before=True)
    return Ended(False, as_sentence(_sentence(found)), prefix, batch_id)


def _identified(steps: Any, execution: str) -> dict[str, Any]:
    pages = steps.get_paginator("get_execution_history").paginate(executionArn=execution)
    for page in pages:
        for event in page["events"]:
            details = event.get("stateExitedEventDetails")
            if details and details["name"] == _FIRST_STATE:
                # Where it failed, its output is the error that was caught.
                batch: dict[str, Any] = json.loads(details["output"]).get("batch", {})
                return batch
    return {}


def _sentence(execution: Mapping[str, Any]) -> str:
    cause = str(execution.get("cause") or "")
    # A failure comes as JSON where no state has taken the message out of it: the error that a
    # Catch saw, and in that a Lambda's.
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        cause = str(json.loads(cause).get("Cause") or cause)
        cause = str(json.loads(cause).get("errorMessage") or cause)
    error = str(execution.get("error") or "")
    if cause:
        return cause
    if execution["status"] == "ABORTED":
        return "The execution was stopped."
    if execution["status"] == "TIMED_OUT":
        return (
            "The batch took longer than a day and was ended; some states may have been written. "
            "Start the same batch again: what was written counts once."
        )
    return f"The execution ended as {execution['status']}{f' ({error})' if error else ''}."


def stop(clients: Clients, execution: str) -> bool | None:
    """Stop an execution; one that has ended is left as it is.

    Returns:
        Whether it had begun to write states; None where it was never started.
    """
    steps = clients("stepfunctions")
    try:
        steps.stop_execution(
            executionArn=execution, error="Interrupted", cause="kalmap run was interrupted."
        )
    except steps.exceptions.ExecutionDoesNotExist:
        return None
    except ClientError:
        # One that has ended just now may be refused.
        if steps.describe_execution(executionArn=execution)["status"] == "RUNNING":
            raise
    return any(entry.state == _WRITING_STATE for entry, _ in _entered(steps, execution, 0))
