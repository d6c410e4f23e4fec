"""The local cloud's own process: ministack, on a socket and a line to its parent that it inherits.

Started by `kalmap_cli.local.cloud` as `python cloud_process.py SOCKET LINE IDLE DIRECTORY`: two
file descriptors, the seconds that a Lambda worker may idle, and the data directory, which is
there to be seen in a list of processes. The socket is bound before this process exists, so
nobody can take its port in between. The line is a socket whose other end only the parent holds:
when the parent ends, however it ends, reading returns, and this process saves its state and
goes, once it has no guests (`kalmap_cli.local.guests`). The parent asks for a save by it, and is
told how each one went.

The environment has the secret that requests must be signed with (`kalmap_cli.local.guard`).
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kalmap_cli.errors import WrongUsage
from kalmap_cli.local.guests import wait_for_guests
from kalmap_cli.local.persistence import Persistence

#: How long saving may take before everything is ended by force, seconds.
_GRACE = 120.0
#: Seconds between two syncs of the log and looks at its length, and after a save that failed.
_LOOK = 1.0
_PAUSE = 60.0

_orphaned = threading.Event()


class _Parent:
    """The line to the parent."""

    def __init__(self, line: int) -> None:
        self._line = socket.socket(fileno=line)

    def wait(self) -> None:
        """Return when it asks for a save.

        Raises:
            EOFError: It has ended.
        """
        if not self._line.recv(1):
            raise EOFError

    def tell(self, word: str, why: object = "") -> None:
        """Say in one line what has come of a save, or of the start."""
        with contextlib.suppress(OSError):
            self._line.sendall(f"{word} {' '.join(str(why).split())}\n".encode())


def _watch(parent: _Parent, save: Callable[[], object]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            parent.wait()
            save()
    _orphaned.set()
    wait_for_guests(Path(".."))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    _end_with_workers()


def _end_with_workers() -> None:
    """End this process group: workers in the middle of a call would outlive their input."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def secret_of(access_key: str) -> str | None:
    """The secret of an access key. There is one pair, which the parent and the workers have."""
    known = os.environ["AWS_ACCESS_KEY_ID"]
    return os.environ["AWS_SECRET_ACCESS_KEY"] if access_key == known else None


async def serve(listening: int, idle: float, keeper: Persistence, parent: _Parent) -> None:
    """Serve the local cloud on an already listening socket until SIGTERM; then save and end."""
    from hypercorn.asyncio import serve as serve_asgi  # noqa: PLC0415 - see main()
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415

    from kalmap_cli.local.access_files import remove_access_files  # noqa: PLC0415
    from kalmap_cli.local.api_gateway import with_paths_as_sent  # noqa: PLC0415
    from kalmap_cli.local.guard import Guard  # noqa: PLC0415
    from kalmap_cli.local.upkeep import end_idle_workers, limit_workers, trim_regularly  # noqa: PLC0415

    loop = asyncio.get_running_loop()

    def save_soon() -> None:
        loop.call_soon_threadsafe(_save, keeper, parent)

    threading.Thread(target=_watch, args=(parent, save_soon), daemon=True).start()
    # A worker is a process: more of a function's than there are cores only wait for each other.
    limit_workers(max(2, os.cpu_count() or 2))
    threading.Thread(target=end_idle_workers, args=(idle,), daemon=True).start()
    keeping = [asyncio.create_task(_keep_the_log(keeper)), asyncio.create_task(trim_regularly())]
    config = Config()
    config.bind = [f"fd://{listening}"]
    config.loglevel = os.environ["LOG_LEVEL"]
    config.keep_alive_timeout = 75
    # Requests still open at the end are those of workers about to be stopped.
    config.graceful_timeout = 1
    guarded: Any = Guard(with_paths_as_sent(app), int(os.environ["GATEWAY_PORT"]), secret_of)
    await serve_asgi(guarded, config)
    # Here, too, for the parent may have been killed: what says where it is served lies no longer.
    # By the working directory: what may have been put in its place is not ours.
    remove_access_files(Path(".."))
    for task in keeping:
        task.cancel()
    saved = _save(keeper, parent)
    # Leaving by the front door would wait for every call in progress.
    if _orphaned.is_set():
        _end_with_workers()
    os._exit(0 if saved else 1)


def _save(keeper: Persistence, parent: _Parent) -> bool:
    try:
        keeper.save()
    except OSError as error:
        parent.tell("unsaved", error.strerror or error)
        return False
    parent.tell("saved")
    return True


async def _keep_the_log(keeper: Persistence) -> None:
    while True:
        await asyncio.sleep(_LOOK)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(keeper.sync)
        if keeper.is_log_long:
            try:
                keeper.save()
            except OSError:
                # Nothing is lost: the log has it. The save at the end says so if it fails, too.
                await asyncio.sleep(_PAUSE)


def main() -> None:
    """Run until told to stop, or until the parent is gone."""
    listening, line, idle = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    parent = _Parent(line)
    # What it writes is about people: for their own user only.
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        keeper = Persistence(Path.cwd())
        keeper.restore()
    except WrongUsage as refused:
        parent.tell("refused", refused)
        sys.exit(1)
    except OSError as error:
        parent.tell("unstarted", error.strerror or error)
        sys.exit(1)
    keeper.keep()
    asyncio.run(serve(listening, idle, keeper, parent))


if __name__ == "__main__":
    main()
