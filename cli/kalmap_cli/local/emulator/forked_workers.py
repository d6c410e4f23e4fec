"""Lambda's workers are forks of a process that has imported what they all import.

ministack starts a Python for each worker, which imports numpy and boto3 before it does anything:
0.3 to 0.5 processor seconds, more than most of its calls take. Here one process, the template
(`worker_template`), has imported them once, and each worker is a fork of it: a process of its own,
with the environment, folder and pipes that ministack gives it. What all steps of a batch share of
the deployed code is imported once, too.

Only on Linux. On macOS a fork of a process that has used the system's libraries may crash. There,
and if the template cannot be started, workers start as ever.
"""

import contextlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("worker_template.py")
#: The end of the name that ministack gives to a worker's program in Python.
_WORKER = "_worker.py"
#: Seconds for the template to import what it imports. Nothing waits longer for a fork.
_TIMEOUT = 60.0


def install(template: "Template") -> None:
    """Let ministack's workers in Python be forks, where that is safe."""
    # The template may start before ministack is imported, which takes a second.
    from ministack.core import lambda_runtime  # noqa: PLC0415

    if can_fork():
        lambda_runtime.subprocess = _SubprocessModule(template)


def can_fork() -> bool:
    """Whether this system can fork workers, and watch processes that are not its children."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):  # an old kernel, or a sandbox without this call
        return False
    return True


class _SubprocessModule:
    """The module subprocess, whose `Popen` forks a worker in Python and starts everything else."""

    def __init__(self, template: "Template") -> None:
        self._template = template

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, command: Sequence[str], **named: Any) -> Any:  # noqa: N802 - as in subprocess
        if list(command[:1]) == [sys.executable] and str(command[-1]).endswith(_WORKER):
            with contextlib.suppress(OSError):
                return ForkedWorker(self._template, command[-1], named["cwd"], named["env"])
        return subprocess.Popen(command, **named)  # noqa: S603 - ministack's own command


class Template:
    """The process that workers are forked from. It starts with the first of them, or before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: socket.socket | None = None

    def start(self) -> None:
        """Start it, so that the first worker need not wait for its imports."""
        with self._lock, contextlib.suppress(OSError):
            if can_fork():
                self._line = self._line or self._started()

    def fork(self, request: Mapping[str, Any], files: Sequence[int]) -> tuple[int, int]:
        """Have it fork a worker.

        Args:
            request: The worker's program, folder (`cwd`) and environment (`env`).
            files: Become the worker's stdin, stdout and stderr.

        Returns:
            The worker's process id, and a descriptor of the process.

        Raises:
            OSError: There is no template any more. The next call starts another.
        """
        message = json.dumps(request).encode()
        with self._lock:
            line = self._line = self._line or self._started()
            try:
                socket.send_fds(line, [len(message).to_bytes(4, "big")], files)
                line.sendall(message)
                answer, handles, _, _ = socket.recv_fds(line, 4, 1)
                if not handles:
                    raise BrokenPipeError("the template of the workers has ended")
            except OSError:
                self._line = None
                line.close()
                raise
        return int.from_bytes(answer, "big"), handles[0]

    def close(self) -> None:
        """End it, if it has started."""
        with self._lock:
            if self._line is not None:
                self._line.close()
                self._line = None

    @staticmethod
    def _started() -> socket.socket:
        line, its_line = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with its_line:
            # The folder is only there to be shown in lists of processes, as for the local cloud.
            subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", str(PROGRAM), str(its_line.fileno()), str(Path.cwd())],
                pass_fds=[its_line.fileno()],
                stdin=subprocess.DEVNULL,
            )
        line.settimeout(_TIMEOUT)
        return line


class ForkedWorker:
    """A worker, with what ministack uses of `subprocess.Popen`.

    It is not a child of this process, so its exit code is not known.

    Args:
        template: Forks it.
        program: What it runs.
        cwd: Its folder.
        env: Its environment.

    Raises:
        OSError: It could not be forked.
    """

    def __init__(self, template: Template, program: str, cwd: str, env: Mapping[str, str]) -> None:
        its_stdin, stdin = os.pipe()
        stdout, its_stdout = os.pipe()
        stderr, its_stderr = os.pipe()
        theirs = (its_stdin, its_stdout, its_stderr)
        try:
            request = {"program": program, "cwd": cwd, "env": dict(env)}
            self.pid, handle = template.fork(request, theirs)
        except OSError:
            for file in (stdin, stdout, stderr):
                os.close(file)
            raise
        finally:
            for file in theirs:
                os.close(file)
        # Closed with this object.
        self.stdin = os.fdopen(stdin, "w", buffering=1)
        self.stdout, self.stderr = os.fdopen(stdout), os.fdopen(stderr)
        self.returncode: int | None = None
        self._process = io.FileIO(handle)

    def poll(self) -> int | None:
        """None while it runs."""
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            TimeoutExpired: It still runs.
        """
        code = self._wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        return code

    def terminate(self) -> None:
        """End it."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._process, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                return None
            self.returncode = -1
        return self.returncode

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process.fileno(), number)
