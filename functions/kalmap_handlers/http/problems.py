"""Errors as HTTP problems: the status, code and sentence of each. An adapter of the errors' names.

The library raises errors of its own family, and AWS's clients raise theirs. This module is the
only one that turns them into responses.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from kalmap import errors
from kalmap.api.payload import field_of
from kalmap.api.schemas import Problem
from kalmap.store.dynamodb.table import THROTTLED
from kalmap_handlers.http.gateway import JSON, Call
from kalmap_handlers.telemetry import log_failure, metrics

_MAX_MESSAGE, _MAX_FIELD = 1_000, 200
_BUSY = frozenset({"SlowDown", "ExecutionLimitExceeded", *THROTTLED})
#: Operations of S3 for which the caller has named the bucket and the key.
_READS = frozenset({"HeadObject", "GetObject", "ListObjectsV2"})
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden"})
_BUSY_SECONDS = 2.0


class Refusal(NamedTuple):
    """The problem that an error becomes."""

    status: HTTPStatus
    code: str
    field: str | None = None
    """The request's field that is wrong, if the error does not name one."""
    retry_after: float | None = None
    """Seconds."""


_INVALID = Refusal(HTTPStatus.BAD_REQUEST, "invalid_request")
_INVALID_SOURCE = _INVALID._replace(field="source")
_NOT_FOUND = Refusal(HTTPStatus.NOT_FOUND, "not_found")
_UNAVAILABLE = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", retry_after=1.0)
_BUSY_AWS = _UNAVAILABLE._replace(retry_after=_BUSY_SECONDS)
_INTERNAL = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal")

_REFUSALS: Mapping[type[Exception], Refusal] = {
    errors.InvalidInput: _INVALID,
    errors.InvalidProfile: Refusal(HTTPStatus.BAD_REQUEST, "invalid_profile", "profile"),
    errors.UnknownFormat: _INVALID_SOURCE,
    errors.InputNotFound: _NOT_FOUND,
    errors.Contradiction: Refusal(HTTPStatus.CONFLICT, "conflict"),
    errors.TooLarge: Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large"),
    errors.UnsupportedBody: Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
    errors.StoreUnavailable: _UNAVAILABLE,
    errors.BrokenRecord: _INTERNAL,
}


def problem_response(call: Call, error: Exception) -> Response[Any]:
    """The response to a request that raised an error."""
    for kind, refusal in _REFUSALS.items():
        if isinstance(error, kind):
            field = getattr(error, "field", None) or refusal.field or field_of(str(error))
            seconds = getattr(error, "retry_after", refusal.retry_after)
            if refusal is _INTERNAL:
                log_failure("request failed", error)
            return _respond(call, refusal._replace(field=field, retry_after=seconds), str(error))
    if isinstance(error, NotFoundError):
        return _respond(call, _NOT_FOUND, "There is no such path.")
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        if code in _BUSY:
            return _respond(
                call, _BUSY_AWS, "AWS asks for fewer requests. Send the request again later."
            )
        if error.operation_name in _READS:
            return _respond(call, _INVALID_SOURCE, _unreadable_source(code))
    if isinstance(error, ParamValidationError):
        return _respond(call, _INVALID, "The request contains a name that AWS does not accept.")
    return _unexpected(call, error)


def _unreadable_source(code: str) -> str:
    if code in _FORBIDDEN:
        return (
            "kalmap may not read this source. Name its bucket in the stack's parameter "
            "InputBucket, and the KMS keys that encrypt its objects in InputKeys. Or send the file "
            "by POST /batches/uploads."
        )
    return f"The request's source cannot be read ({code})."


def _unexpected(call: Call, error: Exception) -> Response[Any]:
    log_failure("request failed", error)
    return _respond(
        call,
        _BUSY_AWS if isinstance(error, BotoCoreError) else _INTERNAL,
        "Something unexpected went wrong. The logs have details under this request id.",
    )


def _respond(call: Call, refusal: Refusal, message: str) -> Response[Any]:
    metrics.add_metric("Problems", MetricUnit.Count, 1)
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(refusal.retry_after + 0.5)))
    # Message and field may quote the request, which may be long.
    if len(message) > _MAX_MESSAGE:
        message = message[:_MAX_MESSAGE] + "...."
    field = refusal.field[:_MAX_FIELD] if refusal.field else refusal.field
    content = msgspec.json.encode(Problem(refusal.code, message, field, call.request_id)).decode()
    return Response(refusal.status, JSON, content, headers)
