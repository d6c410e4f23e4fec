"""`kalmap status`: list the batches, or show one of them."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
from botocore.exceptions import ClientError
from rich.console import Console

from kalmap.batch.folder import Folder
from kalmap.errors import BrokenRecord
from kalmap.store.ports import BatchRecord, BatchStatus, ListedBatch
from kalmap_cli.batch_options import with_option_names
from kalmap_cli.batch_run import watch_batch
from kalmap_cli.deployment import Deployment, open_deployment
from kalmap_cli.errors import DONE, InterruptMessage, RunFailed, WrongUsage
from kalmap_cli.execution import get_progress
from kalmap_cli.file_names import FileNames
from kalmap_cli.screen import SHORT_ID, Screen, item_counts, print_summary
from kalmap_cli.terminal import fit_to_terminal
from kalmap_cli.text_table import aligned
from kalmap_cli.why_slow import print_why_slow

_COLUMNS = ("batch", "status", "started", "received", "accepted", "users", "reason")
_NUMBER_COLUMNS = range(3, 6)
_GOES_ON = "The batch goes on."
B = TypeVar("B", bound=ListedBatch)


def status(
    data_dir: Path | None,
    stack: str | None,
    batch: str | None,
    *,
    watch: bool = False,
    why_slow: bool = False,
) -> int:
    """Print all batches, newest first, or one batch with its summary.

    Args:
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.
        batch: The beginning of the batch's id; None for all, or for the newest one to watch.
        watch: Show a running batch to its end first.
        why_slow: Show the performance monitor instead of the summary.

    Raises:
        WrongUsage: There is no such batch.
    """
    with open_deployment(None, data_dir, stack) as deployment:
        if batch is None and not watch and not why_slow:
            print_list(deployment)
            return DONE
        record = find_batch(deployment, _newest(deployment) if batch is None else batch)
        if watch and record.status == "RUNNING" and record.execution_arn:
            with InterruptMessage(_GOES_ON), Screen() as screen:
                watch_batch(screen, deployment, record.execution_arn)
            record = find_batch(deployment, record.batch_id)
        if why_slow:
            print_why_slow(Folder(deployment.objects, record.prefix))
            return DONE
        _print_batch(deployment, *for_user(deployment, [record]))
    return DONE


def _newest(deployment: Deployment) -> str:
    newest = next(iter(deployment.batches.newest()), None)
    if newest is None:
        raise WrongUsage("There is no batch yet.")
    return newest.batch_id


def print_list(deployment: Deployment) -> None:
    """Print all batches, the newest first, a line each."""
    _print_batches(for_user(deployment, deployment.batches.newest()))


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
        record = deployment.batches.get(id_prefix)
    except BrokenRecord as error:
        raise RunFailed(str(error)) from error
    batches = [record] if record else deployment.batches.newest()
    matching = [batch for batch in batches if batch.batch_id.startswith(id_prefix)]
    if len(matching) != 1:
        raise WrongUsage(
            f"There {'are several batches' if matching else 'is no batch'} whose id begins with "
            f"{id_prefix}. {list_command}"
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


def _print_batches(batches: list[ListedBatch]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not batches:
        console.print(
            "There is no batch to list. Batches of early versions of kalmap are found only by "
            "their full id."
        )
        return
    # On a terminal a reason gets its own lines. Elsewhere each batch is one line.
    terminal = sys.stdout.isatty()
    rows: list[tuple[str, ...]] = [_COLUMNS[:-1] if terminal else _COLUMNS]
    rows += [
        (
            batch.batch_id[:SHORT_ID],
            batch.status.lower(),
            (batch.started_at or "")[:19].replace("T", " "),
            *map(_figure, (batch.received, batch.accepted, batch.users)),
            *(() if terminal else (batch.reason or "",)),
        )
        for batch in batches
    ]
    reasons = ["", *((terminal and batch.reason) or "" for batch in batches)]
    for text, reason in zip(aligned(rows, _NUMBER_COLUMNS), reasons, strict=True):
        console.print(text, markup=False)
        if reason:
            indent = " " * (SHORT_ID + 2)
            line = fit_to_terminal(f"{indent}{reason}", sys.stdout, len(indent))
            console.print(line, markup=False)


def _figure(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _print_batch(deployment: Deployment, batch: BatchRecord) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for name in ("batch_id", "status", "reason", "started_at", "finished_at", "execution_arn"):
        if value := getattr(batch, name):
            console.print(fit_to_terminal(f"{name:14}{value}", sys.stdout, 14), markup=False)
    if batch.execution_arn and batch.status == "RUNNING":
        progress = get_progress(deployment.clients, batch.execution_arn)
        if progress:
            console.print(f"{'phase':14}{progress.state}{item_counts(progress)}", markup=False)
    objects = deployment.objects
    summary = objects.find(batch.summary) if batch.summary else None
    if summary:
        console.print()
        print_summary(FileNames(objects).decode_summary(summary))
        short_id = batch.batch_id[:SHORT_ID]
        fetch = f"`kalmap results {short_id}{deployment.options} --out DIR` fetches its results."
        console.print(fit_to_terminal(fetch, sys.stdout), markup=False)
