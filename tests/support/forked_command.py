"""A `kalmap` command that is forked from a process which has imported what commands import.

Starting Python and importing cost most commands more processor time than their work.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from tests.support.forked_programs import template_of

PROGRAM = Path(__file__).with_name("command_template.py")

_one_request = threading.Lock()


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> tuple[int, str, str]:
    """Run a command to its end; gives its exit code, and what it wrote to stdout and stderr."""
    (out, its_out), (err, its_err), (end, its_end) = (os.pipe() for _ in range(3))
    request = {"arguments": arguments, "cwd": str(cwd), "env": dict(env)}
    with open(os.devnull, "rb") as stdin:  # noqa: PTH123 - a device
        process = _fork(request, (stdin.fileno(), its_out, its_err, its_end), env["PYTHONPATH"])
    for theirs in (its_out, its_err, its_end):
        os.close(theirs)
    with ThreadPoolExecutor() as pool:
        written = [pool.submit(_read, file) for file in (out, err)]
        if not select.select([end], [], [], timeout)[0]:
            os.kill(process, signal.SIGKILL)
        code = int(_read(end))
    assert code != -signal.SIGKILL, f"not at its end after {timeout} s"
    return code, *(text.result() for text in written)


def _read(file: int) -> str:
    with open(file) as opened:
        return opened.read()


def _fork(request: Mapping[str, object], files: Sequence[int], packages: str) -> int:
    message = json.dumps(request).encode()
    with _one_request:
        line = _template(packages)
        socket.send_fds(line, [len(message).to_bytes(4, "big")], files)
        line.sendall(message)
        return int.from_bytes(line.recv(4, socket.MSG_WAITALL), "big")


@cache
def _template(packages: str) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-P", PROGRAM, str(theirs.fileno()), template_of(packages)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # One thread: a process with several should not be forked.
            env=os.environ | {"PYTHONPATH": packages, "OPENBLAS_NUM_THREADS": "1"},
        )
    atexit.register(ours.close)
    return ours
