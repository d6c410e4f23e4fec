"""Where batches run: a deployed stack on AWS, or the local cloud of a data directory."""

import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from kalmap.errors import StoreUnavailable
from kalmap_cli import drive
from kalmap_cli.exits import Damaged, RunFailed, WrongUsage
from kalmap_cli.local.clients import Clients, local_clients
from kalmap_cli.local.cloud import LOG, LocalCloud, ended_unexpectedly
from kalmap_cli.local.data_dir import DataDirectory, InUse, default_path, exists
from kalmap_cli.local.deploy import STACK
from kalmap_cli.local.guests import Guest, invite, join
from kalmap_cli.local.prepare import prepare
from kalmap_cli.local.saving import count_items
from kalmap_cli.screen import Screen

#: AWS limits how often its API may be asked.
_LOCAL_PAUSES = drive.Pauses(0.15, 0.15)
_AWS_PAUSES = drive.Pauses(1.0, 10.0)
#: Tries of a call that AWS throttles, with growing pauses; together about a minute.
_AWS_TRIES = Config(retries={"mode": "standard", "max_attempts": 8})
#: How long another command that has the data directory is waited for, seconds.
_PATIENCE = 60.0
_LOOK = 0.1
#: Said when a command ends and its local cloud does not.
STAYS = "The local cloud goes on for another command, and saves and ends with it."

#: Enough for a worker to be worth its start, which takes half a second of a core.
_LOCAL_READINGS_PER_SHARD = "5000"
#: Lets a run on little data show more than one shard; examples/demo.py uses it.
READINGS_PER_SHARD_VARIABLE = "KALMAP_READINGS_PER_SHARD"


class SetAside(NamedTuple):
    """What `--fresh` has set aside; it comes back at the end unless it is forgotten."""

    states: int | None
    """How many; None where they could not be counted."""
    forget: Callable[[], None]


class Target(NamedTuple):
    """Where batches run."""

    clients: Clients
    stack: drive.Stack
    pauses: drive.Pauses
    """Between two looks at a batch."""
    options: str
    """What a command needs on the command line to run in the same place, with a space before it."""
    set_aside: SetAside | None = None


@contextmanager
def target(
    screen: Screen | None,
    data_dir: Path | None,
    stack: str | None,
    *,
    fresh: bool = False,
    guests: bool = False,
) -> Iterator[Target]:
    """Where to run: a deployed stack, or the local cloud of a data directory.

    Where another command runs the local cloud of that directory already, it is used as it is.

    Args:
        screen: told what is being done; None for silence.
        data_dir: of the local cloud; unused with a stack.
        stack: name of a deployed stack; None for the local cloud.
        fresh: set aside what the data directory holds.
        guests: let other commands use the local cloud meanwhile; it stays for them at the end.
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
    states = _count_states(data_dir) if fresh and exists(data_dir) else 0
    with ExitStack() as used:
        found = _own_or_join(used, data_dir, say, fresh=fresh)
        if isinstance(found, Guest):
            say("Using the local cloud that runs already")
            clients = local_clients(found.endpoint, found.secret)
            with _told_of_its_end(data_dir, found):
                place = drive.find_stack(clients, STACK)
                yield Target(clients, place, _LOCAL_PAUSES, _options(data_dir))
            return
        set_aside = SetAside(states, found.forget_what_was_set_aside) if fresh else None
        say("Starting the local cloud")
        cloud = LocalCloud(found)
        try:
            with cloud:
                prepare(cloud, parameters, say=say)
                # What was set aside must not come back under a guest.
                if guests and not found.has_set_aside:
                    invite(found.path, cloud.endpoint)
                place = drive.find_stack(cloud.clients, STACK)
                options = _options(data_dir)
                yield Target(cloud.clients, place, _LOCAL_PAUSES, options, set_aside)
                say("Saving")
        finally:
            if cloud.left:
                say(STAYS)


def _own_or_join(
    used: ExitStack, path: Path, say: Callable[[str], None], *, fresh: bool
) -> DataDirectory | Guest:
    """The data directory, locked for us; or a guest's place in the local cloud that has it."""
    begun = time.monotonic()
    told = False
    while True:
        if not fresh and (guest := join(path)):
            return used.enter_context(guest)
        try:
            return used.enter_context(DataDirectory(path, fresh=fresh))
        except InUse as error:
            if fresh:
                raise WrongUsage(
                    f"--fresh forgets what the data directory {path} holds, which is in use by "
                    f"{error.holder}. Wait until it has ended, or leave out --fresh."
                ) from error
            waited = time.monotonic() - begun
            if waited > _PATIENCE:
                raise
            # It starts, or ends, or is one of those that take a moment.
            if waited > 1.0 and not told:
                told = True
                say(f"Waiting for {error.holder}")
        time.sleep(_LOOK)


@contextmanager
def _told_of_its_end(data_dir: Path, guest: Guest) -> Iterator[None]:
    """Say that the local cloud has ended, where a request failed because of that."""
    try:
        yield
    except (BotoCoreError, StoreUnavailable) as error:
        if guest.cloud_listens:
            raise
        raise ended_unexpectedly(data_dir / "cloud" / LOG) from error


def _count_states(data_dir: Path) -> int | None:
    """How many states a data directory holds; None where that cannot be told."""
    try:
        with DataDirectory(data_dir) as data:
            return count_items(data.cloud, f"{STACK}-StatesTable-")
    except (Damaged, InUse, RunFailed):
        return None


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
