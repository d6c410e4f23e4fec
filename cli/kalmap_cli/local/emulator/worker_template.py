"""The process that Lambda's workers are forked from: `python worker_template.py SOCKET FOLDER`.

It imports what every function imports of other people's code. For each code that is deployed it
forks a template of its own, which also imports what every step of a batch needs of the library
`kalmap`: the library reads no environment when it is imported, so that all functions get the same.
A worker with this code is a fork of that template, and itself imports only its handler. Every
template has one thread, so that a fork of it is safe.

SOCKET is the descriptor of a socket whose other end the local cloud has. A request is four bytes
with its length, the descriptors of the worker's stdin, stdout and stderr, and JSON with its
`program`, `cwd` and `env`. The answer is four bytes with the worker's process id, and a
descriptor of that process. When the local cloud ends, for any reason, so do these processes. FOLDER
is only there to be shown in lists of processes.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import re
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3.session
from botocore.loaders import JSONFileLoader, Loader

#: What functions import. One that is not installed is left out: a function that needs it says so
#: itself.
MODULES = (
    "aws_lambda_powertools",
    "aws_lambda_powertools.event_handler",
    "aws_lambda_powertools.metrics",
    "boto3.dynamodb.types",
    "concurrent.futures",
    "msgspec",
    "numpy",
    "urllib3",
)
#: Services of whose clients the descriptions are read.
SERVICES = ("dynamodb", "s3")

#: The library in a function's code.
LIBRARY = "kalmap"
#: What the steps of a batch import of it: all modules of the first, and these.
STEPS = ("kalmap.pipeline", "kalmap.store.dynamodb.batches", "kalmap.store.dynamodb.states")

_files: dict[Any, Any] = {}
_services: dict[str, Any] = {}
_read_file, _list_services = JSONFileLoader.load_file, Loader.list_available_services


def prepare() -> None:
    """Import what functions import, and read what their clients are made from."""
    # Plain assignments to methods are nothing that mypy allows.
    setattr(JSONFileLoader, "load_file", _read_once)  # noqa: B010
    setattr(Loader, "list_available_services", _list_once)  # noqa: B010
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    session: Any = boto3.session.Session("none", "none", region_name="us-east-1")
    for service in SERVICES:
        session.client(service)
    # What is here stays. No worker needs to look through it, which would copy its memory.
    gc.collect()
    gc.freeze()


def _read_once(loader: JSONFileLoader, path: str) -> Any:
    """The description of a service, whose file is read once for all workers."""
    if path not in _files:
        _files[path] = _read_file(loader, path)
    return _files[path]


def _list_once(loader: Loader, type_name: str) -> Any:
    """The services that there are, for which the folders are searched once for all workers."""
    if type_name not in _services:
        _services[type_name] = _list_services(loader, type_name)
    return _services[type_name]


def serve(line: socket.socket, code: str = "") -> None:
    """Fork a worker at each request, until the local cloud has ended.

    Args:
        line: Gets the requests, and the answers.
        code: The folder of the code that this process has imported; empty if it has none.
    """
    signal.signal(signal.SIGCHLD, _reap)
    templates: dict[str, socket.socket] = {}
    while True:
        head, files, _, _ = socket.recv_fds(line, 4, 3)
        if not head:
            return
        message = line.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        request = json.loads(message)
        answer = b""
        handles: list[int] = []
        wanted = library_of(request["cwd"])
        if wanted != code:
            if wanted not in templates:
                templates[wanted] = _template_with(wanted, [line, *templates.values()])
            # If it has ended, this process forks the worker.
            with contextlib.suppress(OSError):
                answer, handles = _pass_on(head, message, files, templates[wanted])
        if not handles:
            worker, handle = _fork([line, *templates.values()])
            if not worker:
                become(request, files)
            answer, handles = worker.to_bytes(4, "big"), [handle]
        socket.send_fds(line, [answer], handles)
        for file in (*files, *handles):
            os.close(file)


def library_of(folder: str) -> str:
    """The folder of the code that a worker's folder has links to; empty without the library."""
    package = Path(folder, LIBRARY)
    return str(package.resolve().parent) if package.is_symlink() else ""


def _fork(lines: Sequence[socket.socket]) -> tuple[int, int]:
    """Fork: gives the new process's id and a descriptor of it, and there 0, without these lines."""
    # Until it has a handle, a process that has ended keeps its id.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    process = os.fork()
    if not process:
        for line in lines:
            line.close()
        return 0, -1
    handle = os.pidfd_open(process)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    return process, handle


def _template_with(code: str, lines: Sequence[socket.socket]) -> socket.socket:
    """The line to a new template, which has imported the library in a folder with code."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    template, handle = _fork([*lines, ours])
    if not template:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            _import_steps(code)
            serve(theirs, code)
        finally:
            os._exit(0)
    os.close(handle)
    theirs.close()
    return ours


def _import_steps(code: str) -> None:
    sys.path.insert(0, code)
    # What cannot be imported fails again in the worker that needs it, which then says why.
    with contextlib.suppress(Exception):
        package, *_ = map(importlib.import_module, STEPS)
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    sys.path.remove(code)
    gc.collect()
    gc.freeze()


def _pass_on(
    head: bytes, message: bytes, files: Sequence[int], line: socket.socket
) -> tuple[bytes, list[int]]:
    socket.send_fds(line, [head], files)
    line.sendall(message)
    answer, handles, _, _ = socket.recv_fds(line, 4, 1)
    return answer, handles


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def take_on(request: dict[str, Any], files: list[int]) -> None:
    """Take on the signals, files, folder and environment of a new process.

    Args:
        request: Has the folder (`cwd`) and the environment (`env`).
        files: Become stdin, stdout and stderr.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])


def become(request: dict[str, Any], files: list[int]) -> None:
    """Be a worker, as if Python had been started with its program. Does not return."""
    code = 1
    try:
        take_on(request, files)
        _name(request["env"].get("AWS_LAMBDA_FUNCTION_NAME", ""))
        sys.argv = [request["program"]]
        # As Python itself opens them.
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        log = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stderr = log
        runpy.run_path(request["program"], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself would
        traceback.print_exc()
    finally:
        # Not a normal exit: the template's own clean-up is not this process's.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def _name(function: str) -> None:
    """Show the function in lists of processes: `kalmap-FilterFunction-1A2B` as `Filter`."""
    found = re.search(r"-(\w+)Function", function)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(found[1] if found else function or "worker")


if __name__ == "__main__":
    prepare()
    serve(socket.socket(fileno=int(sys.argv[1])))
