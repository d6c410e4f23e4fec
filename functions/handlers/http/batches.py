"""POST and GET /batches: batches started, uploaded, listed, looked at, read."""

import itertools
import os
import uuid
from functools import cache
from http import HTTPStatus
from typing import Any

import boto3
import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from handlers.clients import batch_store, bucket, work_bucket
from handlers.http.gateway import Call, encoded, presigned
from handlers.telemetry import now
from kalmap.api.batches import find_batch, start_batch
from kalmap.api.pages import batch_page, batch_view, result_page
from kalmap.api.progress import progress
from kalmap.api.wire import (
    ROOM_FOR_A_NAME,
    BatchView,
    Links,
    Upload,
    UploadRequest,
    read_body,
)
from kalmap.batch.folder import Folder
from kalmap.errors import Contradiction, InputNotFound, InvalidInput
from kalmap.outcome import Status

router = APIGatewayRouter()  # type: ignore[no-untyped-call]

_LINK_SECONDS = 3600
_MOST_LINKS = 100
_DEFAULT_LIMIT, _MOST_LIMIT = 100, 1000
_STATUSES = tuple(status.label for status in Status)


@router.post("/batches")
def post_batches() -> Response[Any]:
    """Start a batch, unless this very batch is running or has succeeded already."""
    call = Call(router.current_event, router.lambda_context)
    options = read_body(
        call.body,
        dict[str, Any],
        content_type=call.header("content-type"),
        encoding=call.header("content-encoding"),
    )
    started = start_batch(
        options,
        execution=uuid.uuid4().hex,
        now=now(),
        work=work_bucket(),
        bucket=bucket,
        records=batch_store(),
        start=_start_execution,
    )
    return encoded(started, HTTPStatus.ACCEPTED)


@router.post("/batches/uploads")
def post_uploads() -> Response[Any]:
    """Sign an address for a file whose arrival starts a batch."""
    call = Call(router.current_event, router.lambda_context)
    asked = UploadRequest()
    if call.body.strip():
        asked = read_body(
            call.body,
            UploadRequest,
            content_type=call.header("content-type"),
            encoding=call.header("content-encoding"),
            room=ROOM_FOR_A_NAME,
        )
    key = f"incoming/{uuid.uuid4().hex}/{asked.name}"
    url = presigned(key, _LINK_SECONDS, "put_object")
    return encoded(Upload(url, key, _LINK_SECONDS, "/batches"), HTTPStatus.CREATED)


@router.get("/batches")
def get_batches() -> Response[Any]:
    """List the batches."""
    call = Call(router.current_event, router.lambda_context)
    return encoded(batch_page(batch_store(), limit=_limit(call), cursor=call.query("cursor")))


@router.get("/batches/<batch_id>")
def get_batch(batch_id: str) -> Response[Any]:  # noqa: ARG001 - the router's name for it
    """How far a batch is, or how it ended."""
    call = Call(router.current_event, router.lambda_context)
    record = find_batch(call.path("batch_id"), batch_store(), work_bucket())
    if record is None:
        return encoded(BatchView(call.path("batch_id"), "STARTING"))
    view, folder = batch_view(record), Folder(work_bucket(), record.prefix)
    if view.status == "RUNNING":
        return encoded(msgspec.structs.replace(view, progress=progress(folder)))
    summary = folder.objects.find(folder.key("summary.json"))
    return encoded(
        msgspec.structs.replace(
            view,
            summary=msgspec.json.decode(summary, type=dict[str, Any]) if summary else None,
            links=_links(folder, has_summary=summary is not None),
        )
    )


@router.get("/batches/<batch_id>/results")
def get_results(batch_id: str) -> Response[Any]:  # noqa: ARG001 - the router's name for it
    """A page of a batch's results."""
    call = Call(router.current_event, router.lambda_context)
    status = call.query("status")
    if status == "invalid":  # the earlier name, kept until version 0.2
        status = Status.UNREADABLE.label
    if status is not None and status not in _STATUSES:
        raise InvalidInput(f"status must be one of {', '.join(_STATUSES)}.", "status")
    user = call.name("user")
    record = find_batch(call.path("batch_id"), batch_store(), work_bucket())
    if record is None or record.status == "RUNNING":
        raise Contradiction("The batch has not ended yet; its results can be read when it has.")
    folder = Folder(work_bucket(), record.prefix)
    if folder.objects.find(folder.key("plan.json")) is None:
        raise InputNotFound("The batch failed before it had results; GET /batches/{id} says why.")
    return encoded(
        result_page(
            folder,
            limit=_limit(call),
            status=status,
            user=user,
            cursor=call.query("cursor"),
        )
    )


@cache
def _step_functions() -> Any:
    return boto3.client("stepfunctions")


def _start_execution(name: str, batch_input: str) -> str:
    execution = _step_functions().start_execution(
        stateMachineArn=os.environ["STATE_MACHINE"], name=name, input=batch_input
    )
    return str(execution["executionArn"])


def _limit(call: Call) -> int:
    text = call.query("limit")
    if text is None:
        return _DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= _MOST_LIMIT:
        return int(text)
    raise InvalidInput(f"limit must be a whole number from 1 to {_MOST_LIMIT}.", "limit")


def _links(folder: Folder, *, has_summary: bool) -> Links:
    def of(place: str, ending: str = ".jsonl") -> list[str]:
        keys = (key for key in folder.objects.keys(folder.key(place)) if key.endswith(ending))
        return [presigned(key, _LINK_SECONDS) for key in itertools.islice(keys, _MOST_LINKS)]

    results = (link for round_ in range(folder.rounds()) for link in of(f"round-{round_}/results/"))
    unreadable = of("unreadable/") or of("rejected/")  # their name in earlier batches
    return Links(
        expires_in=_LINK_SECONDS,
        summary=presigned(folder.key("summary.json"), _LINK_SECONDS) if has_summary else None,
        results=list(itertools.islice(results, _MOST_LINKS)),
        unreadable=unreadable,
        rejected=unreadable,
        revisions=of("revisions/"),
    )
