"""The guard of the local cloud: it refuses unsigned requests and requests of web pages.

It is an ASGI application around ministack's. A request reaches ministack only if its host is this
address, no browser sent it for a web page, and it is signed with the secret
(`kalmap_cli.local.signature`). Nothing else of a request is parsed before. Responses have no
headers that let web pages of other origins read them.
"""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from kalmap_cli.local.signature import (
    Refused,
    SentRequest,
    Signature,
    check_headers,
    check_signature,
    check_time,
    covers_body,
    declared_body,
    read_signature,
    sha256,
)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]

#: Maximum bytes of a body whose SHA-256 no header declares. It must be read before its signature
#: can be checked. No service that takes such bodies accepts more.
MAX_UNDECLARED_BODY = 20 * 1024 * 1024
#: Maximum for all such bodies together, because every user of the machine can send them.
MAX_UNDECLARED_TOTAL = 8 * MAX_UNDECLARED_BODY

#: Values of Sec-Fetch-Site that are allowed: no page of another site made the request.
_ALLOWED_FETCH_SITES = (None, "none", "same-origin")
#: Headers that may occur once only.
_SINGLE_HEADERS = (b"host", b"authorization", b"origin", b"sec-fetch-site", b"x-amz-date")
#: Beginnings of headers that let pages of other origins read a response.
_CROSS_ORIGIN_HEADERS = (b"access-control-", b"timing-allow-origin")
#: Added to each response: other pages must not embed it, and browsers must not guess its type.
_SECURITY_HEADERS = (
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)


class Guard:
    """An ASGI application that passes only allowed requests to ministack's.

    Args:
        app: ministack's.
        port: The port on 127.0.0.1 that it listens on.
        secret: Returns the secret of an access key; None if the key is unknown.
    """

    def __init__(self, app: App, port: int, secret: Callable[[str], str | None]) -> None:
        self._app = app
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._secret = secret
        self._undeclared = _UndeclaredBodies()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it to ministack."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            # kalmap uses no WebSockets. Closing one before it is accepted gives a 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        send_safely = _without_cross_origin_headers(send)
        error_format = ""
        try:
            request = self._read_request(scope)
            signature = read_signature(request)
            error_format = _error_format(signature, request)
            receive = await self._check_signed(signature, request, receive)
        except Refused as refused:
            await _refuse(send_safely, error_format, refused)
            return
        except _Disconnected:
            return
        if signature.lifetime is not None:
            # A form in the body of a presigned request could name another service to ministack.
            headers = [line for line in scope["headers"] if not _is_form_content_type(*line)]
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send_safely)

    def _read_request(self, scope: Mapping[str, Any]) -> SentRequest:
        """The request, if its host is ours and no web page sent it."""
        lines = [(name.lower(), value) for name, value in scope["headers"]]
        for single in _SINGLE_HEADERS:
            if sum(name == single for name, _ in lines) > 1:
                raise Refused("AccessDenied", f"The request has several {single.decode()} headers.")
        headers: dict[str, str] = {}
        for name, value in lines:
            key, text = name.decode("latin-1"), value.decode("utf-8", "surrogateescape")
            headers[key] = f"{headers[key]},{text}" if key in headers else text
        if headers.get("host") not in self._hosts:
            raise Refused("AccessDenied", f"The local cloud's only host is {self._hosts[0]}.")
        if "origin" in headers or headers.get("sec-fetch-site") not in _ALLOWED_FETCH_SITES:
            raise Refused("AccessDenied", "The local cloud does not answer pages in a browser.")
        try:
            path, query = (scope[part].decode("ascii") for part in ("raw_path", "query_string"))
            "".join(headers.values()).encode()
        except UnicodeError:
            raise Refused("AccessDenied", "The request is not valid text.") from None
        return SentRequest(scope["method"], path, query, headers)

    async def _check_signed(
        self, signature: Signature, request: SentRequest, receive: Receive
    ) -> Receive:
        """Check a request's signature. Returns a function that receives the request's body."""
        secret = self._secret(signature.key)
        if secret is None:
            raise Refused("InvalidAccessKeyId", "The local cloud does not know the access key.")
        check_time(signature, datetime.now(UTC))
        check_headers(signature, request)
        declared = declared_body(signature, request)
        if declared is None:
            parts = await self._undeclared.read(receive)
            check_signature(signature, request, secret, sha256(parts))
            return _replay(parts, receive)
        check_signature(signature, request, secret, declared)
        if not covers_body(declared):
            return receive
        parts = [part async for part in _receive_parts(receive)]
        if sha256(parts) != declared:
            raise Refused("XAmzContentSHA256Mismatch", "The body is not the one that was signed.")
        return _replay(parts, receive)


def _is_form_content_type(name: bytes, value: bytes) -> bool:
    return name.lower() == b"content-type" and b"form" in value.lower()


class _Disconnected(Exception):
    """The client disconnected before its request was complete."""


async def _receive_parts(receive: Receive) -> AsyncIterator[bytes]:
    """A request's body, in the parts that arrive."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _Disconnected
        yield message.get("body", b"")
        more = message.get("more_body", False)


class _UndeclaredBodies:
    """The bodies that are read before their requests' signatures can be checked.

    If all of them together become too large, the largest is dropped. A client that fills the
    memory therefore loses its own request, and other clients are not affected.
    """

    def __init__(self) -> None:
        self._bodies: list[_Body] = []

    async def read(self, receive: Receive) -> list[bytes]:
        """Receive a body; returns its parts."""
        body = _Body()
        self._bodies.append(body)
        try:
            async for part in _receive_parts(receive):
                body.add(part)
                if body.length > MAX_UNDECLARED_BODY:
                    raise Refused(
                        "RequestEntityTooLarge",
                        f"Without x-amz-content-sha256 a body has at most "
                        f"{MAX_UNDECLARED_BODY} bytes.",
                    )
                if sum(each.length for each in self._bodies) > MAX_UNDECLARED_TOTAL:
                    max(self._bodies, key=lambda each: each.length).drop()
                if body.dropped:
                    raise Refused("SlowDown", "Too many large requests came at once.")
        finally:
            self._bodies.remove(body)
        return body.parts


class _Body:
    """The received parts of a body."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self.dropped = False

    def add(self, part: bytes) -> None:
        """Add a part."""
        self.parts.append(part)
        self.length += len(part)

    def drop(self) -> None:
        """Discard all parts. The request is refused when its next part arrives."""
        self.parts.clear()
        self.length = 0
        self.dropped = True


def _replay(parts: list[bytes], receive: Receive) -> Receive:
    """A function that receives an already received body again, and then what follows it."""
    parts.reverse()

    async def read() -> dict[str, Any]:
        if not parts:
            return await receive()
        part = parts.pop()
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    return read


def _without_cross_origin_headers(send: Send) -> Send:
    async def send_safely(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (name, value)
                for name, value in message.get("headers", ())
                if not bytes(name).lower().startswith(_CROSS_ORIGIN_HEADERS)
            ]
            message = {**message, "headers": [*headers, *_SECURITY_HEADERS]}
        await send(message)

    return send_safely


def _error_format(signature: Signature, request: SentRequest) -> str:
    """The XML format of errors that a service's clients expect; empty for JSON."""
    error = "<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    if signature.service == "s3":
        return error
    # A client of the HTTP API may be curl, which declares every body as a form.
    content_type = request.headers.get("content-type", "")
    is_form = content_type.startswith("application/x-www-form-urlencoded")
    if is_form and signature.service != "execute-api":
        return f"<ErrorResponse>{error}</ErrorResponse>"
    return ""


async def _refuse(send: Send, error_format: str, refused: Refused) -> None:
    code, message = refused.code, str(refused)
    if error_format:
        content = error_format.format(code=code, message=escape(message)).encode()
    else:
        content = json.dumps({"__type": code, "message": message}).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 403,
            "headers": [
                (b"content-type", b"application/xml" if error_format else b"application/json"),
                (b"content-length", str(len(content)).encode()),
                (b"x-amzn-errortype", code.encode()),
                (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
                (b"connection", b"close"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": content})
