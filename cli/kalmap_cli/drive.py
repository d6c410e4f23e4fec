"""Drive a deployed stack: upload, start, watch, fetch. The same on AWS and on the local cloud."""

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from kalmap.results.merge import kept, merge, unreadable
from kalmap.store.objects import Objects
from kalmap_cli.exits import RunFailed, WrongUsage
from kalmap_cli.given_names import GivenNames, keep_names, printable
from kalmap_cli.local.clients import Clients

_HISTORY_PAGE = 100
#: The state whose output says where the batch's objects lie.
_FIRST_STATE = "IdentifyBatch"


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


class Fetched(NamedTuple):
    """What was written into the output directory; None for a file that does not exist."""

    results: Path | None
    unreadable: Path | None
    unreadable_lines: int
    summary: Path | None
    failed: Path | None
    """The measurements that failed, to be run again."""
    revisions: Path | None
    """What this batch's late readings changed about earlier ones."""
    content: dict[str, Any]
    """Of the summary."""


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


def start(clients: Clients, stack: Stack, batch: Mapping[str, Any]) -> str:
    """Start a batch.

    Args:
        clients: of the cloud to run it on.
        stack: the deployed stack.
        batch: the execution's input.

    Returns:
        The execution's ARN.
    """
    started = clients("stepfunctions").start_execution(
        stateMachineArn=stack.state_machine,
        name=f"run-{uuid.uuid4().hex}",
        input=json.dumps(batch),
    )
    return str(started["executionArn"])


def watch(clients: Clients, execution: str, interval: float) -> Iterator[Progress]:
    """Follow an execution to its end.

    Args:
        clients: of the cloud it runs on.
        execution: its ARN.
        interval: seconds between two looks.
    """
    steps = clients("stepfunctions")
    shown: Progress | None = None
    in_map = False
    maps = 0
    while True:
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
        time.sleep(interval)


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
        if "summary" in json.loads(found.get("output") or "{}"):
            return Ended(True, "", prefix, batch_id)
        return Ended(False, "Another execution has already run this batch.", prefix, batch_id)
    return Ended(False, _sentence(found), prefix, batch_id)


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
    return f"The execution ended as {execution['status']}{f' ({error})' if error else ''}."


def stop(clients: Clients, execution: str) -> None:
    """Stop an execution; one that has ended is left as it is."""
    # Best effort at Ctrl-C: whatever goes wrong here, the local cloud is stopped next.
    with contextlib.suppress(ClientError, BotoCoreError):
        clients("stepfunctions").stop_execution(
            executionArn=execution, error="Interrupted", cause="kalmap run was interrupted."
        )


def fetch(clients: Clients, stack: Stack, prefix: str, out: Path) -> Fetched:
    """Write a batch's results, unreadable records and summary into a directory.

    Each file appears whole or not at all; one of an earlier batch is replaced, or removed
    where this batch has none.

    Raises:
        RunFailed: The directory cannot be written to.
    """
    objects = Objects(clients("s3"), stack.bucket)
    try:
        results = _write(out / "results.jsonl", merge(objects, prefix))
        refused = _write(
            out / "unreadable.jsonl", GivenNames(objects).in_lines(unreadable(objects, prefix))
        )
        summary = objects.find(f"{prefix}/summary.json")
        content: dict[str, Any] = json.loads(summary) if summary else {}
        pretty = json.dumps(content, indent=2).encode()
        written = _write(out / "summary.json", [pretty] if summary else [])
        failed = _write(out / "failed.jsonl", kept(objects, prefix, "failed"))
        revisions = _write(out / "revisions.jsonl", kept(objects, prefix, "revisions"))
        for name, lines in (
            ("results.jsonl", results),
            ("summary.json", written),
            ("failed.jsonl", failed),
            ("revisions.jsonl", revisions),
        ):
            if not lines:
                (out / name).unlink()
    except OSError as error:
        raise RunFailed(
            f"The results could not be written to {out}: {error.strerror or error}. The batch "
            f"itself has ended."
        ) from error
    return Fetched(
        results=out / "results.jsonl" if results else None,
        unreadable=out / "unreadable.jsonl",
        unreadable_lines=refused,
        summary=out / "summary.json" if written else None,
        failed=out / "failed.jsonl" if failed else None,
        revisions=out / "revisions.jsonl" if revisions else None,
        content=content,
    )


def _write(path: Path, lines: Iterable[bytes]) -> int:
    """Write lines to a file by way of another; returns how many there were."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        with temporary.open("wb") as file:
            for line in lines:
                file.write(line.rstrip(b"\n") + b"\n")
                count += 1
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count
