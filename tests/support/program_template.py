"""What programs are forked from: `python -P program_template.py SOCKET LIFE`.

`forked_programs` makes the requests, over connections to SOCKET. When the other end of the pipe
LIFE is closed, this process ends; programs that it has forked do not. One that gets a session of
its own also gets such a process in this session, for what it starts itself.
"""

import fcntl
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
from pathlib import Path

from kalmap_cli.local.emulator import worker_template

ROOT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, ROOT)
from tests.support import forked_programs  # noqa: E402

# Programs do not find the tests.
sys.path.remove(ROOT)

#: What ministack imports, and what it takes to transform a template of SAM.
MODULES = (
    "cryptography.hazmat.primitives.serialization",
    "docker",
    "duckdb",
    "hypercorn.asyncio",
    "hypercorn.config",
    "jsonata",
    "requests",
    "samtranslator.translator.transform",
    "yaml",
)
#: stdin, stdout, stderr and what a program keeps under the numbers that it has.
FILES = 16
#: Above all numbers of files that a program may keep.
_ABOVE = 512


def prepare() -> None:
    """Import what programs import, but nothing of ministack, which reads its environment then."""
    worker_template.prepare()
    for name in MODULES:
        importlib.import_module(name)
    # The library comes with the code that is deployed.
    assert not {"kalmap", "ministack"} & {*sys.modules}
    gc.collect()
    gc.freeze()


def reap(*_: object) -> None:
    worker_template._reap()


def listen(listening: socket.socket, life: int) -> None:
    """Answer each request over a connection of its own, until the end of LIFE."""
    is_prepared = False
    while True:
        ready, _, _ = select.select([listening, life], [], [])
        if life in ready:
            return
        with listening.accept()[0] as line:
            if not is_prepared:
                prepare()
                is_prepared = True
            answer(line, [listening.fileno(), life])


def answer(line: socket.socket, own: list[int]) -> bool:
    """Fork a program for one request; gives whether there was one.

    Args:
        line: The request comes from here, and the answer goes there.
        own: Other files of this process, which the program does not get.
    """
    head, files, _, _ = socket.recv_fds(line, 4, FILES)
    if not head:
        return False
    request = json.loads(line.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
    # Until it has a handle, a process that has ended keeps its id.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    process = os.fork()
    if not process:
        for file in (line.fileno(), *own):
            os.close(file)
        become(request, files)
    handle = os.pidfd_open(process)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    socket.send_fds(line, [process.to_bytes(4, "big")], [handle])
    for file in (*files, handle):
        os.close(file)
    return True


def become(request: dict, files: list[int]) -> None:
    """Be a program, as if Python had been started with it. Does not return."""
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, _ABOVE) for file in files]
    for file in files:
        os.close(file)
    if request["new_session"]:
        os.setsid()
        keep_a_template(request["env"].get("PYTHONPATH"), moved)
    standard, kept = moved[:3], moved[3:]
    worker_template.take_on(request, standard)
    for number, file in zip(request["kept"], kept, strict=True):
        os.dup2(file, number)
        os.close(file)
    random.seed()
    sys.argv = [request["program"], *request["arguments"]]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    log = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = log
    code = 1
    try:
        runpy.run_path(request["program"], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself would
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        os._exit(code)


def keep_a_template(packages: str | None, files: list[int]) -> None:
    """Fork this process for what the program that it becomes starts in its session."""
    line, its_line = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    if not os.fork():
        for file in (line.fileno(), *files):
            os.close(file)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        while answer(its_line, []):
            pass
        os._exit(0)
    its_line.close()
    # Above what the program keeps.
    above = socket.socket(fileno=fcntl.fcntl(line, fcntl.F_DUPFD_CLOEXEC, _ABOVE))
    line.close()
    forked_programs.install(packages, line=above)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, reap)
    listen(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
