"""The HTTP API's requests on the local cloud, taken as API Gateway takes them, and few at a time.

API Gateway finds a request's route by its path as it was sent, and gives the function the path's
parameters so: `/users/a%2Fb` is the user `a/b`. The emulator undoes the escapes first, and takes
`//health` and `/health/` for `/health`; API Gateway does neither.

The emulator starts a worker, of 90 MB and a second of one core, for every request that finds none
free. Twenty requests at once are answered sooner by a few workers, one after the other.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

App = Callable[[Mapping[str, Any], Any, Any], Awaitable[None]]

_MARK = "/_user_request_"
_NO_ROUTE = "/no-such-route"


class ApiGateway:
    """The emulator's ASGI application, before which the API's requests are put in order.

    Args:
        app: the emulator's.
        at_once: requests to the API that it sees at a time.
    """

    def __init__(self, app: App, at_once: int = 2 * (os.cpu_count() or 2)) -> None:
        self._app = app
        self._room = asyncio.Semaphore(at_once)

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Let the emulator answer a request, in its turn if it is to the API."""
        if scope["type"] == "http":
            path = path_as_sent(scope["path"], scope["raw_path"].decode())
            if path is not None:
                async with self._room:
                    await self._app({**scope, "path": path}, receive, send)
                return
        await self._app(scope, receive, send)


def path_as_sent(path: str, sent: str) -> str | None:
    """The path to find a request's route by, as it was sent; None for what is not the API's."""
    stage, mark, route = sent.partition(_MARK)
    if not path.startswith("/restapis/") or not mark:
        return None
    parts = route.removeprefix("/").split("/")
    return stage + mark + (route if all(parts) else _NO_ROUTE)
