"""`kalmap serve`: run the local cloud with its HTTP API and its web console until Ctrl-C."""

import contextlib
import json
import shlex
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from kalmap_cli.deployment import CLOUD_STAYS, Deployment, local_deployment, local_parameters
from kalmap_cli.errors import DONE, RunFailed
from kalmap_cli.listed_batches import for_user
from kalmap_cli.local.access_files import (
    API_URL_FILE,
    AWS_CONFIG_FILE,
    BUCKET_FILE,
    CONSOLE_URL_FILE,
    CURL_CONFIG_FILE,
    aws_configuration,
    curl_configuration,
    write_private,
)
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import STACK
from kalmap_cli.local.guests import allow_guests
from kalmap_cli.local.prepare import delete_expired, prepare
from kalmap_cli.reporting import CONSOLE_EXTRA, needs_extra
from kalmap_cli.screen import SHORT_ID, Screen

#: The local cloud ends workers that have been idle for so many seconds. Workers of a batch end
#: soon. A request keeps the API's worker alive.
_IDLE_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 4.0
_CHECK_SECONDS = 0.5
#: Seconds between two deletions of what has expired, as AWS does all the time.
_EXPIRY_SECONDS = 3600.0
#: Batches that are looked at when it ends.
_NEWEST = 25

_CONSOLE = """\
The console is open in a browser, to whoever has this address, at

  {address}
"""
_GUIDE = """\
The HTTP API is served at

  {address}

Requests are signed, as on AWS, with a secret that only you can read. In another
shell, in the same folder:

  api() {{ curl -sS -w '\\n' -K {curl} "$(cat {file})$@"; }}
  api /measurements -d '{{"measurements": [{{"user_id": "u-17",
    "timestamp": "2026-03-01T07:12:00+01:00", "value": 81.4}}]}}'
  api /users/u-17

README.md has an example of each request. AWS's own tools work too, after

  export AWS_CONFIG_FILE={aws} AWS_SHARED_CREDENTIALS_FILE={aws}

States and batches are stored in {directory}.
Ctrl-C stops it."""


def serve(data_dir: Path, port: int | None = None, api_port: int = 0) -> int:
    """Run the local cloud of a data directory until Ctrl-C.

    Args:
        data_dir: Of the local cloud.
        port: The console's port on 127.0.0.1; None for the usual one.
        api_port: The local cloud's port on 127.0.0.1; 0 for a free one.

    Returns:
        The exit code.

    Raises:
        WrongUsage: The data directory, or the port, cannot be used.
        RunFailed: The local cloud did not start, or ended unexpectedly.
    """
    with ExitStack() as stack:
        console = _listen_for_console(stack, port)
        with Screen() as screen:
            screen.note("Starting the local cloud")
            data = stack.enter_context(DataDirectory(data_dir))
            cloud = stack.enter_context(
                LocalCloud(data, idle_seconds=_IDLE_SECONDS, port=api_port, calls=True)
            )
            screen.note("Deploying the stack")
            prepare(cloud, local_parameters())
            _warm_up(cloud)
            address = api_address(cloud)
            deployment = local_deployment(cloud.clients, data_dir)
            console_url = console.run(stack, deployment)
        # The address last: a script that waits for its file finds all other files too.
        for name, content in (
            (CURL_CONFIG_FILE, curl_configuration(cloud.secret)),
            (AWS_CONFIG_FILE, aws_configuration(cloud.endpoint, cloud.secret)),
            (BUCKET_FILE, f"{deployment.stack.bucket}\n"),
            *([(CONSOLE_URL_FILE, f"{console_url}\n")] if console_url else []),
            (API_URL_FILE, f"{address}\n"),
        ):
            stack.callback((data_dir / name).unlink, missing_ok=True)
            write_private(data_dir / name, content)
        allow_guests(data.path, cloud.endpoint)
        shown = _CONSOLE.format(address=console_url) if console_url else console.told
        print(shown, _guide(address, data_dir), sep="\n", flush=True)
        # Ctrl-C is the normal end of this command.
        with contextlib.suppress(KeyboardInterrupt):
            _wait(cloud)
        running = _running_batches(deployment)
        print("Saving", file=sys.stderr, flush=True)
    note = CLOUD_STAYS if cloud.left_running else f"States and batches are stored.{running}"
    print(f"Stopped. {note}", flush=True)
    return DONE


def _running_batches(deployment: Deployment) -> str:
    """A sentence about the batches that end with the local cloud, with a space before it."""
    newest, _ = deployment.batches.page(_NEWEST)
    running = [one for one in for_user(deployment, newest) if one.status == "RUNNING"]
    if not running:
        return ""
    commands = " && ".join(
        f"kalmap retry {one.batch_id[:SHORT_ID]}{deployment.options}" for one in reversed(running)
    )
    what = "A batch" if len(running) == 1 else f"{len(running)} batches"
    return f" {what} had not ended; no reading counts twice if you run it again: {commands}"


class _Console(NamedTuple):
    """The console before it runs."""

    listening: socket.socket | None
    """None if there is no console."""
    told: str
    """Why there is none."""

    def run(self, stack: ExitStack, deployment: Deployment) -> str | None:
        """Run it until the stack ends; returns its address."""
        if self.listening is None:
            return None
        from kalmap_cli.console.server import run_console  # noqa: PLC0415

        return stack.enter_context(run_console(deployment, self.listening))


def _listen_for_console(stack: ExitStack, port: int | None) -> _Console:
    try:
        with needs_extra(CONSOLE_EXTRA):
            from kalmap_cli.console.server import listen  # noqa: PLC0415
    except RunFailed as error:
        if port is not None:
            raise
        return _Console(None, f"There is no console. {error}\n")
    return _Console(stack.enter_context(listen(port)), "")


def api_address(cloud: LocalCloud) -> str:
    """The address of the deployed stack's HTTP API on the local cloud."""
    stacks = cloud.clients("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}
    stage = outputs["ApiUrl"].rsplit("/", 1)[1]
    return f"{cloud.endpoint}/restapis/{outputs['ApiId']}/{stage}/_user_request_"


def _warm_up(cloud: LocalCloud) -> None:
    """Start a worker of the API, or keep it alive, so that requests need not wait for one."""
    api = _api_function(cloud)
    request = {
        "resource": "/health",
        "httpMethod": "GET",
        "headers": {},
        "requestContext": {"requestId": "warm-up"},
    }
    cloud.clients("lambda").invoke(FunctionName=api, Payload=json.dumps(request).encode())


def _api_function(cloud: LocalCloud) -> str:
    resource: dict[str, Any] = cloud.clients("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="ApiFunction"
    )
    return str(resource["StackResourceDetail"]["PhysicalResourceId"])


def _guide(address: str, directory: Path) -> str:
    file, curl, aws = (
        shlex.quote(str(directory / name))
        for name in (API_URL_FILE, CURL_CONFIG_FILE, AWS_CONFIG_FILE)
    )
    return _GUIDE.format(address=address, file=file, curl=curl, aws=aws, directory=directory)


def _wait(cloud: LocalCloud) -> None:
    last_request = last_expiry = time.monotonic()
    while cloud.running:
        time.sleep(_CHECK_SECONDS)
        if time.monotonic() - last_expiry > _EXPIRY_SECONDS:
            # What cannot be deleted now is deleted an hour later.
            with contextlib.suppress(BotoCoreError, ClientError):
                delete_expired(cloud)
            last_expiry = time.monotonic()
        if time.monotonic() - last_request > _KEEP_ALIVE_SECONDS:
            _warm_up(cloud)
            last_request = time.monotonic()
    raise RunFailed(
        f"The local cloud ended unexpectedly; its log is {cloud.log}. Nothing that it had stored "
        f"is lost."
    )
