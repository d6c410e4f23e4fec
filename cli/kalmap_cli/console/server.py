"""The console's server: hypercorn in a thread of `kalmap serve`, on 127.0.0.1 alone."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from kalmap_cli.console.access import Access, new_folder
from kalmap_cli.console.app import create_app
from kalmap_cli.deployment import Deployment
from kalmap_cli.errors import WrongUsage
from kalmap_cli.reporting.drawing import start_drawing

#: The port if the user names none. If it is taken, another one is.
DEFAULT_PORT = 8720
#: Seconds for requests that are open at the end.
_GRACE = 1.0
#: Seconds for the thread to end after that.
_END_TIMEOUT = 10.0
_BACKLOG = 128


def listen(port: int | None) -> socket.socket:
    """Listen on a port of 127.0.0.1; None for the usual one, or a free one if that is taken.

    Raises:
        WrongUsage: The port cannot be used.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A port that connections of an earlier console have used can be used again at once.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", DEFAULT_PORT if port is None else port))
        except OSError as error:
            if port is not None:
                raise WrongUsage(
                    f"Port {port} of 127.0.0.1 cannot be used: {error.strerror or error}. Name "
                    "another with --port, or omit --port to get one that is free."
                ) from error
            listening.bind(("127.0.0.1", 0))
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


@contextmanager
def run_console(deployment: Deployment, listening: socket.socket) -> Iterator[str]:
    """Run the console while the block lasts.

    Args:
        deployment: What its pages are about.
        listening: From `listen`.

    Yields:
        The address that opens it in a browser.
    """
    # Clients are made one after the other; they can be used by several threads.
    for service in ("s3", "dynamodb", "stepfunctions"):
        deployment.clients(service)
    folder = new_folder()
    app: Any = create_app(deployment, folder)
    access = Access(app, folder, listening.getsockname()[1])
    server = _Server(access, listening)
    server.start()
    app.state.users.read_ahead()
    threading.Thread(target=start_drawing, name="console-start", daemon=True).start()
    try:
        yield access.address
    finally:
        server.end()


class _Server:
    """Serves an ASGI application in a thread until it is ended."""

    def __init__(self, app: Access, listening: socket.socket) -> None:
        self._app: Any = app
        self._listening = listening
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(_END_TIMEOUT)

    def _run(self) -> None:
        config = Config()
        # Hypercorn closes the descriptor that it gets.
        config.bind = [f"fd://{os.dup(self._listening.fileno())}"]
        config.loglevel = "WARNING"
        config.graceful_timeout = _GRACE
        config.include_server_header = False
        self._loop.run_until_complete(serve(self._app, config, shutdown_trigger=self._ended.wait))
