"""The pages about a batch's results, and about the records that could not be read."""

import shutil
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from kalmap.api.pages import result_page
from kalmap.batch.folder import Folder
from kalmap.errors import InputNotFound
from kalmap.results.lines import Result
from kalmap.results.merge import unreadable
from kalmap.results.selection import STATUSES, Selection, result_status
from kalmap.store.ports import BatchRecord
from kalmap_cli.console.batches import batch_of
from kalmap_cli.console.pages import deployment_of, page
from kalmap_cli.errors import WrongUsage
from kalmap_cli.file_names import FileNames
from kalmap_cli.reporting.words import REASONS, with_margin
from kalmap_cli.screen import SHORT_ID
from kalmap_cli.selected_results import write_selected

#: Results, or unreadable records, of a page.
_PAGE = 50
_MOST_PAGES = 100_000
_FORMS = {"jsonl": "application/jsonl", "csv": "text/csv"}


def results(request: Request) -> Response:
    """A page of results: of all, of a status, or of a user."""
    record, selection = batch_of(request), _selection(request)
    cursor = request.query_params.get("cursor")
    found = result_page(
        _folder(request, record),
        limit=_PAGE,
        status=selection.status,
        user=selection.user,
        cursor=cursor,
    )
    return page(
        request,
        "results.html.jinja",
        short_id=record.batch_id[:SHORT_ID],
        batch=record.batch_id,
        rows=[msgspec.json.decode(line, type=Result) for line in found.results],
        next=found.cursor,
        is_first=cursor is None,
        selection=selection,
        statuses=STATUSES,
        reasons=REASONS,
        with_margin=with_margin,
    )


def download_results(request: Request) -> Response:
    """The results of a page and of all that would follow it, as a file."""
    form = request.path_params["form"]
    if form not in _FORMS:
        raise InputNotFound("Results are downloaded as results.jsonl or results.csv.")
    record, selection = batch_of(request), _selection(request)
    name = f"results-{record.batch_id[:SHORT_ID]}.{form}"
    temporary = Path(tempfile.mkdtemp(prefix="kalmap-"))
    try:
        written = write_selected(
            deployment_of(request).objects, record.prefix, temporary, selection, form
        )
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if written is None:
        shutil.rmtree(temporary, ignore_errors=True)
        raise InputNotFound("The batch has no results.")
    [file] = temporary.iterdir()
    return FileResponse(
        file,
        media_type=_FORMS[form],
        filename=name,
        headers={"cache-control": "no-store"},
        background=BackgroundTask(shutil.rmtree, temporary, ignore_errors=True),
    )


def unreadable_records(request: Request) -> Response:
    """A page of the records that could not be read: of all, or of a reason."""
    record = batch_of(request)
    number, reason = _page_number(request), request.query_params.get("reason", "")
    start = (number - 1) * _PAGE
    lines = _unreadable(request, record, reason)
    found = list(islice(lines, start, start + _PAGE + 1))
    folder = _folder(request, record)
    return page(
        request,
        "unreadable.html.jinja",
        short_id=record.batch_id[:SHORT_ID],
        batch=record.batch_id,
        rows=found[:_PAGE],
        number=number,
        has_next=len(found) > _PAGE,
        reason=reason,
        counts=_counts(folder),
        reasons=REASONS,
    )


def download_unreadable(request: Request) -> Response:
    """The records that could not be read, as lines of JSON."""
    record = batch_of(request)
    lines = _unreadable(request, record, request.query_params.get("reason", ""))
    name = f"unreadable-{record.batch_id[:SHORT_ID]}.jsonl"
    return StreamingResponse(
        (msgspec.json.encode(line) + b"\n" for line in lines),
        media_type=_FORMS["jsonl"],
        headers={
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{name}"',
        },
    )


def _selection(request: Request) -> Selection:
    query = request.query_params
    return Selection(query.get("user") or None, result_status(query.get("status") or None))


def _folder(request: Request, record: BatchRecord) -> Folder:
    folder = Folder(deployment_of(request).objects, record.prefix)
    if record.status == "RUNNING":
        raise WrongUsage("The batch is running. Its results can be read when it has ended.")
    if not folder.has_plan():
        raise InputNotFound("The batch ended before it had results.")
    return folder


def _unreadable(request: Request, record: BatchRecord, reason: str) -> Iterator[dict[str, Any]]:
    objects = deployment_of(request).objects
    names = FileNames(objects)
    for line in names.rename_lines(unreadable(objects, record.prefix)):
        content: dict[str, Any] = msgspec.json.decode(line)
        if reason in {"", content["reason"]}:
            yield content


def _counts(folder: Folder) -> dict[str, int]:
    """How many records could not be read, by reason; empty without a summary."""
    summary = msgspec.json.decode(folder.summary() or b"{}")
    counts: dict[str, int] = (summary.get("readings") or {}).get("unreadable") or {}
    return counts


def _page_number(request: Request) -> int:
    text = request.query_params.get("page", "1")
    if text.isascii() and text.isdigit() and len(text) < 7 and 1 <= int(text) <= _MOST_PAGES:
        return int(text)
    raise WrongUsage(f"A page is a whole number from 1 to {_MOST_PAGES:,}.")
