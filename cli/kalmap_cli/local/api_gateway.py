"""Route the HTTP API's paths on the local cloud as API Gateway does.

API Gateway routes a request by its path as it was sent, before decoding: `/users/a%2Fb` is the
user `a/b`. ministack decodes the path first, and treats `//health` and `/health/` as `/health`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

App = Callable[[Mapping[str, Any], Any, Any], Awaitable[None]]

_SEPARATOR = "/_user_request_"
_NO_ROUTE = "/no-such-route"


def with_paths_as_sent(app: App) -> App:
    """Wrap ministack's ASGI application so that it gets the API's paths as they were sent."""

    async def answer(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": path_as_sent(scope["path"], scope["raw_path"].decode())}
        await app(scope, receive, send)

    return answer


def path_as_sent(path: str, raw_path: str) -> str:
    """The path that routes a request.

    Args:
        path: The decoded path.
        raw_path: The path as it was sent; used for the HTTP API only.
    """
    stage, separator, route = raw_path.partition(_SEPARATOR)
    if not path.startswith("/restapis/") or not separator:
        return path
    parts = route.removeprefix("/").split("/")
    return stage + separator + (route if all(parts) else _NO_ROUTE)
