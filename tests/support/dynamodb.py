"""A DynamoDB for tests: that of the local cloud, in a process of its own, behind the same guard.

A client with the secret of this process's environment can use it. tests/conftest.py makes one.
"""

import atexit
import functools
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from kalmap.store.dynamodb.table import client_config
from tests.support.template import create_tables

PROGRAM = Path(__file__).with_name("dynamodb_process.py")


@functools.cache
def endpoint() -> str:
    """The address of the process, started at the first call and stopped at exit."""
    folder = tempfile.TemporaryDirectory()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-P", PROGRAM, str(listening.fileno())],
            cwd=folder.name,
            env={
                **os.environ,
                "GATEWAY_PORT": str(port),
                "SFTP_ENABLED": "0",
                "IOT_MTLS_ENABLED": "0",
                "LOG_LEVEL": "ERROR",
            },
            pass_fds=(listening.fileno(),),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @atexit.register
    def stop() -> None:
        process.terminate()
        process.wait(10)
        folder.cleanup()

    address = f"http://127.0.0.1:{port}"
    # Connected already: it answers as soon as it can.
    boto3.client("dynamodb", endpoint_url=address, region_name="us-east-1").list_tables()
    return address


def new_client(address: str | None = None, **options):
    """A client that leaves retries to the store, as the handlers make it.

    Args:
        address: of a server in front of the process; None for the process itself.
        options: of the client's configuration.
    """
    client = boto3.client(
        "dynamodb",
        endpoint_url=address or endpoint(),
        region_name="us-east-1",
        config=client_config(**options),
    )
    if address:
        client.meta.events.register("before-sign.dynamodb", _name_the_process)
    return client


def _name_the_process(request, **_):
    request.headers["Host"] = urlsplit(endpoint()).netloc


def new_table(client) -> str:
    """Creates an empty table of states, as the deployment has it."""
    return create_tables(client)["StatesTable"]
