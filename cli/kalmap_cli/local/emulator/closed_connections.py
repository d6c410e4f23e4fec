"""A connection that its client has closed is closed here, too, at once.

Hypercorn waits for as long as an idle connection may stay open, over a minute. Each worker that
ends leaves some, so that a busy local cloud had hundreds, of the thousand files that a process
may have open.
"""

from hypercorn.asyncio.tcp_server import TCPServer


def install() -> None:
    """Let Hypercorn no longer wait for requests on connections that are at their end."""
    read = TCPServer._read_data  # noqa: SLF001 - the version is pinned exactly

    async def read_to_the_end(self: TCPServer) -> None:
        await read(self)
        await self.idle_task.stop()

    # Plain assignments to methods are nothing that mypy allows.
    setattr(TCPServer, "_read_data", read_to_the_end)  # noqa: B010
