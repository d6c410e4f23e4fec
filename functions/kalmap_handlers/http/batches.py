"""The routes below /batches."""

import os
import uuid
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from kalmap.api.batches import ended_batch_folder, prepare_upload, start_batch, view_batch
from kalmap.api.pages import batch_page, page_limit, result_page
from kalmap.api.payload import NAME_LIMIT
from kalmap.api.schemas import UploadRequest
from kalmap.results.selection import result_status
from kalmap_handlers.clients import batch_store, bucket, is_running, step_functions, work_bucket
from kalmap_handlers.http.gateway import Call, json_response
from kalmap_handlers.http.signing import sign_get, sign_put
from kalmap_handlers.telemetry import now

router = APIGatewayRouter()  # type: ignore[no-untyped-call]


@router.post("/batches")
def post_batches() -> Response[Any]:
    """Start a batch, unless this very batch is running or has succeeded."""
    call = Call(router.current_event, router.lambda_context)
    started = start_batch(
        call.read(dict[str, Any]),
        execution=uuid.uuid4().hex,
        now=now(),
        work=work_bucket(),
        bucket=bucket,
        records=batch_store(),
        start=_start_execution,
    )
    return json_response(started, HTTPStatus.ACCEPTED)


@router.post("/batches/uploads")
def post_uploads() -> Response[Any]:
    """Sign an address for a file whose arrival starts a batch."""
    call = Call(router.current_event, router.lambda_context)
    request = call.read(UploadRequest, NAME_LIMIT) if call.body.strip() else UploadRequest()
    upload = prepare_upload(request, uuid.uuid4().hex, sign_put)
    return json_response(upload, HTTPStatus.CREATED)


@router.get("/batches")
def get_batches() -> Response[Any]:
    """List the batches."""
    call = Call(router.current_event, router.lambda_context)
    limit = page_limit(call.query("limit"))
    return json_response(batch_page(batch_store(), limit=limit, cursor=call.query("cursor")))


@router.get("/batches/<batch_id>")
def get_batch(batch_id: str) -> Response[Any]:  # noqa: ARG001 - the router's name for it
    """Show a batch's progress, or how it ended."""
    call = Call(router.current_event, router.lambda_context)
    view = view_batch(
        call.path("batch_id"),
        now=now(),
        records=batch_store(),
        work=work_bucket(),
        sign=sign_get,
        is_running=_is_running,
    )
    return json_response(view)


@router.get("/batches/<batch_id>/results")
def get_results(batch_id: str) -> Response[Any]:  # noqa: ARG001 - the router's name for it
    """Show a page of a batch's results."""
    call = Call(router.current_event, router.lambda_context)
    status, user = result_status(call.query("status")), call.query_name("user")
    folder = ended_batch_folder(call.path("batch_id"), batch_store(), work_bucket())
    limit, cursor = page_limit(call.query("limit")), call.query("cursor")
    return json_response(result_page(folder, limit=limit, status=status, user=user, cursor=cursor))


def _is_running(execution: str) -> bool:
    """Whether the execution of a name is running."""
    executions = os.environ["STATE_MACHINE"].replace(":stateMachine:", ":execution:")
    return is_running(f"{executions}:{execution}")


def _start_execution(name: str, batch_input: str) -> str:
    execution = step_functions().start_execution(
        stateMachineArn=os.environ["STATE_MACHINE"], name=name, input=batch_input
    )
    return str(execution["executionArn"])
