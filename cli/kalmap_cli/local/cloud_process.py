"""The local cloud's process, which runs ministack.

`kalmap_cli.local.cloud` starts it as `python cloud_process.py SOCKET CONTROL IDLE CALLS DIRECTORY`:

- SOCKET is the descriptor of a listening socket. The parent binds it, so no other program can take
  the port.
- CONTROL is the descriptor of a socket whose other end only the parent has. The parent requests
  saves over it, and gets a message after each save. When the parent ends for any reason, reading
  returns. Then this process saves and ends, as soon as it has no guests
  (`kalmap_cli.local.guests`).
- IDLE is the number of seconds that a Lambda worker may be idle.
- CALLS is 1 if functions will surely be called, else 0.
- DIRECTORY is the data directory. It is only there to be shown in lists of processes.

The environment has the secret that signs requests (`kalmap_cli.local.guard`).
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
from kalmap_cli.local.emulator.forked_workers import Template
from kalmap_cli.local.guests import wait_for_guests
from kalmap_cli.local.persistence import Persistence

#: Seconds for the last save, before all processes are killed.
_SAVE_TIMEOUT = 120.0
#: Seconds between two syncs of the log.
_SYNC_INTERVAL = 1.0
#: Seconds to wait after a failed save.
_RETRY_INTERVAL = 60.0

_orphaned = threading.Event()


class _Parent:
    """The connection to the parent process."""

    def __init__(self, control: int) -> None:
        self._control = socket.socket(fileno=control)

    def wait(self) -> None:
        """Return when the parent requests a save.

        Raises:
            EOFError: The parent has ended.
        """
        if not self._control.recv(1):
            raise EOFError

    def send(self, word: str, reason: object = "") -> None:
        """Send the result of a save, or of the start, as one line."""
        with contextlib.suppress(OSError):
            self._control.sendall(f"{word} {' '.join(str(reason).split())}\n".encode())


def _watch(parent: _Parent, save: Callable[[], object]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            parent.wait()
            save()
    _orphaned.set()
    wait_for_guests(Path(".."))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_SAVE_TIMEOUT)
    _kill_process_group()


def _kill_process_group() -> None:
    """Kill this process and its workers, which otherwise would finish their calls."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def secret_of(access_key: str) -> str | None:
    """The secret of an access key. There is one key, which the parent and the workers use."""
    only_key = os.environ["AWS_ACCESS_KEY_ID"]
    return os.environ["AWS_SECRET_ACCESS_KEY"] if access_key == only_key else None


async def serve(
    listening: int,
    idle_seconds: float,
    persistence: Persistence,
    parent: _Parent,
    template: Template,
) -> None:
    """Serve the local cloud on a listening socket until SIGTERM. Then save and end."""
    from hypercorn.asyncio import serve as serve_asgi  # noqa: PLC0415 - see main()
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415

    from kalmap_cli.local.access_files import remove_access_files  # noqa: PLC0415
    from kalmap_cli.local.api_gateway import with_paths_as_sent  # noqa: PLC0415
    from kalmap_cli.local.emulator.changes import install  # noqa: PLC0415
    from kalmap_cli.local.guard import Guard  # noqa: PLC0415
    from kalmap_cli.local.upkeep import end_idle_workers, limit_workers, trim_regularly  # noqa: PLC0415

    # Workers are processes. More of them than cores would only wait for each other.
    workers = max(2, os.cpu_count() or 2)
    install(workers, template)
    loop = asyncio.get_running_loop()

    def save_soon() -> None:
        loop.call_soon_threadsafe(_save, persistence, parent)

    threading.Thread(target=_watch, args=(parent, save_soon), daemon=True).start()
    limit_workers(workers)
    threading.Thread(target=end_idle_workers, args=(idle_seconds,), daemon=True).start()
    tasks = [
        asyncio.create_task(_sync_log_regularly(persistence)),
        asyncio.create_task(trim_regularly()),
    ]
    config = Config()
    config.bind = [f"fd://{listening}"]
    config.loglevel = os.environ["LOG_LEVEL"]
    config.keep_alive_timeout = 75
    # Requests that are open at the end come from workers, which are stopped next.
    config.graceful_timeout = 1
    guarded: Any = Guard(with_paths_as_sent(app), int(os.environ["GATEWAY_PORT"]), secret_of)
    await serve_asgi(guarded, config)
    # The parent does this too, unless it was killed. The path is relative to the working
    # directory, because another directory in its place is not ours.
    remove_access_files(Path(".."))
    for task in tasks:
        task.cancel()
    saved = _save(persistence, parent)
    # A normal exit would wait for all calls in progress.
    if _orphaned.is_set():
        _kill_process_group()
    os._exit(0 if saved else 1)


def _save(persistence: Persistence, parent: _Parent) -> bool:
    try:
        persistence.save()
    except OSError as error:
        parent.send("unsaved", error.strerror or error)
        return False
    parent.send("saved")
    return True


async def _sync_log_regularly(persistence: Persistence) -> None:
    while True:
        await asyncio.sleep(_SYNC_INTERVAL)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(persistence.sync)
        if persistence.is_log_long:
            try:
                persistence.save()
            except OSError:
                # Nothing is lost, because the log has it. The last save reports any failure.
                await asyncio.sleep(_RETRY_INTERVAL)


def main() -> None:
    """Run until SIGTERM, or until the parent has ended."""
    listening, control, idle_seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    parent = _Parent(control)
    template = Template()
    # The files have data about people, so only their owner can read them.
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if sys.argv[4] == "1":
        # It imports while this process does.
        template.start()
    try:
        persistence = Persistence(Path.cwd())
        persistence.restore()
    except WrongUsage as error:
        parent.send("refused", error)
        sys.exit(1)
    except OSError as error:
        parent.send("unstarted", error.strerror or error)
        sys.exit(1)
    persistence.start_logging()
    asyncio.run(serve(listening, idle_seconds, persistence, parent, template))


if __name__ == "__main__":
    main()
