"""A local cloud, and what its workers are forked from, as forks of a process that has imported.

Starting them costs a second of processor time, nearly all of it for importing other people's
packages. On Linux `install` lets `LocalCloud` start forks instead, in this process and in its
forks. Each is a process of its own, with the session, arguments, environment, folder and files of
the program that it would otherwise be, and imports ministack itself. Commands that tests `start` as
users do know nothing of this.
"""

import atexit
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from kalmap_cli.local import cloud
from kalmap_cli.local.emulator import forked_workers
from kalmap_cli.local.emulator.forked_workers import ForkedWorker

TEMPLATE = Path(__file__).with_name("program_template.py")
#: The programs that can be forks.
PROGRAMS = (cloud.PROGRAM, forked_workers.PROGRAM)
_NO_COMPILING = "PYTHONDONTWRITEBYTECODE"
#: Where this process itself finds packages.
OWN_PACKAGES = os.environ.get("PYTHONPATH")


class ForkedProgram(ForkedWorker):
    """A program, with what kalmap uses of `subprocess.Popen`."""

    def __init__(self, process: int, handle: int) -> None:
        self.pid = process
        self.returncode = None
        self._process = io.FileIO(handle)


class Subprocess:
    """The module subprocess, whose `Popen` forks the known programs and starts everything else.

    Args:
        path: The socket of the template.
        line: Connected to a template for this process alone.
        packages: The PYTHONPATH of the template. Programs with this one, or with that of this
            process, are forked; one with another is started as ever.
    """

    def __init__(
        self, packages: str | None, path: str = "", line: socket.socket | None = None
    ) -> None:
        self._packages, self._path, self._line = {packages, OWN_PACKAGES}, path, line

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, command: Sequence[str], **named: Any) -> Any:
        env = named.get("env") or os.environ
        if (
            [*command[:2]] != [sys.executable, "-P"]
            or Path(command[2]) not in PROGRAMS
            or env.get("PYTHONPATH") not in self._packages
        ):
            return subprocess.Popen(command, **named)
        if self._line is not None:
            return self._forked(self._line, command, env, named)
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self._path)
            return self._forked(line, command, env, named)

    @staticmethod
    def _forked(
        line: socket.socket, command: Sequence[str], env: Mapping[str, str], named: dict[str, Any]
    ) -> ForkedProgram:
        kept = [*named.get("pass_fds", ())]
        request = {
            "program": str(command[2]),
            "arguments": [*map(str, command[3:])],
            "env": dict(env),
            "cwd": str(named.get("cwd") or Path.cwd()),
            "kept": kept,
            "new_session": named.get("start_new_session", False),
        }
        message = json.dumps(request).encode()
        with open(os.devnull, "rb") as stdin:  # noqa: PTH123 - a device
            out = named["stdout"].fileno() if "stdout" in named else 1
            err = out if named.get("stderr") is subprocess.STDOUT else 2
            files = (stdin.fileno(), out, err, *kept)
            socket.send_fds(line, [len(message).to_bytes(4, "big")], files)
            line.sendall(message)
            answer, handles, _, _ = socket.recv_fds(line, 4, 1)
        return ForkedProgram(int.from_bytes(answer, "big"), handles[0])


def install(packages: str | None, **to_template: Any) -> None:
    """Let this process and its forks start local clouds by forking from a template."""
    module: Any = Subprocess(packages, **to_template)
    cloud.subprocess = forked_workers.subprocess = module


@cache
def template_of(packages: str) -> str:
    """The path of the socket of a template, which imports at its first request."""
    folder = tempfile.mkdtemp(prefix="kalmap-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = f"{folder}/template"
    ours, theirs = os.pipe()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        subprocess.Popen(
            [sys.executable, "-P", TEMPLATE, str(listening.fileno()), str(ours)],
            pass_fds=[listening.fileno(), ours],
            stdin=subprocess.DEVNULL,
            env=_environment(packages),
        )
    os.close(ours)
    atexit.register(os.close, theirs)
    return path


def _environment(packages: str) -> dict[str, str]:
    """Of a template."""
    # Python reads it once, so forks would never compile for each other, whatever their own says.
    inherited = {name: value for name, value in os.environ.items() if name != _NO_COMPILING}
    # One thread: a process with several should not be forked.
    return inherited | {"PYTHONPATH": packages, "OPENBLAS_NUM_THREADS": "1"}
