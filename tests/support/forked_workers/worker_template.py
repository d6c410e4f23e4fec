"""The process that the local cloud's workers are forked from: `worker_template.py SOCKET FOLDER`.

It imports what every handler imports of other people's code, and nothing of kalmap's, which each
worker imports from the code that is deployed.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback

from botocore.loaders import JSONFileLoader, Loader

#: Descriptions of services, which are read from files, are read once for all workers.
_read = JSONFileLoader.load_file
_files = {}
#: Which services there are is looked for in the folders once.
_list_services = Loader.list_available_services
_services = {}


def _read_once(self, path):
    if path not in _files:
        _files[path] = _read(self, path)
    return _files[path]


def _list_once(self, type_name):
    if type_name not in _services:
        _services[type_name] = _list_services(self, type_name)
    return _services[type_name]


def prepare():
    """Import, and read what clients are made from."""
    JSONFileLoader.load_file = _read_once
    Loader.list_available_services = _list_once
    for name in (
        "aws_lambda_powertools", "aws_lambda_powertools.event_handler",
        "aws_lambda_powertools.metrics", "boto3.dynamodb.types", "boto3.session", "msgspec",
        "numpy", "concurrent.futures", "urllib3",
    ):  # fmt: skip
        importlib.import_module(name)
    boto3 = sys.modules["boto3"]
    session = boto3.session.Session("none", "none", region_name="us-east-1")
    for service in ("s3", "dynamodb"):
        session.client(service)
    # What is here stays: no worker need look through it, and so copy its pages.
    gc.collect()
    gc.freeze()


def _reap(*_):
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def serve(line):
    """Fork a worker at each request, until the other end is closed."""
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        head, files, _, _ = socket.recv_fds(line, 4, 3)
        if not head:
            return
        message = line.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        worker = os.fork()
        if not worker:
            line.close()
            become(json.loads(message), files)
        for file in files:
            os.close(file)
        line.sendall(worker.to_bytes(4, "big"))


def become(request, files):
    """Be a worker, as if Python had started with its program; does not return."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.argv = [request["program"]]
        sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        # Faults are put into workers by a module that Python imports when it starts.
        importlib.reload(importlib.import_module("sitecustomize"))
        runpy.run_path(request["program"], run_name="__main__")
        code = 0
    except BaseException:  # noqa: BLE001 - as Python itself would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    prepare()
    serve(socket.socket(fileno=int(sys.argv[1])))
