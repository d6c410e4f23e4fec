"""A DynamoDB for tests: the local cloud's, as a process of its own on a free port."""

import atexit
import functools
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import boto3

from kalmap.store.table import client_config
from tests.tables import create_tables

SECONDS_TO_START = 60


@functools.cache
def endpoint() -> str:
    """The address of the process, started at the first call and stopped at exit."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tempfile.TemporaryDirectory()
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        cwd=folder.name,
        env={
            **os.environ,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": "ERROR",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    @atexit.register
    def stop() -> None:
        process.terminate()
        process.wait(10)
        folder.cleanup()

    address = f"http://127.0.0.1:{port}"
    give_up = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            urllib.request.urlopen(f"{address}/_ministack/health", timeout=1).close()
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("The local cloud did not start.") from None
            time.sleep(0.05)
        else:
            return address


def new_client(address: str | None = None, **options):
    """A client that leaves retries to the store, as the handlers make it."""
    return boto3.client(
        "dynamodb",
        endpoint_url=address or endpoint(),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=client_config(**options),
    )


def new_table(client) -> str:
    """Creates an empty table of states, as the deployment has it."""
    return create_tables(client)["StatesTable"]
