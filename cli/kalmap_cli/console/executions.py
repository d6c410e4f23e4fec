"""The pages about executions: each state's input, output and errors, and the items of each Map."""

import json
import re
from typing import Any

from botocore.exceptions import ClientError
from starlette.requests import Request
from starlette.responses import Response

from kalmap.errors import InputNotFound
from kalmap_cli.console.batches import running_state
from kalmap_cli.console.history import attempts_of
from kalmap_cli.console.pages import deployment_of, page, part
from kalmap_cli.reporting.machine import draw_machine
from kalmap_cli.reporting.page import status_badge

#: Executions of a page.
_PAGE = 25
#: Items of a Map that its page lists.
_MOST_ITEMS = 200
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_NO_EXECUTION = "There is no such execution. AWS keeps each for 90 days."


def execution_list(request: Request) -> Response:
    """The executions of the state machine, the newest first."""
    deployment = deployment_of(request)
    token = request.query_params.get("next")
    more = {"nextToken": token} if token else {}
    try:
        found = deployment.clients("stepfunctions").list_executions(
            stateMachineArn=deployment.stack.state_machine, maxResults=_PAGE, **more
        )
    except ClientError as error:
        raise InputNotFound("This list has changed. Begin at its first page.") from error
    newest, _ = deployment.batches.page(4 * _PAGE)
    batches = {batch.execution_arn: batch.batch_id for batch in newest}
    return page(
        request,
        "executions.html.jinja",
        executions=[
            _times(each) | {"name": each["name"], "batch": batches.get(each["executionArn"], "")}
            for each in found["executions"]
        ],
        next=found.get("nextToken"),
        is_first=token is None,
    )


def execution(request: Request) -> Response:
    """An execution: its states in a drawing, and what each was given and gave."""
    arn = _arn(request)
    described = _describe(request, arn)
    has_ended = described["status"] != "RUNNING"
    steps = request.app.state.executions.steps(arn, has_ended=has_ended)
    return page(
        request,
        "execution.html.jinja",
        **_progress(request, arn, described),
        input=pretty(described.get("input")),
        output=pretty(described.get("output")),
        steps=steps,
        pretty=pretty,
    )


def execution_now(request: Request) -> Response:
    """What an execution is doing, for the page that shows it."""
    arn = _arn(request)
    content = _progress(request, arn, _describe(request, arn))
    said = running_state(content["machine"])
    return part(request, "progress.html.jinja", content, said=said)


def map_run(request: Request) -> Response:
    """The items of a Map Run, those that failed first."""
    run = _run(request)
    stepfunctions = deployment_of(request).clients("stepfunctions")
    counts = stepfunctions.describe_map_run(mapRunArn=run)["itemCounts"]
    failed: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    pages = stepfunctions.get_paginator("list_executions").paginate(mapRunArn=run)
    for found in (one for each in pages for one in each["executions"]):
        (others if found["status"] == "SUCCEEDED" else failed).append(found)
        if len(failed) + len(others) >= 10 * _MOST_ITEMS:
            break
    items = [_times(each) | {"name": each["name"]} for each in (failed + others)[:_MOST_ITEMS]]
    return page(
        request,
        "items.html.jinja",
        counts=counts,
        items=items,
        name=request.path_params["execution"],
        number=request.path_params["map"],
        map=_label(run),
    )


def item(request: Request) -> Response:
    """An item of a Map Run: what it was given, what it gave, and its attempts."""
    run = _run(request)
    name = _checked(request.path_params["item"])
    *prefix, _, machine, _ = run.split(":")
    arn = ":".join((*prefix, "execution", machine, name))
    described = _describe(request, arn)
    return page(
        request,
        "item.html.jinja",
        **_times(described),
        name=name,
        execution=request.path_params["execution"],
        number=request.path_params["map"],
        map=_label(run),
        input=pretty(described.get("input")),
        output=pretty(described.get("output")),
        error=described.get("error") or "",
        cause=pretty(described.get("cause")),
        attempts=attempts_of(deployment_of(request).clients, arn),
        pretty=pretty,
    )


def pretty(text: str | None) -> str:
    """JSON with a line for each field; other text as it is."""
    try:
        return json.dumps(json.loads(text or ""), indent=2, ensure_ascii=False)
    except ValueError:
        return text or ""


def _progress(request: Request, arn: str, described: dict[str, Any]) -> dict[str, Any]:
    view = request.app.state.executions.view(arn)
    found = re.search(r'"batch_id": ?"([0-9a-f]{32})"', described.get("output") or "")
    return _times(described) | {
        "name": request.path_params["execution"],
        "running": described["status"] == "RUNNING",
        "machine": draw_machine(view) if view else None,
        "error": described.get("error") or "",
        "cause": pretty(described.get("cause")),
        "batch": found[1] if found else _batch_of(request, arn),
    }


def _batch_of(request: Request, arn: str) -> str:
    """The batch that an execution holds; empty if it holds none."""
    newest, _ = deployment_of(request).batches.page(4 * _PAGE)
    return next((each.batch_id for each in newest if each.execution_arn == arn), "")


def _describe(request: Request, arn: str) -> dict[str, Any]:
    try:
        described: dict[str, Any] = (
            deployment_of(request).clients("stepfunctions").describe_execution(executionArn=arn)
        )
    except ClientError as error:
        raise InputNotFound(_NO_EXECUTION) from error
    return described


def _arn(request: Request) -> str:
    name = _checked(request.path_params["execution"])
    machine = deployment_of(request).stack.state_machine
    return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"


def _run(request: Request) -> str:
    """The Map Run that an address names by its place in the execution, from 1."""
    stepfunctions = deployment_of(request).clients("stepfunctions")
    try:
        pages = stepfunctions.get_paginator("list_map_runs").paginate(executionArn=_arn(request))
        runs = [run for each in pages for run in each["mapRuns"]]
    except ClientError as error:
        raise InputNotFound(_NO_EXECUTION) from error
    number = request.path_params["map"]
    if not 1 <= number <= len(runs):
        raise InputNotFound("The execution has no such Map Run.")
    arn: str = sorted(runs, key=lambda run: run["startDate"])[number - 1]["mapRunArn"]
    return arn


def _label(run: str) -> str:
    return run.split(":")[-2].partition("/")[2]


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputNotFound(_NO_EXECUTION)
    return name


def _times(described: dict[str, Any]) -> dict[str, Any]:
    start, stop = described["startDate"], described.get("stopDate")
    return {
        "badge": status_badge(described["status"]),
        "started": start,
        "seconds": (stop - start).total_seconds() if stop else None,
    }
