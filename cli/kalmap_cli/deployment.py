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
from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.batches import DynamoDBBatchStore
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.objects import Objects
from kalmap_cli.errors import Damaged, RunFailed, WrongUsage
from kalmap_cli.execution import PollIntervals
from kalmap_cli.local.clients import Clients, local_clients
from kalmap_cli.local.cloud import LOG_FILE, LocalCloud, unexpected_end
from kalmap_cli.local.data_dir import DataDirectory, InUse, default_path, is_data_directory
from kalmap_cli.local.deploy import STACK
from kalmap_cli.local.guests import Guest, allow_guests, join_cloud
from kalmap_cli.local.persistence import count_items
from kalmap_cli.local.prepare import prepare
from kalmap_cli.screen import Screen
from kalmap_cli.stack import Stack, find_stack

#: A look at the progress takes ten requests, of the same processor that the batch needs.
_LOCAL_INTERVALS = PollIntervals(0.15, 0.15, 0.6)
#: AWS limits the rate of requests.
_AWS_INTERVALS = PollIntervals(1.0, 10.0)
#: Attempts of a call that AWS throttles, with growing pauses: about a minute in all.
_AWS_RETRIES = Config(retries={"mode": "standard", "max_attempts": 8})
#: How long to wait for another command that uses the data directory, seconds.
_DIRECTORY_TIMEOUT = 60.0
#: Seconds between two attempts to use the data directory.
_DIRECTORY_INTERVAL = 0.1
#: Printed when a command ends while others still use its local cloud.
CLOUD_STAYS = "Another command still uses the local cloud, which saves and ends after that command."

#: So many take a worker half a second and 60 MB.
_LOCAL_READINGS_PER_SHARD = "50000"
#: Lets a run on little data have more than one shard; examples/demo.py uses it.
READINGS_PER_SHARD_VARIABLE = "KALMAP_READINGS_PER_SHARD"


class SetAside(NamedTuple):
    """Earlier states and batches, set aside by `--fresh`. They come back unless deleted."""

    states: int | None
    """How many states; None if they could not be counted."""
    delete: Callable[[], None]


class Deployment(NamedTuple):
    """Where batches run."""

    clients: Clients
    stack: Stack
    poll_intervals: PollIntervals
    options: str
    """Options that make another command use this deployment, with a space before each."""
    set_aside: SetAside | None = None
    is_local: bool = False

    @property
    def objects(self) -> Objects:
        """The work bucket."""
        return Objects(self.clients("s3"), self.stack.bucket)

    @property
    def states(self) -> DynamoDBStateStore:
        """The users' states. The client itself tries again what AWS throttles."""
        return DynamoDBStateStore(
            self.clients("dynamodb"), self.stack.states_table, retry=RetryPolicy(attempts=1)
        )

    @property
    def batches(self) -> DynamoDBBatchStore:
        """The batches' records."""
        return DynamoDBBatchStore(self.clients("dynamodb"), self.stack.batches_table)


@contextmanager
def open_deployment(
    screen: Screen | None,
    data_dir: Path | None,
    stack: str | None,
    *,
    fresh: bool = False,
    guests: bool = False,
) -> Iterator[Deployment]:
    """Use a deployed stack, or the local cloud of a data directory, while the block lasts.

    If another command already runs the local cloud of the directory, use that one.

    Args:
        screen: Shows what is being done; None to show nothing.
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.
        fresh: Set aside the content of the data directory.
        guests: Let other commands use the local cloud too, while it runs a batch. At the end it
            stays for them.
    """
    if stack is not None:
        clients = aws_clients()
        options = f" --stack {shlex.quote(stack)}"
        yield Deployment(clients, find_stack(clients, stack), _AWS_INTERVALS, options)
        return
    if data_dir is None:
        raise AssertionError("open_deployment needs a data directory or a stack")
    parameters = local_parameters()
    note = screen.note if screen else lambda _: None
    states = _count_states(data_dir) if fresh and is_data_directory(data_dir) else 0
    with ExitStack() as exit_stack:
        access = _lock_or_join(exit_stack, data_dir, note, fresh=fresh)
        if isinstance(access, Guest):
            note("Using the local cloud that is already running")
            clients = local_clients(access.endpoint, access.secret)
            with _explain_lost_cloud(data_dir, access):
                yield local_deployment(clients, data_dir)
            return
        set_aside = SetAside(states, access.delete_set_aside) if fresh else None
        note("Starting the local cloud")
        cloud = LocalCloud(access, calls=guests)
        try:
            with cloud:
                prepare(cloud, parameters, note=note)
                # What was set aside must not come back while guests use the local cloud.
                if guests and not access.has_set_aside:
                    allow_guests(access.path, cloud.endpoint)
                yield local_deployment(cloud.clients, data_dir)._replace(set_aside=set_aside)
                note("Saving")
        finally:
            if cloud.left_running:
                note(CLOUD_STAYS)


def local_deployment(clients: Clients, data_dir: Path) -> Deployment:
    """The stack on the local cloud of a data directory."""
    stack = find_stack(clients, STACK)
    return Deployment(clients, stack, _LOCAL_INTERVALS, _options(data_dir), is_local=True)


def _lock_or_join(
    exit_stack: ExitStack, path: Path, note: Callable[[str], None], *, fresh: bool
) -> DataDirectory | Guest:
    """Lock the data directory, or become a guest of the local cloud that runs in it."""
    begin = time.monotonic()
    noted = False
    while True:
        if not fresh and (guest := join_cloud(path)):
            return exit_stack.enter_context(guest)
        try:
            return exit_stack.enter_context(DataDirectory(path, fresh=fresh))
        except InUse as error:
            if fresh:
                raise WrongUsage(
                    f"--fresh replaces the data in {path}, which is in use by {error.holder}. Wait "
                    f"until that command has ended, or run without --fresh."
                ) from error
            waited = time.monotonic() - begin
            if waited > _DIRECTORY_TIMEOUT:
                raise
            # The other command is starting or ending, or takes only a moment.
            if waited > 1.0 and not noted:
                noted = True
                note(f"Waiting for {error.holder}")
        time.sleep(_DIRECTORY_INTERVAL)


@contextmanager
def _explain_lost_cloud(data_dir: Path, guest: Guest) -> Iterator[None]:
    """If a request fails because the local cloud has ended, say so."""
    try:
        yield
    except (BotoCoreError, StoreUnavailable) as error:
        if guest.cloud_listens:
            raise
        raise unexpected_end(data_dir / "cloud" / LOG_FILE) from error


def _count_states(data_dir: Path) -> int | None:
    """How many states a data directory has; None if they cannot be counted."""
    try:
        with DataDirectory(data_dir) as data:
            return count_items(data.cloud, f"{STACK}-StatesTable-")
    except (Damaged, InUse, RunFailed):
        return None


def _options(data_dir: Path) -> str:
    return "" if data_dir == default_path() else f" --data-dir {shlex.quote(str(data_dir))}"


def local_parameters() -> dict[str, str]:
    """The template's parameters on the local cloud. The results do not depend on them."""
    readings = os.environ.get(READINGS_PER_SHARD_VARIABLE, _LOCAL_READINGS_PER_SHARD)
    if not readings.isdigit() or int(readings) < 1:
        raise WrongUsage(
            f"{READINGS_PER_SHARD_VARIABLE} is {readings!r}; it must be a whole number from 1."
        )
    return {"ReadingsPerShard": readings}


def aws_clients() -> Clients:
    """Clients of the user's AWS account, as their environment and AWS profile configure it."""
    session: Any = boto3.session.Session()
    clients: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in clients:
            clients[service] = session.client(service, config=_AWS_RETRIES)
        return clients[service]

    return client
