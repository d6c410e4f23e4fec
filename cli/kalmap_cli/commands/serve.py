"""`kalmap serve`: the local cloud with its HTTP API, until Ctrl-C."""

import contextlib
import json
import shlex
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kalmap_cli.drive import find_stack
from kalmap_cli.exits import DONE, RunFailed
from kalmap_cli.local.access import (
    ADDRESS,
    AWS,
    BUCKET,
    CURL,
    aws_configuration,
    curl_configuration,
    write_private,
)
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory
from kalmap_cli.local.deploy import STACK
from kalmap_cli.local.guests import invite
from kalmap_cli.local.prepare import prepare
from kalmap_cli.screen import Screen
from kalmap_cli.target import STAYS, local_parameters

#: Seconds after which a worker with nothing to do is ended; a batch's leave soon, and the API's
#: is given something to do before that.
_IDLE = 10.0
_STIR = 4.0
_LOOK = 0.5

_GUIDE = """\
The HTTP API is served at

  {address}

Requests are signed, as on AWS, with a secret that only you can read. In another
shell, in the same folder:

  api() {{ curl -sS -w '\\n' -K {curl} "$(cat {file})$@"; }}
  api /measurements -d '{{"measurements": [{{"user_id": "u-17",
    "timestamp": "2026-03-01T07:12:00+01:00", "value": 81.4}}]}}'
  api /users/u-17

README.md has a line for each entry. AWS's own tools work as well, after

  export AWS_CONFIG_FILE={aws} AWS_SHARED_CREDENTIALS_FILE={aws}

States and batches stay in {directory}.
Ctrl-C ends it."""


def serve(data_dir: Path, port: int = 0) -> int:
    """Run the local cloud of a data directory until Ctrl-C.

    Args:
        data_dir: of the local cloud.
        port: where it listens on 127.0.0.1; 0 for a free one.

    Returns:
        The exit code.

    Raises:
        WrongUsage: The data directory, or the port, cannot be used.
        RunFailed: The local cloud did not start, or ended by itself.
    """
    with ExitStack() as stack:
        with Screen() as screen:
            screen.note("Starting the local cloud")
            data = stack.enter_context(DataDirectory(data_dir))
            cloud = stack.enter_context(LocalCloud(data, idle=_IDLE, port=port))
            screen.note("Deploying the stack")
            prepare(cloud, local_parameters())
            _warm_up(cloud)
            found = address(cloud)
            bucket = find_stack(cloud.clients, STACK).bucket
        # The address last: whoever waits for it finds the bucket's name too.
        for name, content in (
            (CURL, curl_configuration(cloud.secret)),
            (AWS, aws_configuration(cloud.endpoint, cloud.secret)),
            (BUCKET, f"{bucket}\n"),
            (ADDRESS, f"{found}\n"),
        ):
            stack.callback((data_dir / name).unlink, missing_ok=True)
            write_private(data_dir / name, content)
        invite(data.path, cloud.endpoint)
        print(_guide(found, data_dir), flush=True)
        # Ctrl-C is the expected end here, and no failure.
        with contextlib.suppress(KeyboardInterrupt):
            _wait(cloud)
        print("Saving", file=sys.stderr, flush=True)
    print(f"Stopped. {STAYS if cloud.left else 'States and batches are kept.'}", flush=True)
    return DONE


def address(cloud: LocalCloud) -> str:
    """Where the local cloud serves the deployed stack's HTTP API."""
    stacks = cloud.clients("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}
    stage = outputs["ApiUrl"].rsplit("/", 1)[1]
    return f"{cloud.endpoint}/restapis/{outputs['ApiId']}/{stage}/_user_request_"


def _warm_up(cloud: LocalCloud) -> None:
    """Start a worker, or keep the one there is, so that a request finds it warm."""
    api = _api_function(cloud)
    request = {
        "resource": "/health",
        "httpMethod": "GET",
        "headers": {},
        "requestContext": {"requestId": "warm-up"},
    }
    cloud.clients("lambda").invoke(FunctionName=api, Payload=json.dumps(request).encode())


def _api_function(cloud: LocalCloud) -> str:
    found: dict[str, Any] = cloud.clients("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="ApiFunction"
    )
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def _guide(found: str, directory: Path) -> str:
    file, curl, aws = (shlex.quote(str(directory / name)) for name in (ADDRESS, CURL, AWS))
    return _GUIDE.format(address=found, file=file, curl=curl, aws=aws, directory=directory)


def _wait(cloud: LocalCloud) -> None:
    stirred = time.monotonic()
    while cloud.running:
        time.sleep(_LOOK)
        if time.monotonic() - stirred > _STIR:
            _warm_up(cloud)
            stirred = time.monotonic()
    raise RunFailed(
        f"The local cloud has ended by itself; its log is {cloud.log}. Nothing that it had "
        f"answered is lost."
    )
