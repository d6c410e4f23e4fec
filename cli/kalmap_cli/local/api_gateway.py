"""The HTTP API's paths on the local cloud, taken as API Gateway takes them.

API Gateway finds a request's route by its path as it was sent, and gives the function the path's
parameters so: `/users/a%2Fb` is the user `a/b`. The emulator undoes the escapes first, and takes
`//health` and `/health/` for `/health`; API Gateway does neither.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

App = Callable[[Mapping[str, Any], Any, Any], Awaitable[None]]

_MARK = "/_user_request_"
_NO_ROUTE = "/no-such-route"


def with_paths_as_sent(app: App) -> App:
    """The emulator's ASGI application, told of the API's paths as they were sent."""

    async def answer(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": path_as_sent(scope["path"], scope["raw_path"].decode())}
        await app(scope, receive, send)

    return answer


def path_as_sent(path: str, sent: str) -> str:
    """The path to find a request's route by: the API's as it was sent, others as they are."""
    stage, mark, route = sent.partition(_MARK)
    if not path.startswith("/restapis/") or not mark:
        return path
    parts = route.removeprefix("/").split("/")
    return stage + mark + (route if all(parts) else _NO_ROUTE)
