"""Lambda workers of the local cloud as forks of a process that has imported what they all import.

Starting a worker costs more processor time than most of its calls in the tests. Each of these
workers still has its own process, environment and folder, and imports the deployed code itself;
only the third-party modules are imported before. The workers of a local cloud share the unpacked
code, so that only the first compiles it. On other systems than Linux workers start as ever.
"""

import atexit
import hashlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

#: The programs that are a local cloud.
CLOUDS = ("cloud_process.py", "roles_process.py")
PROGRAM = Path(__file__).with_name("worker_template.py")

_start = threading.Lock()
_template = None
_unpacking = threading.Lock()
_extract_all = zipfile.ZipFile.extractall


def install():
    """Let this process, if it is a local cloud, fork its workers; says whether it is one."""
    is_cloud = any(word.endswith(CLOUDS) for word in sys.orig_argv)
    if is_cloud and sys.platform == "linux":
        subprocess.Popen = _Popen
        zipfile.ZipFile.extractall = _link_code
    return is_cloud


def _link_code(archive, folder):
    """Unpack a function's code once for all its workers, and link a worker's folder to it.

    The first worker that imports a module compiles it for all.
    """
    code = Path(archive.filename).read_bytes()
    unpacked = Path(tempfile.gettempdir(), f"code-{hashlib.sha256(code).hexdigest()}")
    with _unpacking:
        if not unpacked.exists():
            _extract_all(archive, unpacked)
    for entry in unpacked.iterdir():
        Path(folder, entry.name).symlink_to(entry)


class _Popen(subprocess.Popen):
    def __new__(cls, args, *_, cwd=None, env=None, **__):
        if isinstance(args, list) and str(args[-1]).endswith("_worker.py"):
            return ForkedWorker(args[-1], cwd, env)
        return super().__new__(cls)


class ForkedWorker:
    """A worker, with what the local cloud uses of `subprocess.Popen`."""

    def __init__(self, program, cwd, env):
        inner, outer = zip(*(os.pipe() for _ in range(3)), strict=True)
        # A pipe's first end is read: of stdin by the worker, of the others by us.
        theirs = (inner[0], outer[1], outer[2])
        try:
            self.pid = _fork({"program": program, "cwd": cwd, "env": env}, theirs)
        finally:
            for end in theirs:
                os.close(end)
        self.stdin = os.fdopen(outer[0], "w", buffering=1)
        self.stdout, self.stderr = os.fdopen(inner[1]), os.fdopen(inner[2])
        self.returncode = None
        try:
            self._process = io.FileIO(os.pidfd_open(self.pid))
        except ProcessLookupError:
            self._process, self.returncode = None, -1

    def poll(self):
        """The code it ended with, which is not known any better; None while it runs."""
        if self.returncode is None and select.select([self._process], [], [], 0)[0]:
            self.returncode = -1
        return self.returncode

    def wait(self, timeout=None):
        """Wait for its end."""
        if self.returncode is None:
            if not select.select([self._process], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("worker", timeout)
            self.returncode = -1
        return self.returncode

    def terminate(self):
        """End it."""
        self._signal(signal.SIGTERM)

    def kill(self):
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number):
        if self.poll() is None:
            signal.pidfd_send_signal(self._process.fileno(), number)


def _fork(request, files):
    """Have the template fork a worker; gives its process id."""
    global _template  # noqa: PLW0603 - one for the process
    with _start:
        if _template is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            # The folder is in its command line, and so in its forks': tests look for it there.
            subprocess.Popen(
                [sys.executable, "-P", PROGRAM, str(theirs.fileno()), str(Path.cwd())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
            theirs.close()
            _template = ours
            atexit.register(ours.close)
        message = json.dumps(request).encode()
        socket.send_fds(_template, [len(message).to_bytes(4, "big")], files)
        _template.sendall(message)
        return int.from_bytes(_template.recv(4, socket.MSG_WAITALL), "big")
