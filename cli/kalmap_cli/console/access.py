"""Who may use the console: a browser that was given the token, and no page but the console's own.

Everybody on the machine can reach a port of 127.0.0.1, and so can every page in a browser. So

- a request counts only if its host is this address, and it comes from no other page: the browser
  says so in Sec-Fetch-Site, and in Origin where something is changed. A page that has changed the
  address of its own name to 127.0.0.1 has another host.
- the address that `kalmap serve` prints has a token. It is exchanged for a cookie, which no script
  can read and no other site's request carries.
- browsers send a cookie of 127.0.0.1 to each of its ports, so to programs of others, too. Therefore
  the cookie is for one folder, whose name is drawn at random as well, and all pages lie in it.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]

COOKIE = "kalmap-console"
#: Headers that may occur once only.
_SINGLE = (b"host", b"origin", b"sec-fetch-site")
#: Values of Sec-Fetch-Site of a request that no other page has made.
_OWN = (None, "none", "same-origin")
_READING = ("GET", "HEAD")
_CROSS_ORIGIN = (b"access-control-", b"timing-allow-origin")
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # Without a referrer, browsers would not send the origin of a form either.
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_CLOSED = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>kalmap</title>"
    "<h1>This console is closed to you</h1><p>{}</p></html>"
)
_HOW = (
    "Open the address that <code>kalmap serve</code> has printed. It is in the file "
    "<code>console-url</code> of its data directory, too, and new at each start."
)


class _Refused(Exception):
    """The request is not answered. The text is HTML."""


class Access:
    """An ASGI application that passes only allowed requests to the console's.

    Args:
        app: The console.
        folder: What the path of each page begins with, from `new_folder`.
        port: The port on 127.0.0.1 that it listens on.
    """

    def __init__(self, app: App, folder: str, port: int) -> None:
        self._app = app
        self._folder = folder
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._token = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self.address = f"http://{self._hosts[0]}/?token={self._token}"
        """Opens the console in a browser."""

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Refuse a request, exchange the token, or pass the request to the console."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # The console uses no WebSockets. Closing one before it is accepted gives a 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        send_safely = _with_headers(send)
        try:
            headers = _headers(scope["headers"])
            self._check_sender(scope["method"], headers)
            if scope["path"] == "/" and scope["method"] in _READING:
                await self._exchange(scope, send_safely)
                return
            self._check_cookie(scope["path"], headers)
        except _Refused as refused:
            content = _CLOSED.format(refused).encode()
            await _answer(send_safely, 403, [(b"connection", b"close")], content)
            return
        await self._app(scope, receive, send_safely)

    def _check_sender(self, method: str, headers: Mapping[str, str]) -> None:
        host, origin = headers.get("host"), headers.get("origin")
        if host not in self._hosts:
            raise _Refused(f"Its only host is {self._hosts[0]}.")
        if headers.get("sec-fetch-site") not in _OWN:
            raise _Refused(f"Another page has led here. {_HOW}")
        if origin != f"http://{host}" and (origin is not None or method not in _READING):
            raise _Refused("The request comes from no page of the console.")

    async def _exchange(self, scope: Mapping[str, Any], send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if not _is_same(query.get("token", [""])[0], self._token):
            raise _Refused(_HOW)
        cookie = f"{COOKIE}={self._session}; Path={self._folder}/; HttpOnly; SameSite=Strict"
        headers = [
            (b"location", f"{self._folder}/".encode()),
            (b"set-cookie", cookie.encode()),
            (b"cache-control", b"no-store"),
        ]
        await _answer(send, 303, headers, b"")

    def _check_cookie(self, path: str, headers: Mapping[str, str]) -> None:
        folder = path[: len(self._folder) + 1]
        pairs = [pair.strip().partition("=") for pair in headers.get("cookie", "").split(";")]
        cookies = [value for name, _, value in pairs if name == COOKIE]
        # Another program on this machine may have set a cookie of the same name.
        right = [_is_same(each, self._session) for each in cookies]
        if not (_is_same(folder, f"{self._folder}/") and any(right)):
            raise _Refused(_HOW)


def new_folder() -> str:
    """A path that nobody can guess."""
    return f"/{secrets.token_hex(8)}"


def _headers(lines: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in lines:
        key, text = name.lower().decode("latin-1"), value.decode("latin-1")
        if key.encode("latin-1") in _SINGLE and key in headers:
            raise _Refused(f"The request has several {key} headers.")
        headers[key] = f"{headers[key]}; {text}" if key in headers else text
    return headers


def _is_same(given: str, wanted: str) -> bool:
    """Compare in a time that does not tell how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _with_headers(send: Send) -> Send:
    async def send_safely(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (name, value)
                for name, value in message.get("headers", ())
                if not bytes(name).lower().startswith(_CROSS_ORIGIN)
            ]
            message = {**message, "headers": [*headers, *_HEADERS]}
        await send(message)

    return send_safely


async def _answer(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes
) -> None:
    headers = [
        *headers,
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
