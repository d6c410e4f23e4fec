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

from handlers.edge import batch_records, bucket, now, work_bucket
from handlers.http.gateway import Call, encoded, presigned
from kalmap.api.pages import batch_page, batch_view, result_page
from kalmap.api.progress import progress
from kalmap.api.wire import (
    ROOM_FOR_A_NAME,
    BatchStarted,
    BatchView,
    Links,
    Upload,
    UploadRequest,
    read_body,
)
from kalmap.batch.folder import Folder
from kalmap.batch.identity import BATCH_ID, read_options
from kalmap.batch.inline import keep_records
from kalmap.errors import Contradiction, InputNotFound, InvalidInput
from kalmap.moments import iso
from kalmap.outcome import Status
from kalmap.pipeline.identify_batch import identify
from kalmap.store.ports import BatchRecord

router = APIGatewayRouter()  # type: ignore[no-untyped-call]

_LINK_SECONDS = 3600
_MOST_LINKS = 100
_DEFAULT_LIMIT, _MOST_LIMIT = 100, 1000
_STATUSES = tuple(status.label for status in Status)


@router.post("/batches")
def post_batches() -> Response[Any]:
    """Start a batch, unless this very batch is running or has succeeded already."""
    call = Call(router.current_event, router.lambda_context)
    given = read_body(
        call.body,
        dict[str, Any],
        content_type=call.header("content-type"),
        encoding=call.header("content-encoding"),
    )
    read_options(given)
    given = _with_records_in_the_bucket(given)
    name = uuid.uuid4().hex
    # The execution's first step does this too: here it refuses what is wrong, and gives the id.
    pointer = identify(
        given,
        execution=name,
        started_at=iso(now()),
        work=work_bucket(),
        bucket=bucket,
        records=batch_records(),
    )
    status_url = f"/batches/{pointer.batch_id}"
    record = batch_records().get(pointer.batch_id)
    if record is not None and (known := batch_view(record)).status != "FAILED":
        arn = known.execution_arn or ""
        told = BatchStarted(known.batch_id, known.status, arn, status_url)
        return encoded(told, HTTPStatus.ACCEPTED)
    [first, *_] = Folder.of(work_bucket(), pointer).inputs()
    source = given.get("source") or {}
    if source.get("key") and first.version_id:
        # An object replaced in this moment would be another batch.
        source["version_id"] = first.version_id
    started = _step_functions().start_execution(
        stateMachineArn=os.environ["STATE_MACHINE"],
        name=name,
        input=msgspec.json.encode(given).decode(),
    )
    told = BatchStarted(pointer.batch_id, "STARTING", started["executionArn"], status_url)
    return encoded(told, HTTPStatus.ACCEPTED)


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
    return encoded(batch_page(batch_records(), limit=_limit(call), cursor=call.query("cursor")))


@router.get("/batches/<batch_id>")
def get_batch(batch_id: str) -> Response[Any]:  # noqa: ARG001 - the router's name for it
    """How far a batch is, or how it ended."""
    call = Call(router.current_event, router.lambda_context)
    record, prefix = _batch(call)
    if record is None:
        return encoded(BatchView(call.path("batch_id"), "STARTING"))
    view, folder = batch_view(record), Folder(work_bucket(), prefix)
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
    record, prefix = _batch(call)
    if record is None or batch_view(record).status == "RUNNING":
        raise Contradiction("The batch has not ended yet; its results can be read when it has.")
    folder = Folder(work_bucket(), prefix)
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


def _with_records_in_the_bucket(given: dict[str, Any]) -> dict[str, Any]:
    """Records sent along become an object: an execution's input has room for 256 KB only."""
    source = given.get("source")
    records = source.get("records") if source else None
    if source is None or not records:
        return given
    objects = work_bucket()
    key = keep_records(records, objects, now())
    others = {name: value for name, value in source.items() if name != "records"}
    return given | {"source": {"bucket": objects.bucket, "key": key} | others}


def _batch(call: Call) -> tuple[BatchRecord | None, str]:
    """A batch's record and its folder's prefix; no record while it is being identified.

    Raises:
        InputNotFound: There is no such batch.
    """
    batch_id = call.path("batch_id")
    if BATCH_ID.fullmatch(batch_id):
        record = batch_records().get(batch_id)
        if record is not None:
            return record, record.prefix
        if any(True for _ in work_bucket().keys(f"batches/{batch_id}/")):
            return None, ""
    raise InputNotFound("There is no batch with this id. GET /batches lists those there are.")


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
