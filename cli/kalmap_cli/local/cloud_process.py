"""The local cloud's own process: ministack, on a socket and under a lifeline it inherits.

Started by `kalmap_cli.local.cloud` as `python cloud_process.py SOCKET LIFELINE IDLE DIRECTORY`: two
file descriptors, the seconds that a Lambda worker may idle, and the data directory, which is
also there to be seen in a list of processes. The socket is bound before this process exists, so
nobody can take its port in between. The lifeline is the reading end of a pipe whose other end
only the parent holds: when the parent ends, however it ends, reading returns, and this process
saves its state and goes.

The environment has the secret that requests must be signed with (`kalmap_cli.local.guard`).
"""

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

#: How long saving may take before everything is ended by force, seconds.
_GRACE = 15.0

_orphaned = threading.Event()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    _orphaned.set()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    _end_with_workers()


def _end_with_workers() -> None:
    """End this process group: workers in the middle of a call would outlive their input."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _end_idle_workers(most: float) -> None:
    """End Lambda workers that have been idle for `most` seconds, for as long as we live.

    ministack keeps a worker of every function that ever ran, and what a burst left behind
    for half a minute. A batch goes from one function to the next, so that most of them
    would be kept for nothing, at 50 MB each.
    """
    from ministack.core import lambda_runtime  # noqa: PLC0415 - see main()

    idle_since: dict[int, float] = {}
    while True:
        time.sleep(most / 4)
        now = time.monotonic()
        ended = []
        with lambda_runtime._lock:  # noqa: SLF001 - the version is pinned exactly
            for workers in lambda_runtime._workers.values():  # noqa: SLF001
                for worker in tuple(workers):
                    if worker.in_use:
                        idle_since.pop(id(worker), None)
                    elif now - idle_since.setdefault(id(worker), now) >= most:
                        workers.remove(worker)
                        idle_since.pop(id(worker))
                        ended.append(worker)
        lambda_runtime.kill_workers(ended)


def secret_of(access_key: str) -> str | None:
    """The secret of an access key. There is one pair, which the parent and the workers have."""
    known = os.environ["AWS_ACCESS_KEY_ID"]
    return os.environ["AWS_SECRET_ACCESS_KEY"] if access_key == known else None


async def serve(socket: int, idle: float, directory: Path) -> None:
    """Serve the local cloud on an already listening socket until SIGTERM; then save and end."""
    from hypercorn.asyncio import serve as serve_asgi  # noqa: PLC0415 - see main()
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415

    from kalmap_cli.local.access import forget  # noqa: PLC0415
    from kalmap_cli.local.guard import Guard  # noqa: PLC0415

    threading.Thread(target=_end_idle_workers, args=(idle,), daemon=True).start()
    config = Config()
    config.bind = [f"fd://{socket}"]
    config.loglevel = os.environ["LOG_LEVEL"]
    config.keep_alive_timeout = 75
    # Requests still open at the end are those of workers about to be stopped.
    config.graceful_timeout = 1
    guarded: Any = Guard(app, int(os.environ["GATEWAY_PORT"]), secret_of)
    await serve_asgi(guarded, config)
    # Here, too, for the parent may have been killed: what says where it is served lies no longer.
    forget(directory)
    # The state is saved. Leaving by the front door would wait for every call in progress.
    if _orphaned.is_set():
        _end_with_workers()
    os._exit(0)


def main() -> None:
    """Run until told to stop, or until the parent is gone."""
    socket, lifeline, idle = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    # First of all: importing takes a second, in which the parent may be killed.
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
    # What it writes is about people: for their own user only.
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(serve(socket, idle, Path(sys.argv[4])))


if __name__ == "__main__":
    main()
