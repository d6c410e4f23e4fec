"""What a worker has logged is read when it has answered, without waiting for more.

ministack waits after each call: until no line has come for 5 ms, or for 50 ms if there is none. But
a worker writes its lines before its answer, so they are all in the pipe. Here they are read from it
at once.
"""

import contextlib
import os
import queue
import select
import threading
from typing import Any

from ministack.core import lambda_runtime

_PIPE_BYTES = 2**16


def install() -> None:
    """Let ministack's workers read their log without waiting."""
    worker: Any = lambda_runtime.Worker
    wait = worker._drain_stderr_bounded  # noqa: SLF001 - the version is pinned exactly

    def read_stderr(self: Any) -> None:
        self._log = Log(self._proc.stderr, self._stderr_queue)
        self._log.follow()

    def drain(self: Any, *arguments: Any, **named: Any) -> str:
        log = getattr(self, "_log", None)
        if log is None or log.lines is not self._stderr_queue:
            return str(wait(self, *arguments, **named))
        log.read_waiting()
        return str(self._drain_stderr())

    worker._read_stderr = read_stderr  # noqa: SLF001
    worker._drain_stderr_bounded = drain  # noqa: SLF001


class Log:
    """Puts a worker's lines into a queue, whichever thread reads them.

    Args:
        stream: The worker's log. Nothing else may read from it.
        lines: Where its lines go.
    """

    def __init__(self, stream: Any, lines: "queue.Queue[str]") -> None:
        self.lines = lines
        self._stream = stream
        self._reading = threading.Lock()
        self._rest = b""

    def follow(self) -> None:
        """Read until the worker has ended."""
        # The file may have been closed meanwhile.
        with contextlib.suppress(OSError, ValueError):
            more = True
            while more:
                self._is_readable(None)
                more = self.read_waiting()

    def read_waiting(self) -> bool:
        """Read all that has been written so far; False at the end."""
        with self._reading:
            while self._is_readable(0):
                content = os.read(self._stream.fileno(), _PIPE_BYTES)
                if not content:
                    if self._rest:
                        self._put(self._rest)
                        self._rest = b""
                    return False
                *lines, self._rest = (self._rest + content).split(b"\n")
                for line in lines:
                    self._put(line)
        return True

    def _is_readable(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._stream.fileno(), select.POLLIN)
        return bool(poll.poll(timeout))

    def _put(self, line: bytes) -> None:
        self.lines.put(line.decode(errors="replace").rstrip("\r"))
