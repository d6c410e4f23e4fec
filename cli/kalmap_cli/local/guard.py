"""Who the local cloud answers: only who has its secret, and never a page in a browser.

An ASGI application around the emulator's. A request reaches the emulator when it names this
address as its host, when no browser sent it on a page's behalf, and when it is signed with the
secret (`kalmap_cli.local.signature`). Nothing of it is parsed before. What comes back carries no
leave for other origins to read it.
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

#: Most bytes of a body that are read before the signature can be checked, because nothing that
#: came before says what the body is. No service that is asked so takes more.
MAX_UNDECLARED_BODY = 20 * 1024 * 1024
#: Of all such bodies together: every user of the machine can send them.
MAX_UNDECLARED_TOTAL = 8 * MAX_UNDECLARED_BODY

#: What a browser says of a request: where the page is from that made it.
_NO_PAGE = (None, "none", "same-origin")
_ONCE = (b"host", b"authorization", b"origin", b"sec-fetch-site", b"x-amz-date")
_FOR_OTHER_ORIGINS = (b"access-control-", b"timing-allow-origin")
#: Added to every answer: no other page may embed it, and no browser may guess what it is.
_FOR_BROWSERS = (
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)


class Guard:
    """The emulator's ASGI application, behind its guard.

    Args:
        app: the emulator's.
        port: where it listens, on 127.0.0.1.
        secret: finds the secret of an access key; None when there is no such key.
    """

    def __init__(self, app: App, port: int, secret: Callable[[str], str | None]) -> None:
        self._app = app
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._secret = secret
        self._undeclared = _Undeclared()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, or let the emulator answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            # Nothing of kalmap speaks by WebSocket. Closed before it was accepted, it is a 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        sender = _without_leave_for_others(send)
        form = ""
        try:
            sent = self._sent(scope)
            signature = read_signature(sent)
            form = _error_form(signature, sent)
            receive = await self._signed(signature, sent, receive)
        except Refused as refused:
            await _refuse(sender, form, refused)
            return
        except _GoneAway:
            return
        if signature.lifetime is not None:
            # The emulator would let a form in the body of a link's request name another service.
            others = [line for line in scope["headers"] if not _says_form(*line)]
            scope = {**scope, "headers": others}
        await self._app(scope, receive, sender)

    def _sent(self, scope: Mapping[str, Any]) -> SentRequest:
        """The request, if its host is ours and no page sent it."""
        lines = [(name.lower(), value) for name, value in scope["headers"]]
        for once in _ONCE:
            if sum(name == once for name, _ in lines) > 1:
                raise Refused("AccessDenied", f"The request has several {once.decode()} headers.")
        headers: dict[str, str] = {}
        for name, value in lines:
            key, text = name.decode("latin-1"), value.decode("utf-8", "surrogateescape")
            headers[key] = f"{headers[key]},{text}" if key in headers else text
        if headers.get("host") not in self._hosts:
            raise Refused("AccessDenied", f"The local cloud's only host is {self._hosts[0]}.")
        if "origin" in headers or headers.get("sec-fetch-site") not in _NO_PAGE:
            raise Refused("AccessDenied", "The local cloud does not answer pages in a browser.")
        try:
            path, query = (scope[part].decode("ascii") for part in ("raw_path", "query_string"))
            "".join(headers.values()).encode()
        except UnicodeError:
            raise Refused("AccessDenied", "The request is not valid text.") from None
        return SentRequest(scope["method"], path, query, headers)

    async def _signed(self, signature: Signature, sent: SentRequest, receive: Receive) -> Receive:
        """Check a request's signature; return how its body is to be read from then on."""
        secret = self._secret(signature.key)
        if secret is None:
            raise Refused("InvalidAccessKeyId", "The local cloud does not know the access key.")
        check_time(signature, datetime.now(UTC))
        check_headers(signature, sent)
        declared = declared_body(signature, sent)
        if declared is None:
            parts = await self._undeclared.read(receive)
            check_signature(signature, sent, secret, sha256(parts))
            return _again(parts, receive)
        check_signature(signature, sent, secret, declared)
        if not covers_body(declared):
            return receive
        parts = [part async for part in _parts(receive)]
        if sha256(parts) != declared:
            raise Refused("XAmzContentSHA256Mismatch", "The body is not the one that was signed.")
        return _again(parts, receive)


def _says_form(name: bytes, value: bytes) -> bool:
    return name.lower() == b"content-type" and b"form" in value.lower()


class _GoneAway(Exception):
    """The client left before its request was complete."""


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """A request's body, in the parts in which it comes."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _GoneAway
        yield message.get("body", b"")
        more = message.get("more_body", False)


class _Undeclared:
    """The bodies that are read before their requests' signatures can be checked.

    Where all of them together become too large, the largest is dropped: who fills the memory has
    that one, and shuts nobody out.
    """

    def __init__(self) -> None:
        self._bodies: list[_Body] = []

    async def read(self, receive: Receive) -> list[bytes]:
        """One of them, in its parts."""
        body = _Body()
        self._bodies.append(body)
        try:
            async for part in _parts(receive):
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
    """What has come of a body."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self.dropped = False

    def add(self, part: bytes) -> None:
        """Keep another part."""
        self.parts.append(part)
        self.length += len(part)

    def drop(self) -> None:
        """Keep nothing; the request is refused with its next part."""
        self.parts.clear()
        self.length = 0
        self.dropped = True


def _again(parts: list[bytes], receive: Receive) -> Receive:
    """What gives a body that has been read once more, and then what comes after it."""
    parts.reverse()

    async def read() -> dict[str, Any]:
        if not parts:
            return await receive()
        part = parts.pop()
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    return read


def _without_leave_for_others(send: Send) -> Send:
    async def sender(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", ())
                if not bytes(name).lower().startswith(_FOR_OTHER_ORIGINS)
            ]
            message = {**message, "headers": [*kept, *_FOR_BROWSERS]}
        await send(message)

    return sender


def _error_form(signature: Signature, sent: SentRequest) -> str:
    """The form in which a service's clients expect an error; empty for JSON."""
    error = "<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    if signature.service == "s3":
        return error
    # The API's client may be curl, which calls all that it sends a form.
    is_form = sent.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if is_form and signature.service != "execute-api":
        return f"<ErrorResponse>{error}</ErrorResponse>"
    return ""


async def _refuse(send: Send, form: str, refused: Refused) -> None:
    code, message = refused.code, str(refused)
    if form:
        content = form.format(code=code, message=escape(message)).encode()
    else:
        content = json.dumps({"__type": code, "message": message}).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 403,
            "headers": [
                (b"content-type", b"application/xml" if form else b"application/json"),
                (b"content-length", str(len(content)).encode()),
                (b"x-amzn-errortype", code.encode()),
                (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
                (b"connection", b"close"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": content})
