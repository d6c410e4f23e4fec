"""The process that `kalmap` commands are forked from.

It is started as `python -P command_template.py SOCKET PROGRAMS`. It imports what commands import,
and then forks one for each request. A command has its own process, environment and working
directory, and ends as any program of Python does. The template writes how it ended into the pipe
that came with the request. A local cloud that a command starts is a fork, too, of what listens at
the path PROGRAMS.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
from pathlib import Path

from kalmap_cli.local.emulator import worker_template

ROOT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, ROOT)
from tests.support import forked_programs  # noqa: E402

# Commands do not find the tests.
sys.path.remove(ROOT)

MAIN = "kalmap_cli.main"
#: stdin, stdout and stderr of a command, and the pipe for its end.
FILES = 4

_pipes: dict[int, int] = {}


def prepare() -> None:
    """Import all that commands import, but not the module that Python is to run."""
    worker_template.prepare()
    import kalmap_cli.commands

    for package in (kalmap_cli, kalmap_cli.commands):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if module.name not in (MAIN, "kalmap_cli.__main__"):
                importlib.import_module(module.name)
    session = sys.modules["boto3"].session.Session("none", "none", region_name="us-east-1")
    for service in ("cloudformation", "lambda", "stepfunctions"):
        session.client(service)
    gc.collect()
    gc.freeze()


def reap(*_: object) -> None:
    """Tell of each command that has ended how it did."""
    for process in [*_pipes]:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            pipe = _pipes.pop(process)
            os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(pipe)


def serve(line: socket.socket) -> None:
    """Fork a command for each request. Returns in a command; ends when the other end is closed."""
    while True:
        head, files, _, _ = socket.recv_fds(line, 4, FILES)
        if not head:
            sys.exit()
        message = line.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        process = os.fork()
        if not process:
            for file in (line.detach(), files.pop(), *_pipes.values()):
                os.close(file)
            become(json.loads(message), files)
            return
        _pipes[process] = files.pop()
        for file in files:
            os.close(file)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        line.sendall(process.to_bytes(4, "big"))


def become(request: dict, files: list[int]) -> None:
    """Take on a command's files, working directory, environment and arguments."""
    worker_template.take_on(request, files)
    sys.path.insert(0, request["cwd"])
    sys.argv = [MAIN, *request["arguments"]]


if __name__ == "__main__":
    prepare()
    forked_programs.install(os.environ["PYTHONPATH"], path=sys.argv[2])
    signal.signal(signal.SIGCHLD, reap)
    serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(MAIN, run_name="__main__", alter_sys=True)
