"""Where batches run: a deployed stack on AWS, or the local cloud of a data directory."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from kalmap_cli import drive
from kalmap_cli.exits import RunFailed, WrongUsage
from kalmap_cli.local.clients import Clients
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.data_dir import DataDirectory, default_path
from kalmap_cli.local.deploy import STACK, deploy
from kalmap_cli.screen import Screen

#: AWS limits how often its API may be asked.
_LOCAL_PAUSES = drive.Pauses(0.15, 0.15)
_AWS_PAUSES = drive.Pauses(1.0, 10.0)
#: Tries of a call that AWS throttles, with growing pauses; together about a minute.
_AWS_TRIES = Config(retries={"mode": "standard", "max_attempts": 8})

#: Enough for a worker to be worth its start, which takes half a second of a core.
_LOCAL_READINGS_PER_SHARD = "5000"
#: Lets a run on little data show more than one shard; examples/demo.py uses it.
READINGS_PER_SHARD_VARIABLE = "KALMAP_READINGS_PER_SHARD"


class Target(NamedTuple):
    """Where batches run."""

    clients: Clients
    stack: drive.Stack
    pauses: drive.Pauses
    """Between two looks at a batch."""
    options: str
    """What a command needs on the command line to run in the same place, with a space before it."""


@contextmanager
def target(
    screen: Screen | None, data_dir: Path | None, stack: str | None, *, fresh: bool = False
) -> Iterator[Target]:
    """Where to run: a deployed stack, or the local cloud of a data directory.

    Args:
        screen: told what is being done; None for silence.
        data_dir: of the local cloud; unused with a stack.
        stack: name of a deployed stack; None for the local cloud.
        fresh: forget what the data directory holds, if the block ends without an error.
    """
    if stack is not None:
        clients = aws_clients()
        options = f" --stack {shlex.quote(stack)}"
        yield Target(clients, drive.find_stack(clients, stack), _AWS_PAUSES, options)
        return
    if data_dir is None:
        raise AssertionError("neither a data directory nor a stack was given")
    parameters = local_parameters()
    say = screen.note if screen else _nothing
    with DataDirectory(data_dir, fresh=fresh) as data:
        say("Starting the local cloud")
        with LocalCloud(data) as cloud:
            if deploy(cloud.clients, parameters, say=say):
                cloud.save()
            try:
                found = drive.find_stack(cloud.clients, STACK)
                yield Target(cloud.clients, found, _LOCAL_PAUSES, _options(data_dir))
                data.forget_what_was_set_aside()
            except BotoCoreError as error:
                if cloud.running:
                    raise
                raise RunFailed(
                    f"The local cloud ended unexpectedly; its log is {cloud.log}. Nothing that "
                    f"it had stored is lost; run the same command again."
                ) from error


def _options(data_dir: Path) -> str:
    return "" if data_dir == default_path() else f" --data-dir {shlex.quote(str(data_dir))}"


def _nothing(_: str) -> None:
    """Say nothing."""


def local_parameters() -> dict[str, str]:
    """The template's parameters on the local cloud.

    A shard's worker is a process of its own there: more of them than there are cores would
    only wait for each other. What comes out does not depend on it.
    """
    given = os.environ.get(READINGS_PER_SHARD_VARIABLE, _LOCAL_READINGS_PER_SHARD)
    if not given.isdigit() or int(given) < 1:
        raise WrongUsage(
            f"{READINGS_PER_SHARD_VARIABLE} is {given!r}; it must be a whole number from 1."
        )
    shards = min(max(os.cpu_count() or 2, 2), 4)
    return {"MaxShards": str(shards), "ReadingsPerShard": given}


def aws_clients() -> Clients:
    """Clients of the user's own AWS account, as their environment and profile say."""
    session: Any = boto3.session.Session()
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.client(service, config=_AWS_TRIES)
        return made[service]

    return client
