"""API Gateway's requests decoded, and responses in its form. An adapter: it knows no route."""

import base64
import gzip
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent

from kalmap.api.openapi import parameters
from kalmap.api.payload import RECORDS_LIMIT, PayloadLimit, read_payload
from kalmap.errors import InvalidInput

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

JSON = "application/json"
#: A shorter response is not compressed, since it would not become shorter.
_COMPRESSED_FROM = 1024
_SESSION = re.compile(r"(:assumed-role/.+)/[^/]+\Z")
T = TypeVar("T")


class Call:
    """A request as the routes read it."""

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

    def read(self, kind: type[T], limit: PayloadLimit = RECORDS_LIMIT) -> T:
        """Decode the body. See `kalmap.api.payload.read_payload`."""
        return read_payload(
            self.body,
            kind,
            content_type=self.header("content-type"),
            encoding=self.header("content-encoding"),
            limit=limit,
        )

    def header(self, name: str) -> str:
        """A header's value; empty if there is no such header."""
        return self._event.headers.get(name) or ""

    def has_header(self, name: str) -> bool:
        """Whether there is such a header, empty or not."""
        return self._event.headers.get(name) is not None

    def query(self, name: str) -> str | None:
        """A query parameter's value; None if there is no such parameter."""
        value = (self._event.query_string_parameters or {}).get(name)
        return None if value is None else str(value)

    def query_name(self, name: str) -> str | None:
        """The value of a query parameter that names something.

        Raises:
            InvalidInput: The parameter is there and empty.
        """
        value = self.query(name)
        if value == "":
            raise InvalidInput(f"{name} is empty. Leave it out.", name)
        return value

    def path(self, name: str) -> str:
        """A parameter in the path, unescaped. API Gateway passes it as it is in the address."""
        return unquote((self._event.path_parameters or {}).get(name) or "")

    @property
    def seconds_left(self) -> float:
        """Time until Lambda ends the invocation."""
        return self.context.get_remaining_time_in_millis() / 1000

    @property
    def caller(self) -> str:
        """The signer of the request: a user, or a role without the name of its session.

        Empty if the signer is not known.
        """
        identity = self._event.raw_event["requestContext"].get("identity") or {}
        signer = str(identity.get("userArn") or identity.get("accessKey") or "")
        # Every task, instance and client of a role has a session of its own.
        return _SESSION.sub(r"\1", signer)

    def check_parameters(self) -> None:
        """Refuse query parameters that the operation does not have.

        Raises:
            InvalidInput: There is one. A mistyped name must not change the meaning of a request.
        """
        event = self._event.raw_event
        known = parameters(event["httpMethod"], event["resource"])
        for name in self._event.query_string_parameters or {}:
            # A signature may be in the query, too.
            if name not in known and not name.lower().startswith("x-amz-"):
                names = f"Known are {', '.join(known)}" if known else "There are none"
                raise InvalidInput(f"There is no parameter {name[:60]!r} here. {names}.", name)


class _Bytes(Response[Any]):
    """A response whose body is bytes of any type."""

    def is_json(self) -> bool:
        return False


def json_response(content: object, status: HTTPStatus = HTTPStatus.OK) -> Response[Any]:
    """A response with an object in JSON."""
    return Response(status, JSON, msgspec.json.encode(content).decode())


def compressed_response(content: bytes, *, accepts: str) -> Response[Any]:
    """A response with JSON bytes, compressed if they are long and the client accepts it.

    Args:
        content: The body.
        accepts: The request's Accept-Encoding.
    """
    if "gzip" not in accepts.lower() or len(content) < _COMPRESSED_FROM:
        return Response(HTTPStatus.OK, JSON, content.decode())
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return _Bytes(HTTPStatus.OK, JSON, gzip.compress(content, 5, mtime=0), headers)
