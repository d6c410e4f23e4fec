"""The batches that a deployment lists: one found by its id, and what each is now, in words."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec
from botocore.exceptions import ClientError

from kalmap.errors import BrokenRecord
from kalmap.store.ports import BatchRecord, BatchStatus, ListedBatch
from kalmap_cli.deployment import Deployment
from kalmap_cli.errors import RunFailed, WrongUsage
from kalmap_cli.file_names import FileNames, shortened
from kalmap_cli.option_names import with_option_names
from kalmap_cli.screen import SHORT_ID

B = TypeVar("B", bound=ListedBatch)

#: No batch has a longer id, and the table refuses keys of some length.
_MOST_ID = 128


def find_batch(deployment: Deployment, id_prefix: str) -> BatchRecord:
    """The record of the only batch whose id begins with `id_prefix`, with its current status.

    Raises:
        WrongUsage: There is no such batch, or there are several.
        RunFailed: Its record cannot be read. The sentence says what to do.
    """
    list_command = f"`kalmap status{deployment.options}` lists all batches."
    if not id_prefix:
        raise WrongUsage(f"The batch's id is empty. {list_command}")
    # A batch that is named by its full id may be missing in the list.
    try:
        record = deployment.batches.get(id_prefix) if len(id_prefix) <= _MOST_ID else None
    except BrokenRecord as error:
        raise RunFailed(str(error)) from error
    batches = [record] if record else deployment.batches.newest()
    matching = [batch for batch in batches if batch.batch_id.startswith(id_prefix)]
    if len(matching) != 1:
        raise WrongUsage(
            f"There {'are several batches' if matching else 'is no batch'} whose id begins with "
            f"{shortened(id_prefix)}. {list_command}"
        )
    [batch] = matching
    if not isinstance(batch, BatchRecord):
        raise RunFailed(batch.reason)
    return with_current_status(deployment, batch)


def for_user(deployment: Deployment, batches: Iterable[B]) -> list[B]:
    """Batches with their current status, and with reasons in words of the command line."""
    names = FileNames(deployment.objects)
    return [
        msgspec.structs.replace(
            batch, reason=with_option_names(names.replace_keys(batch.reason or ""))
        )
        for batch in (with_current_status(deployment, each) for each in list(batches))
    ]


def with_current_status(deployment: Deployment, batch: B) -> B:
    """The batch, with status STOPPED if it is RUNNING and its execution is not."""
    if batch.status != "RUNNING" or not batch.execution_arn:
        return batch
    try:
        execution = deployment.clients("stepfunctions").describe_execution(
            executionArn=batch.execution_arn
        )
    except ClientError:
        return _stopped(deployment, batch, "no longer exists")
    if execution["status"] == "RUNNING":
        return batch
    return _stopped(deployment, batch, "ended early")


def _stopped(deployment: Deployment, batch: B, event: str) -> B:
    short_id = batch.batch_id[:SHORT_ID]
    again = f"`kalmap retry {short_id}{deployment.options}` runs the batch again."
    status: BatchStatus = "STOPPED"
    return msgspec.structs.replace(
        batch, status=status, reason=batch.reason or f"Its execution {event}; {again}"
    )
