"""The HTTP API's OpenAPI document. Its schemas come from the types that decode and encode them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from kalmap.api import schemas
from kalmap.api.idempotency import KEY
from kalmap.api.pages import MAX_LIMIT
from kalmap.batch.identity import BATCH_ID, BatchInput
from kalmap.profile import DEFAULT_PROFILE
from kalmap.results.selection import STATUSES

_BATCH_ID = {"type": "string", "pattern": f"^{BATCH_ID.pattern}$"}
_EXAMPLE = {
    "user_id": "u-17",
    "timestamp": "2026-03-01T07:12:00+01:00",
    "value": 81.4,
    "unit": "kg",
    "source": "scale",
    "measurement_id": "m-9",
}
_PROBLEMS = {
    400: "The request does not have the form that is described here. `field` names what is wrong.",
    403: "The request is not signed, or its caller has no permission.",
    404: "The batch, user or object does not exist.",
    409: "The request contradicts another request, or its batch has not ended yet.",
    413: "The request is too large to be answered at once. Send it as a batch.",
    415: "The body has a type or an encoding that is not supported.",
    429: "There are too many requests. Send it again after Retry-After.",
    503: "The table is overloaded. Send the request again after Retry-After.",
}
#: Statuses that every operation may have, since the gateway itself responds with some of them.
_ALWAYS = (400, 403, 429, 503)


class Operation(NamedTuple):
    """A method of a path."""

    method: str
    path: str
    summary: str
    status: int
    response: type | None
    request: type | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    problems: tuple[int, ...] = ()
    request_required: bool = True


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_LIMIT = _query(
    "limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, "Most items of the page."
)
_CURSOR = _query("cursor", {"type": "string"}, "The cursor of the page before.")
_BATCH = {"name": "batch_id", "in": "path", "required": True, "schema": _BATCH_ID}

OPERATIONS = (
    Operation(
        "post",
        "/measurements",
        "Fold measurements into their users' states, and answer at once",
        200,
        schemas.Answered,
        schemas.Measurements,
        (
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "pattern": f"^{KEY.pattern}$"},
                "description": "The same key gets the same answer for 24 hours.",
            },
        ),
        (409, 413, 415),
    ),
    Operation(
        "post",
        "/batches",
        "Start a batch of objects in S3, or of records in the request",
        202,
        schemas.BatchStarted,
        BatchInput,
        (),
        (404, 409, 413, 415),
    ),
    Operation(
        "post",
        "/batches/uploads",
        "Get an address for a file whose arrival starts a batch",
        201,
        schemas.Upload,
        schemas.UploadRequest,
        (),
        (413, 415),
        request_required=False,
    ),
    Operation(
        "get",
        "/batches",
        "List the batches, the newest first",
        200,
        schemas.BatchPage,
        None,
        (_LIMIT, _CURSOR),
    ),
    Operation(
        "get",
        "/batches/{batch_id}",
        "Show a batch's progress, or how it ended",
        200,
        schemas.BatchView,
        None,
        (_BATCH,),
        (404,),
    ),
    Operation(
        "get",
        "/batches/{batch_id}/results",
        "Read the results of a batch that has ended",
        200,
        schemas.ResultPage,
        None,
        (
            _BATCH,
            _query(
                "status", {"type": "string", "enum": list(STATUSES)}, "Only results of this status."
            ),
            _query("user", {"type": "string", "minLength": 1}, "Only results of this user."),
            _LIMIT,
            _CURSOR,
        ),
        (404, 409),
    ),
    Operation(
        "get",
        "/users/{user_id}",
        "Show a user's state, or its prediction",
        200,
        schemas.UserView,
        None,
        (
            {"name": "user_id", "in": "path", "required": True, "schema": {"type": "string"}},
            _query(
                "profile",
                {"type": "string", "minLength": 1},
                f"The profile's name. The default is {DEFAULT_PROFILE}.",
            ),
            _query(
                "at",
                {"type": "string", "format": "date-time"},
                "A time after the newest reading. Level, slope and interval are predicted for it.",
            ),
        ),
        (404, 409),
    ),
    Operation("get", "/health", "Show the health of the API", 200, schemas.Health),
    Operation("get", "/openapi.json", "Read this document", 200, None),
)


def parameters(method: str, path: str) -> tuple[str, ...]:
    """The names of an operation's query parameters."""
    return _NAMES.get((method.lower(), path), ())


_NAMES = {
    (operation.method, operation.path): tuple(
        parameter["name"] for parameter in operation.parameters if parameter["in"] == "query"
    )
    for operation in OPERATIONS
}


def document(server: str) -> dict[str, Any]:
    """Make the OpenAPI 3.1 document.

    Args:
        server: The API's address with its stage.
    """
    kinds = {kind for each in OPERATIONS for kind in (each.request, each.response) if kind}
    ordered = sorted(kinds | {schemas.Problem}, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(
        ordered, ref_template="#/components/schemas/{name}"
    )
    components["Measurements"]["properties"]["measurements"]["examples"] = [[_EXAMPLE]]
    components["BatchInput"]["examples"] = [{"source": {"records": [_EXAMPLE]}}]
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kalmap",
            "version": "1",
            "description": "Is each reading believable, and what is the true level now?",
        },
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "sigv4": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "description": "AWS Signature Version 4 for execute-api.",
                }
            },
        },
        "security": [{"sigv4": []}],
    }


def _described(operation: Operation) -> dict[str, Any]:
    response: Mapping[str, Any] = _refer(operation.response) if operation.response else {}
    responses = {
        str(operation.status): {
            "description": operation.summary,
            "content": {"application/json": {"schema": response}},
        }
    }
    for status in sorted({*_ALWAYS, *operation.problems}):
        responses[str(status)] = {
            "description": _PROBLEMS[status],
            "content": {"application/json": {"schema": _refer(schemas.Problem)}},
        }
    described: dict[str, Any] = {
        "operationId": _name(operation),
        "summary": operation.summary,
        "parameters": list(operation.parameters),
        "responses": responses,
    }
    if operation.request:
        described["requestBody"] = {
            "required": operation.request_required,
            "content": {"application/json": {"schema": _refer(operation.request)}},
        }
    return described


def _name(operation: Operation) -> str:
    words = operation.path.replace("{", "").replace("}", "").replace(".", "_").split("/")
    return "_".join([operation.method, *filter(None, words)])


def _refer(kind: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
