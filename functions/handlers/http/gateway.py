"""The edge of the HTTP API: requests are decoded, answers and problems encoded and counted."""

import base64
import gzip
import re
import traceback
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import boto3
import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from handlers.clients import work_bucket
from handlers.telemetry import logger, metrics
from kalmap import errors
from kalmap.api.openapi import parameters
from kalmap.api.wire import Problem, field_of
from kalmap.store.breaker import CircuitOpen
from kalmap.store.dynamodb.table import THROTTLED

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_JSON = "application/json"
_MOST_MESSAGE, _MOST_FIELD = 1_000, 200
#: A shorter answer is not compressed, since it would not become shorter.
_COMPRESSED_FROM = 1024
_BUSY = frozenset({"SlowDown", "ExecutionLimitExceeded", *THROTTLED})
#: Operations of S3 for which the caller has named the bucket and the key.
_READS = frozenset({"HeadObject", "GetObject", "ListObjectsV2"})
_OF_A_SESSION = re.compile(r"(:assumed-role/.+)/[^/]+\Z")
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden"})


class Refusal(NamedTuple):
    """The status, code and field of the problem that an error becomes."""

    status: HTTPStatus
    code: str
    field: str | None = None


_REFUSALS: Mapping[type[Exception], Refusal] = {
    errors.InvalidInput: Refusal(HTTPStatus.BAD_REQUEST, "invalid_request"),
    errors.InvalidProfile: Refusal(HTTPStatus.BAD_REQUEST, "invalid_profile", "profile"),
    errors.UnknownFormat: Refusal(HTTPStatus.BAD_REQUEST, "invalid_request", "source"),
    errors.InputNotFound: Refusal(HTTPStatus.NOT_FOUND, "not_found"),
    errors.Contradiction: Refusal(HTTPStatus.CONFLICT, "conflict"),
    errors.TooLarge: Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large"),
    errors.UnsupportedBody: Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
    errors.StoreUnavailable: Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
}


class Call:
    """A request, as far as the routes read it."""

    def __init__(self, event: BaseProxyEvent, context: "LambdaContext") -> None:
        self._event = APIGatewayProxyEvent(event.raw_event)
        self.context = context
        self.request_id: str = self._event.request_context.request_id or context.aws_request_id

    @property
    def body(self) -> bytes:
        """The body as it was sent."""
        body = self._event.body or ""
        if self._event.is_base64_encoded:
            return base64.b64decode(body)
        return body.encode(errors="replace")

    def header(self, name: str) -> str:
        """A header's value; empty where there is none."""
        return self._event.headers.get(name) or ""

    def carries(self, name: str) -> bool:
        """Whether there is such a header, empty or not."""
        return self._event.headers.get(name) is not None

    def query(self, name: str) -> str | None:
        """A query parameter."""
        value = (self._event.query_string_parameters or {}).get(name)
        return None if value is None else str(value)

    def name(self, name: str) -> str | None:
        """A query parameter that names something.

        Raises:
            InvalidInput: It is there and empty.
        """
        value = self.query(name)
        if value == "":
            raise errors.InvalidInput(f"{name} is empty; leave it out.", name)
        return value

    def path(self, name: str) -> str:
        """A parameter in the path, unescaped. The gateway passes it as it is in the address."""
        return unquote((self._event.path_parameters or {}).get(name) or "")

    @property
    def caller(self) -> str:
        """The signer of the request: a user, or a role without the name of its session.

        Empty if it is not known.
        """
        identity = self._event.raw_event["requestContext"].get("identity") or {}
        named = str(identity.get("userArn") or identity.get("accessKey") or "")
        # Every task, instance and client of a role has a session of its own.
        return _OF_A_SESSION.sub(r"\1", named)

    def check_parameters(self) -> None:
        """Refuse query parameters that the operation does not have.

        Raises:
            InvalidInput: There is one. A mistyped name must not change the meaning of a request.
        """
        event = self._event.raw_event
        known = parameters(event["httpMethod"], event["resource"])
        for name in self._event.query_string_parameters or {}:
            # A signature may stand in the query, too.
            if name not in known and not name.lower().startswith("x-amz-"):
                names = f"known are {', '.join(known)}" if known else "there are none"
                raise errors.InvalidInput(
                    f"There is no parameter {name[:60]!r} here; {names}.", name
                )


class _Bytes(Response[Any]):
    """An answer whose body is bytes of any type."""

    def is_json(self) -> bool:
        return False


def encoded(content: object, status: HTTPStatus = HTTPStatus.OK) -> Response[Any]:
    """An answer in JSON."""
    return Response(status, _JSON, msgspec.json.encode(content).decode())


def packed(content: bytes, *, accepts: str) -> Response[Any]:
    """A JSON answer, compressed if it is long and the client accepts it."""
    if "gzip" not in accepts.lower() or len(content) < _COMPRESSED_FROM:
        return Response(HTTPStatus.OK, _JSON, content.decode())
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return _Bytes(HTTPStatus.OK, _JSON, gzip.compress(content, 5, mtime=0), headers)


def problem(
    call: Call,
    status: HTTPStatus,
    code: str,
    message: str,
    field: str | None = None,
    retry_after: float | None = None,
) -> Response[Any]:
    """A problem, in the form that all problems have."""
    metrics.add_metric("Problems", MetricUnit.Count, 1)
    headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after + 0.5)))}
    # Both may quote what was sent, which may be long.
    if len(message) > _MOST_MESSAGE:
        message = message[:_MOST_MESSAGE] + "...."
    field = field[:_MOST_FIELD] if field else field
    body = msgspec.json.encode(Problem(code, message, field, call.request_id)).decode()
    return Response(status, _JSON, body, headers)


def refusal(call: Call, error: Exception) -> Response[Any]:
    """The answer to a request that raised an error."""
    if isinstance(error, CircuitOpen):
        refuse = _REFUSALS[errors.StoreUnavailable]
        return problem(call, refuse.status, refuse.code, str(error), retry_after=error.retry_after)
    for kind, refuse in _REFUSALS.items():
        if isinstance(error, kind):
            retry = 1.0 if refuse.status == HTTPStatus.SERVICE_UNAVAILABLE else None
            field = getattr(error, "field", None) or refuse.field or field_of(str(error))
            return problem(call, refuse.status, refuse.code, str(error), field, retry)
    if isinstance(error, NotFoundError):
        return problem(call, HTTPStatus.NOT_FOUND, "not_found", "There is no such path.")
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        if code in _BUSY:
            sentence = "AWS asks for fewer requests. Send the request again later."
            return problem(
                call, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", sentence, retry_after=2.0
            )
        if code in _FORBIDDEN and error.operation_name in _READS:
            return problem(
                call,
                HTTPStatus.BAD_REQUEST,
                "invalid_request",
                "kalmap may not read there. Name the bucket by the stack's parameter InputBucket, "
                "and by InputKey the key of KMS that its objects are encrypted with; or send the "
                "file by POST /batches/uploads.",
                "source",
            )
        if error.operation_name in _READS:
            sentence = f"What the request names cannot be read ({code})."
            return problem(call, HTTPStatus.BAD_REQUEST, "invalid_request", sentence, "source")
    if isinstance(error, ParamValidationError):
        sentence = "The request contains a name that AWS does not accept."
        return problem(call, HTTPStatus.BAD_REQUEST, "invalid_request", sentence)
    return _unexpected(call, error)


def _unexpected(call: Call, error: Exception) -> Response[Any]:
    # Messages may quote what was sent, so only kind and place are logged.
    places = [
        f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    cause = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    logger.error("request failed", error=type(error).__name__, cause=cause, places=places[-6:])
    sentence = "Something unexpected went wrong. The logs have details under this request id."
    if isinstance(error, BotoCoreError):
        return problem(
            call, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", sentence, retry_after=2.0
        )
    return problem(call, HTTPStatus.INTERNAL_SERVER_ERROR, "internal", sentence)


def presigned(key: str, seconds: int, operation: str = "get_object") -> str:
    """Sign an address of an object in the work bucket, for use without credentials."""
    place = {"Bucket": work_bucket().bucket, "Key": key}
    return str(_signer().generate_presigned_url(operation, Params=place, ExpiresIn=seconds))


@cache
def _signer() -> Any:
    # By default an address names S3's global endpoint, which redirects to the bucket's region. The
    # signature is not valid there, and from newer regions there is no redirect at all.
    regional: Any = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
    return boto3.client("s3", config=Config(signature_version="s3v4", s3=regional))
