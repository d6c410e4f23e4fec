"""The pages about batches: the list, one batch with its states as they run, and its report."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kalmap.batch.folder import Folder
from kalmap.errors import InputNotFound
from kalmap.store.ports import BatchPosition, BatchRecord
from kalmap_cli.console.pages import deployment_of, page, part
from kalmap_cli.errors import WrongUsage
from kalmap_cli.file_names import FileNames
from kalmap_cli.listed_batches import find_batch, for_user
from kalmap_cli.reporting.machine import draw_machine
from kalmap_cli.reporting.page import status_badge, summary_cards
from kalmap_cli.screen import SHORT_ID

_RUNNING = "RUNNING"
#: No batch has a longer id.
_LONGEST_ID = 64
#: Batches of a page.
_PAGE = 25
#: How long the page of a report waits for it before it says that it is being drawn.
_PATIENCE = 0.2


def batch_list(request: Request) -> Response:
    """The batches, the newest first."""
    return page(request, "batches.html.jinja", **_list(request))


def batch_list_now(request: Request) -> Response:
    """The rows of the list as they are now, for the page that shows it."""
    return part(request, "batch-rows.html.jinja", _list(request))


def batch(request: Request) -> Response:
    """One batch."""
    return page(request, "batch.html.jinja", **_batch(request))


def batch_now(request: Request) -> Response:
    """What a batch is doing, for the page that shows it."""
    content = _batch(request)
    said = running_state(content["machine"])
    return part(request, "progress.html.jinja", content, said=said)


def report(request: Request) -> Response:
    """The report of a batch that has ended."""
    record = batch_of(request)
    if record.status == _RUNNING:
        raise WrongUsage("The batch is running. It gets its report when it has ended.")
    drawn = request.app.state.reports.get(record, _PATIENCE)
    if drawn is None:
        return page(
            request,
            "drawing.html.jinja",
            headers={"refresh": "1"},
            short_id=record.batch_id[:SHORT_ID],
        )
    return page(request, "report.html.jinja", **drawn)


def batch_of(request: Request) -> BatchRecord:
    """The record of the batch that an address names.

    Raises:
        InputNotFound: There is none.
    """
    name = request.path_params["batch"]
    if len(name) > _LONGEST_ID:
        raise InputNotFound("There is no batch of such a long id.")
    try:
        return find_batch(deployment_of(request), name)
    except WrongUsage as error:
        raise InputNotFound(str(error)) from error


def running_state(machine: Any) -> str:
    """What an execution is doing, in words; empty if it does nothing."""
    states = [state for state in machine.states if state.outcome == "running"] if machine else []
    return "; ".join(f"{state.name}, {state.note}" for state in states)


def _list(request: Request) -> dict[str, Any]:
    deployment = deployment_of(request)
    query = request.query_params
    after = None
    if "started" in query:
        after = BatchPosition(query["started"], query.get("after", ""))
    found, last = deployment.batches.page(_PAGE, after)
    listed = for_user(deployment, found)
    return {
        "batches": [
            msgspec.structs.asdict(each)
            | {"short_id": each.batch_id[:SHORT_ID], "badge": status_badge(each.status)}
            for each in listed
        ],
        "running": any(each.status == _RUNNING for each in listed),
        "last": last,
        "is_first": after is None,
    }


def _batch(request: Request) -> dict[str, Any]:
    deployment = deployment_of(request)
    [record] = for_user(deployment, [batch_of(request)])
    folder = Folder(deployment.objects, record.prefix)
    stored, running = folder.summary(), record.status == _RUNNING
    summary = FileNames(deployment.objects).decode_summary(stored) if stored else {}
    arn = record.execution_arn
    execution = request.app.state.executions.view(arn) if arn else None
    readings = summary.get("readings") or {}
    again = f"kalmap retry {record.batch_id[:SHORT_ID]}{deployment.options}"
    has_failed = record.status in {"FAILED", "STOPPED"} or bool(readings.get("failed"))
    return {
        "record": record,
        "short_id": record.batch_id[:SHORT_ID],
        "badge": status_badge(record.status, rehearsed=summary.get("status") == "rehearsed"),
        "running": running,
        "has_results": not running and folder.has_plan(),
        "summary": summary,
        "cards": summary_cards(summary),
        "hints": summary.get("hints") or [],
        "machine": draw_machine(execution) if execution else None,
        "execution": (arn or "").rpartition(":")[2] if execution else "",
        # The reason may have said it.
        "again": again if has_failed and again not in (record.reason or "") else "",
        "unreadable": sum((readings.get("unreadable") or {}).values()),
    }
