"""`kalmap status`: the batches that were run, or one of them."""

import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
from botocore.exceptions import ClientError
from rich.console import Console

from kalmap.store.dynamodb.batches import DynamoDBBatchStore
from kalmap.store.objects import Objects
from kalmap.store.ports import BatchRecord
from kalmap_cli import drive
from kalmap_cli.batch_options import as_typed
from kalmap_cli.exits import DONE, WrongUsage
from kalmap_cli.given_names import GivenNames
from kalmap_cli.screen import ID_SHOWN, items, print_summary
from kalmap_cli.target import Target, target
from kalmap_cli.terminal import fitted

_COLUMNS = ("batch", "status", "started", "received", "accepted", "users", "reason")


def status(data_dir: Path | None, stack: str | None, batch: str | None) -> int:
    """Print all batches, newest first, or one batch with its summary.

    Raises:
        WrongUsage: There is no such batch.
    """
    with target(None, data_dir, stack) as place:
        if batch is None:
            _print_batches(_in_words(place, _records(place).newest()))
        else:
            _print_batch(place, *_in_words(place, [find_batch(place, batch)]))
    return DONE


def find_batch(place: Target, beginning: str) -> BatchRecord:
    """The record of the one batch whose id begins so, with its fate.

    Raises:
        WrongUsage: There is none, or there are several.
    """
    if not beginning:
        raise WrongUsage(f"The batch's id is empty. `kalmap status{place.options}` lists them.")
    # One that is named in full need not be listed.
    whole = _records(place).get(beginning)
    listed = [whole] if whole else _records(place).newest()
    matching = [record for record in listed if record.batch_id.startswith(beginning)]
    if len(matching) != 1:
        raise WrongUsage(
            f"{'Several batches begin' if matching else 'There is no batch that begins'} "
            f"with {beginning}. `kalmap status{place.options}` lists them."
        )
    return _with_fate(place, matching[0])


def _records(place: Target) -> DynamoDBBatchStore:
    return DynamoDBBatchStore(place.clients("dynamodb"), place.stack.batches_table)


def _in_words(place: Target, batches: Iterable[BatchRecord]) -> list[BatchRecord]:
    """Batches with how they ended, in words that the user of the command line knows."""
    names = GivenNames(Objects(place.clients("s3"), place.stack.bucket))
    return [
        msgspec.structs.replace(record, reason=as_typed(names.in_text(record.reason or "")))
        for record in (_with_fate(place, batch) for batch in list(batches))
    ]


def _with_fate(place: Target, record: BatchRecord) -> BatchRecord:
    """The record; STOPPED if it says RUNNING and its execution runs no longer."""
    if record.status != "RUNNING" or not record.execution_arn:
        return record
    try:
        execution = place.clients("stepfunctions").describe_execution(
            executionArn=record.execution_arn
        )
    except ClientError:
        return _stopped(place, record, "no longer exists")
    if execution["status"] == "RUNNING":
        return record
    return _stopped(place, record, "ended early")


def _stopped(place: Target, record: BatchRecord, what: str) -> BatchRecord:
    short = record.batch_id[:ID_SHOWN]
    again = f"`kalmap retry {short}{place.options}` runs the batch again."
    return msgspec.structs.replace(
        record, status="STOPPED", reason=record.reason or f"Its execution {what}; {again}"
    )


def _print_batches(batches: list[BatchRecord]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not batches:
        console.print("No batch is listed. One of an earlier version is found by its whole id.")
        return
    # At a terminal a reason has lines of its own; elsewhere each batch is one line.
    terminal = sys.stdout.isatty()
    rows: list[tuple[str, ...]] = [_COLUMNS[:-1] if terminal else _COLUMNS]
    rows += [
        (
            batch.batch_id[:ID_SHOWN],
            batch.status.lower(),
            (batch.started_at or "")[:19].replace("T", " "),
            *map(_figure, (batch.received, batch.accepted, batch.users)),
            *(() if terminal else (batch.reason or "",)),
        )
        for batch in batches
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    reasons = ["", *((terminal and batch.reason) or "" for batch in batches)]
    for row, reason in zip(rows, reasons, strict=True):
        cells = [
            cell.rjust(width) if 3 <= place <= 5 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        console.print("  ".join(cells).rstrip(), markup=False)
        if reason:
            aside = " " * (ID_SHOWN + 2)
            console.print(fitted(f"{aside}{reason}", sys.stdout, len(aside)), markup=False)


def _figure(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _print_batch(place: Target, batch: BatchRecord) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for name in ("batch_id", "status", "reason", "started_at", "finished_at", "execution_arn"):
        if value := getattr(batch, name):
            console.print(fitted(f"{name:14}{value}", sys.stdout, 14), markup=False)
    arn = batch.execution_arn
    if arn and batch.status == "RUNNING" and (now := drive.look(place.clients, arn)):
        console.print(f"{'phase':14}{now.state}{items(now)}", markup=False)
    objects = Objects(place.clients("s3"), place.stack.bucket)
    found = objects.find(batch.summary) if batch.summary else None
    if found:
        console.print()
        print_summary(GivenNames(objects).in_summary(found))
        short = batch.batch_id[:ID_SHOWN]
        again = f"`kalmap results {short}{place.options} --out DIR` fetches its results."
        console.print(fitted(again, sys.stdout), markup=False)
