"""`kalmap status`: list the batches, or show one of them."""

import sys
from pathlib import Path

from rich.console import Console

from kalmap.batch.folder import Folder
from kalmap.store.ports import BatchRecord, ListedBatch
from kalmap_cli.batch_run import watch_batch
from kalmap_cli.deployment import Deployment, open_deployment
from kalmap_cli.errors import DONE, InterruptMessage, WrongUsage
from kalmap_cli.execution import get_progress
from kalmap_cli.file_names import FileNames
from kalmap_cli.listed_batches import find_batch, for_user
from kalmap_cli.screen import SHORT_ID, Screen, item_counts, print_summary
from kalmap_cli.terminal import fit_to_terminal
from kalmap_cli.text_table import aligned
from kalmap_cli.why_slow import print_why_slow

_COLUMNS = ("batch", "status", "started", "received", "accepted", "users", "reason")
_NUMBER_COLUMNS = range(3, 6)
_GOES_ON = "The batch goes on."


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
            folder = Folder(deployment.objects, record.prefix)
            print_why_slow(folder, running=record.status == "RUNNING")
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
